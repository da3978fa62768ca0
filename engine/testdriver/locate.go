package testdriver

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"gnomon/sdk/outcome"
)

// place is an event of which something differs, and what.
type place struct {
	event int // -1: none
	outcome.Difference
}

// locate finds, among the events of a call of which the result differs, the first of which
// it does: what the call did is held against what the same events did one by one.
func locate(ctx context.Context, s Subject, events *Events, got *span) (*Finding, error) {
	c := &comparison{got: got, events: events, emits: "emits"}
	if s.Module.Traits().Upcasts {
		c.emits = "records"
	}
	r := &run{subject: s, events: events, plan: plan{batch: 1}, settled: c.note}
	defer r.close(ctx)
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	if err := r.all(ctx, got.to); err != nil {
		return nil, err
	}
	at := c.first()
	e := events.Record(at.event)
	at.Event = e.Sequence
	return &Finding{
		Event: e.Sequence, Line: events.Line(at.event), Type: events.Type(at.event), Subject: string(e.Subject),
		Difference: at.Difference,
	}, nil
}

// comparison holds a call for some events against these events one by one.
type comparison struct {
	events *Events
	got    *span
	writes []eventWrite // of the events one by one
	made   []eventRecord
	logs   []eventLine
	errors map[int]string // by event
	emits  string         // the section that made is of
}

type eventWrite struct {
	event int
	write
}

type eventRecord struct {
	event int
	outcome.Record
}

type eventLine struct {
	event int
	text  string
}

// note takes what one of the events did by itself.
func (c *comparison) note(s *span) bool {
	if s.from < c.got.from {
		return true
	}
	for _, w := range s.writes {
		c.writes = append(c.writes, eventWrite{s.from, w})
	}
	for _, e := range slices.Concat(s.emits, s.made) {
		c.made = append(c.made, eventRecord{s.from, e})
	}
	if s.failed {
		if c.errors == nil {
			c.errors = map[int]string{}
		}
		c.errors[s.from] = s.failure
		return true
	}
	for _, line := range s.logs {
		if !ofHost(line) {
			c.logs = append(c.logs, eventLine{s.from, line})
		}
	}
	return true
}

// first is the first event of which something differs: its failure before its writes,
// before what it emits, before what it logs.
func (c *comparison) first() place {
	found := place{event: -1}
	for _, p := range []place{c.failure(), c.state(), c.emitted(), c.logged()} {
		if p.event >= 0 && (found.event < 0 || p.event < found.event) {
			found = p
		}
	}
	if found.event < 0 { // two partitions have the same key, for instance, with the same value
		found = place{c.got.from, outcome.Difference{Section: "state", Place: c.shared(), Want: "the only value of the key", Got: "one of several, in different partitions"}}
	}
	return found
}

// shared is a key that the call wrote.
func (c *comparison) shared() string {
	if len(c.got.writes) == 0 {
		return ""
	}
	return c.got.writes[len(c.got.writes)-1].key
}

func (c *comparison) failure() place {
	for i := c.got.from; i < c.got.to; i++ {
		want, failed := c.errors[i]
		if failed == c.got.failed && want == c.got.failure {
			continue
		}
		d := outcome.Difference{Section: "errors", Place: c.place(i)}
		if failed {
			d.Want = quoted(want)
		}
		if c.got.failed {
			d.Got = quoted(c.got.failure)
		}
		return place{i, d}
	}
	return place{event: -1}
}

func (c *comparison) place(i int) string {
	return fmt.Sprintf("event %d", c.events.Record(i).Sequence)
}

func quoted(text string) string { return string(outcome.EncodeValue(text)) }

// state looks at each key of which the last value differs.
func (c *comparison) state() place {
	want, got := map[string][]eventWrite{}, map[string][]eventWrite{}
	for _, w := range c.writes {
		want[w.key] = append(want[w.key], w)
	}
	for _, w := range c.got.writes {
		got[w.key] = append(got[w.key], eventWrite{-1, w})
	}
	found := place{event: -1}
	for _, key := range slices.Sorted(maps.Keys(union(want, got))) {
		if p := c.key(key, want[key], got[key]); p.event >= 0 && (found.event < 0 || p.event < found.event) {
			found = p
		}
	}
	return found
}

func union(a, b map[string][]eventWrite) map[string][]eventWrite {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// key finds the event of which what it wrote to a key differs. A module that writes as events
// come writes as often as one by one: then it is the first of these writes. One that writes
// once for a batch has written for the last of its events.
func (c *comparison) key(key string, want, got []eventWrite) place {
	w, g := last(want), last(got)
	d := outcome.Difference{Section: "state", Place: key}
	switch {
	case same(w, g):
		return place{event: -1}
	case len(want) == 0:
		d.Got = shownValue(g)
		return place{c.before(key), d}
	case len(want) == len(got):
		for i := range want {
			if !same(&want[i], &got[i]) {
				w, g = &want[i], &got[i]
				break
			}
		}
	}
	d.Want, d.Got = shownValue(w), shownValue(g)
	return place{w.event, d}
}

func last(writes []eventWrite) *eventWrite {
	if len(writes) == 0 {
		return nil
	}
	return &writes[len(writes)-1]
}

func same(a, b *eventWrite) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.present == b.present && string(a.value) == string(b.value)
}

func shownValue(w *eventWrite) string {
	switch {
	case w == nil:
		return "(not written)"
	case !w.present:
		return "(deleted)"
	}
	return string(outcome.EncodeValue(string(w.value)))
}

// before is the event during which the call wrote a key that the events one by one do not
// write: that of the write before it, or the first.
func (c *comparison) before(key string) int {
	event, next := c.got.from, 0
	for _, w := range c.got.writes {
		if w.key == key {
			break
		}
		for i := next; i < len(c.writes); i++ {
			if c.writes[i].key == w.key {
				event, next = c.writes[i].event, i+1
				break
			}
		}
	}
	return event
}

func (c *comparison) emitted() place {
	got := slices.Concat(c.got.emits, c.got.made)
	for i := range max(len(c.made), len(got)) {
		one, other := outcome.Outcome{Emits: []outcome.Record{}}, outcome.Outcome{}
		event := c.got.from
		if i < len(got) {
			other.Emits = append(other.Emits, got[i])
			event = c.placeOf(got[i].Event)
		}
		if i < len(c.made) {
			one.Emits = append(one.Emits, c.made[i].Record)
			event = c.made[i].event
		}
		// Both entries are shown, though they may be of different events.
		if all := outcome.Compare(&one, &other); len(all) > 0 {
			d := outcome.Difference{Section: c.emits, Place: c.place(event)}
			for _, x := range all {
				d.Want, d.Got = d.Want+x.Want, d.Got+x.Got
			}
			return place{event, d}
		}
	}
	return place{event: -1}
}

// placeOf is the place of an event by its sequence.
func (c *comparison) placeOf(sequence uint64) int {
	for i := c.got.from; i < c.got.to; i++ {
		if c.events.Record(i).Sequence == sequence {
			return i
		}
	}
	return c.got.from
}

func (c *comparison) logged() place {
	var got []string
	if !c.got.failed {
		got = slices.DeleteFunc(slices.Clone(c.got.logs), ofHost)
	}
	for i := range max(len(c.logs), len(got)) {
		event := c.got.to - 1
		d := outcome.Difference{Section: "logs"}
		if i < len(got) {
			d.Got = quoted(got[i])
		}
		if i < len(c.logs) {
			event, d.Want = c.logs[i].event, quoted(c.logs[i].text)
		}
		if d.Want != d.Got {
			d.Place = c.place(event)
			return place{event, d}
		}
	}
	return place{event: -1}
}
