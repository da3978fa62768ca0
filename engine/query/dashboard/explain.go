package dashboard

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"gnomon/engine"
	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
)

// explainView is the tab Explain: the events that made a value, newest first.
type explainView struct {
	Projection      string
	Key, KeyB64     string // as it is asked for again; empty: none was asked for yet
	Shown           string
	At, Since       string
	Limit           string
	Value           string // address of the key
	AsOf            uint64
	Changes         []keyChange
	Oldest          uint64
	Ended           string
	Older           string // address; empty: there is none
	Trouble         *trouble
	NoneInThisRange bool
}

// keyChange is a change of a key on a page.
type keyChange struct {
	engine.KeyChange
	Cause  string // in words; empty: an event
	Diff   difference
	Time   string // address of the tab Time, at this change
	Stream string // address of the event in its stream; empty: it is none
	Event  *eventView
}

// difference is a value that became another one.
type difference struct {
	Change        wire.KeyChange
	Before, After shown
	Members       []member
	More          bool // there are other members
}

func differenceOf(change wire.KeyChange, before, after []byte) difference {
	d := difference{Change: change, Before: showRow(before), After: showRow(after)}
	if before != nil && after != nil {
		d.Members, d.More = membersOf(before, after)
	}
	return d
}

// explain is the tab Explain.
func (d *Dashboard) explain(r *http.Request) (*page, error) {
	name, q := r.PathValue("projection"), r.URL.Query()
	key, err := keyOf(q, "key")
	if err != nil {
		return nil, err
	}
	since, err := numberOf(q, "since")
	if err != nil {
		return nil, err
	}
	limit, err := numberOf(q, "limit")
	if err != nil {
		return nil, err
	}
	v := &explainView{Projection: name, Key: q.Get("key"), KeyB64: q.Get("key_b64"), Shown: keyText(key), At: strings.TrimSpace(q.Get("at")), Since: q.Get("since"), Limit: q.Get("limit")}
	p := &page{Title: name + ": explain", template: "explain", Projection: name, Tab: "explain", Data: v}
	status, err := d.ask.Projection(r.Context(), name) // which there has to be, with or without a key
	if err != nil || len(key) == 0 {
		return p, err
	}
	v.Value = keyAddress(name, "state", key, v.At)
	p.Copy = []ask{{"what made this value", curl(r, apiPath(name, "explain", apiQuestion(q))), "engine explain " + quoted(name) + " " + quotedKey(key) +
		flags("at", quotedOrNone(v.At), "since", quotedOrNone(v.Since), "limit", quotedOrNone(v.Limit))}}
	x, err := d.ask.Explain(r.Context(), name, client.Question{Key: key, At: v.At, Since: since, Limit: int(min(limit, 1000))})
	if err != nil {
		t, known := troubleOf(err, "")
		if !known {
			return nil, err
		}
		v.Trouble, p.status = t, t.Status
		return p, nil
	}
	v.take(x, status.Stream)
	d.events(r, status.Stream, v.Changes)
	if n := len(x.Changes); n > 0 && x.Ended != "" && x.Oldest > max(since, 1) && x.Changes[n-1].Sequence > 1 {
		v.Older = tabAddress(name, "explain", with(q, "at", strconv.FormatUint(x.Changes[n-1].Sequence-1, 10)))
	}
	return p, nil
}

// apiQuestion are the parameters of the API for the address of a page.
func apiQuestion(q url.Values) url.Values {
	out := url.Values{}
	for _, name := range []string{"key", "key_b64", "at", "since", "limit"} {
		if text := strings.TrimSpace(q.Get(name)); text != "" {
			out.Set(name, q.Get(name))
		}
	}
	return out
}

func (v *explainView) take(x wire.Explanation, stream string) {
	v.AsOf, v.Oldest, v.Ended = x.Sequence, x.Oldest, x.Ended
	v.NoneInThisRange = len(x.Changes) == 0
	for _, c := range x.Changes {
		k := keyChange{KeyChange: c, Cause: causes[c.Cause], Diff: differenceOf(changeOf(c), c.Before, c.After)}
		k.Subject = keyText([]byte(c.Subject))
		k.Time = tabAddress(v.Projection, "time", url.Values{"to": {strconv.FormatUint(c.Sequence, 10)}})
		if c.Cause == engine.ByEvent {
			k.Stream = eventAddress(stream, c.Sequence)
		}
		v.Changes = append(v.Changes, k)
	}
}

// causes are the words for what changed a key, but for events.
var causes = map[engine.Cause]string{
	engine.ByOrder:      "an order of an operator, such as the retry of an event that was set aside",
	engine.ByMigration:  "a migration of the state to another schema",
	engine.UnknownCause: "one or more events that cannot be applied again",
}

func changeOf(c engine.KeyChange) wire.KeyChange {
	switch {
	case c.Before == nil:
		return wire.KeyAdded
	case c.After == nil:
		return wire.KeyRemoved
	}
	return wire.KeyChanged
}
