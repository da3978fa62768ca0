// Command sessions is a projection in Go that cuts each actor's events into
// sessions, which a pause ends. Sessions that are still open live in the memory of
// the guest, through snapshot and restore. README.md describes keys and settings.
package main

import (
	"fmt"
	"io"
	"strconv"
	"time"

	gnomon "gnomon/sdk/go"
	"gnomon/sdk/go/memory"
)

func init() {
	gnomon.OnInit(func() error {
		open = newSessions()
		return readSettings()
	})
	gnomon.OnEvent(handle)
	memory.OnSnapshot(
		func(w io.Writer) error { return open.save(w) },
		func(r io.Reader) error { return open.restore(r) },
	)
}

func main() {}

var (
	open  *sessions      // what the projection remembers, all of it
	actor *gnomon.Fields // the field that says whose event it is
	gap   int64          // milliseconds
)

func readSettings() error {
	s := struct {
		Field string `json:"field"`
		Gap   string `json:"gap"`
	}{"case", "30m"}
	if err := gnomon.Settings(&s); err != nil {
		return err
	}
	d, err := time.ParseDuration(s.Gap)
	if err != nil || d < time.Millisecond {
		return fmt.Errorf(`settings: gap is %q: a duration of at least 1ms is expected, such as "30m"`, s.Gap)
	}
	actor, gap = gnomon.NewFields(s.Field), d.Milliseconds()
	return nil
}

func handle(ev gnomon.Event, st gnomon.State) error {
	// Data that is not a JSON object has no actor, as an object without the field.
	f, err := actor.Read(ev.Data())
	name, ok := []byte(nil), false
	if err == nil {
		name, ok = f[0].Text()
	}
	if !ok {
		open.total.ignored++
		return open.storeTotal(st)
	}
	ms := ev.Time().UnixMilli()
	s := open.of[string(name)]
	if s != nil && s.holds(ms) {
		s.add(ev.Sequence(), ms)
		return nil
	}
	if s != nil {
		if err := open.finish(st, string(name), s); err != nil {
			return err
		}
	}
	s = &session{firstMs: ms, lastMs: ms, firstSeq: ev.Sequence()}
	s.add(ev.Sequence(), ms)
	open.of[string(name)] = s
	return open.storeTotal(st)
}

// session is a run of events of one actor.
type session struct {
	events            int64
	firstMs, lastMs   int64 // the earliest and the latest of its events' times
	firstSeq, lastSeq uint64
}

// holds tells whether an event at a time belongs to the session: it is no further
// than the gap from it. Events need not come in the order of their times.
func (s *session) holds(ms int64) bool { return ms <= s.lastMs+gap && ms >= s.firstMs-gap }

func (s *session) add(seq uint64, ms int64) {
	s.events++
	s.firstMs, s.lastMs = min(s.firstMs, ms), max(s.lastMs, ms)
	s.lastSeq = seq
}

// appendFields appends the session as the fields of a JSON object.
func (s *session) appendFields(dst []byte) []byte {
	dst = strconv.AppendInt(append(dst, `"events":`...), s.events, 10)
	dst = strconv.AppendInt(append(dst, `,"first_ms":`...), s.firstMs, 10)
	dst = strconv.AppendInt(append(dst, `,"last_ms":`...), s.lastMs, 10)
	dst = strconv.AppendUint(append(dst, `,"first_seq":`...), s.firstSeq, 10)
	return strconv.AppendUint(append(dst, `,"last_seq":`...), s.lastSeq, 10)
}
