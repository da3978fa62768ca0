// Command process-map is a projection in Go that draws the map of a process: which
// activities there are, which follow which within a case, who does them, and where
// each case stands. README.md describes its keys.
package main

import (
	"strconv"

	gnomon "gnomon/sdk/go"
)

func init() {
	gnomon.OnInit(func() error {
		counts.known = map[string]*counter{}
		return nil
	})
	gnomon.OnEvent(handle)
}

func main() {}

// Reused from event to event, so that handling one allocates next to nothing.
var (
	caseFields = gnomon.NewFields("events", "first_ms", "activity")
	counts     counters
	key, value []byte
)

func handle(ev gnomon.Event, st gnomon.State) error {
	var text [3][]byte
	var has [3]bool
	for i, name := range [...]string{"case", "activity", "resource"} {
		field, err := ev.Field(name)
		if err != nil {
			return ignore(ev, st, err.Error())
		}
		text[i], has[i] = field.Text()
	}
	caseID, hasCase := text[0], has[0]
	activity, hasActivity := text[1], has[1]
	if !hasCase || !hasActivity {
		return ignore(ev, st, "its data has no case or no activity")
	}
	if err := counts.add(st, "events", "activity", activity); err != nil {
		return err
	}
	if resource := text[2]; has[2] {
		if err := counts.add(st, "events", "resource", resource); err != nil {
			return err
		}
	}
	return follow(st, caseID, activity, ev.Time().UnixMilli())
}

// ignore counts an event that is not one of a process. It is no error: other
// events on the same subjects are none of this projection's business.
func ignore(ev gnomon.Event, st gnomon.State, why string) error {
	gnomon.Log.Warn("event " + strconv.FormatUint(ev.Sequence(), 10) + " is ignored: " + why)
	return counts.add(st, "events", "ignored")
}

// follow moves a case on to its next activity.
func follow(st gnomon.State, caseID, activity []byte, ms int64) error {
	key = appendKey(key[:0], "case", caseID)
	caseKey := string(key)
	last, present, err := st.Get(caseKey)
	if err != nil {
		return err
	}
	events, first := int64(0), ms
	if present {
		f, err := caseFields.Read(last)
		if err != nil {
			return err
		}
		events, _ = f[0].Int()
		first, _ = f[1].Int()
		from, _ := f[2].Text()
		err = counts.add(st, "events", "follows", from, activity)
		if err != nil {
			return err
		}
	} else if err := counts.add(st, "cases", "start", activity); err != nil {
		return err
	}
	value = strconv.AppendInt(append(value[:0], `{"events":`...), events+1, 10)
	value = strconv.AppendInt(append(value, `,"first_ms":`...), first, 10)
	value = strconv.AppendInt(append(value, `,"last_ms":`...), ms, 10)
	value = gnomon.AppendQuoted(append(value, `,"activity":`...), activity)
	return st.Put(caseKey, append(value, '}'))
}

// appendKey appends a key: its parts with a tab between them.
func appendKey(dst []byte, kind string, names ...[]byte) []byte {
	dst = append(dst, kind...)
	for _, n := range names {
		dst = append(append(dst, '\t'), n...)
	}
	return dst
}
