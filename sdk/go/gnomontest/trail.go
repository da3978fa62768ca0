package gnomontest

import (
	"fmt"
	"slices"
)

// trail is what events did one by one.
type trail struct {
	sequences []uint64
	writes    []tracedWrite
	emits     []tracedEmit
	failures  map[int]string // texts, by the place of the event
}

type tracedWrite struct {
	event int // its place
	write
}

type tracedEmit struct {
	event int
	Emitted
	headers string
}

// note takes what the event at a place did, or what it failed with.
func (t *trail) note(at int, h *host, f *Failure) {
	t.sequences = append(t.sequences, h.sequence[0])
	if f != nil {
		t.failures[at] = f.Text
	}
	for _, w := range h.writes {
		t.writes = append(t.writes, tracedWrite{at, w})
	}
	for i := h.emits; i < len(h.emitted); i++ {
		t.emits = append(t.emits, tracedEmit{at, h.emitted[i], fmt.Sprint(h.headers[i])})
	}
}

// comparison holds a run batch by batch against the same events one by one.
type comparison struct {
	trail  *trail
	state  map[string]string // after the events one by one, up to the batch
	writes int               // of the trail that are in state
	emits  int               // of the trail that were compared
	found  *finding          // the first event that differs; nil: none yet
}

// finding is an event, by its place, of which something differs, and what.
type finding struct {
	event int
	text  string
}

// compare looks at a batch of the events from one place up to another, or at one that failed.
func (c *comparison) compare(from, to int, h *host, failure *Failure) {
	if c.found == nil {
		c.found = c.compareFailures(from, to, failure)
	}
	if c.found != nil {
		return
	}
	first := c.writes
	for c.writes < len(c.trail.writes) && c.trail.writes[c.writes].event < to {
		w := c.trail.writes[c.writes]
		if w.value == nil {
			delete(c.state, w.key)
		} else {
			c.state[w.key] = *w.value
		}
		c.writes++
	}
	for _, key := range touched(c.trail.writes[first:c.writes], h.writes) {
		want, wanted := c.state[key]
		got, there := h.state[key]
		if want == got && wanted == there {
			continue
		}
		if f := locate(key, c.trail.writes[first:c.writes], h.writes, from); c.found == nil || f.event < c.found.event {
			c.found = f
		}
	}
	if f := c.compareEmits(from, to, h); f != nil && (c.found == nil || f.event < c.found.event) {
		c.found = f
	}
}

// compareFailures looks at which events fail, and with what.
func (c *comparison) compareFailures(from, to int, failure *Failure) *finding {
	for i := from; i < to; i++ {
		want, fails := c.trail.failures[i]
		switch {
		case failure == nil && fails:
			return &finding{i, fmt.Sprintf("it is applied, want that it fails with %q", want)}
		case failure != nil && !fails:
			return &finding{i, fmt.Sprintf("it fails with %q, want that it is applied", failure.Text)}
		case failure != nil && failure.Text != want:
			return &finding{i, fmt.Sprintf("it fails with %q, want %q", failure.Text, want)}
		}
	}
	return nil
}

// touched are the keys that were written, in order.
func touched(one []tracedWrite, other []write) (keys []string) {
	for _, w := range one {
		keys = append(keys, w.key)
	}
	for _, w := range other {
		keys = append(keys, w.key)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// locate finds the event of which the write of a key differs. A handler writes as events come:
// then it is the first of these writes; otherwise that of the last event that wrote the key.
func locate(key string, one []tracedWrite, other []write, from int) *finding {
	one = slices.DeleteFunc(slices.Clone(one), func(w tracedWrite) bool { return w.key != key })
	other = slices.DeleteFunc(slices.Clone(other), func(w write) bool { return w.key != key })
	if len(one) == 0 {
		return &finding{from, fmt.Sprintf("key %q is %s, want that it is not written", key, other[len(other)-1])}
	}
	want, got := one[len(one)-1], write{}
	if len(other) > 0 {
		got = other[len(other)-1]
	}
	if len(one) == len(other) {
		for i := range one {
			if one[i].write.String() != other[i].String() {
				want, got = one[i], other[i]
				break
			}
		}
	}
	return &finding{want.event, fmt.Sprintf("key %q is %s, want %s", key, got, want.write)}
}

func (w write) String() string {
	if w.value == nil {
		return "absent"
	}
	return fmt.Sprintf("%q", *w.value)
}

func (c *comparison) compareEmits(from, to int, h *host) *finding {
	for i := h.emits; ; i++ {
		more := c.emits < len(c.trail.emits) && c.trail.emits[c.emits].event < to
		switch {
		case !more && i == len(h.emitted):
			return nil
		case !more:
			return &finding{from, fmt.Sprintf("emitted %+v, want nothing more", h.emitted[i])}
		}
		want := c.trail.emits[c.emits]
		switch {
		case i == len(h.emitted):
			return &finding{want.event, fmt.Sprintf("emitted nothing, want %+v", want.Emitted)}
		case h.emitted[i] != want.Emitted || fmt.Sprint(h.headers[i]) != want.headers:
			return &finding{want.event, fmt.Sprintf("emitted %+v %v, want %+v %s", h.emitted[i], h.headers[i], want.Emitted, want.headers)}
		}
		c.emits++
	}
}
