package gnomontest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"gnomon/sdk/abi"
	"gnomon/sdk/go/internal/boundary"
)

// CheckInvariance runs the projection with several sizes of batches and with a
// fresh instance after every few of them, and fails the test when a run ends with
// another state, other emitted events, other errors, or other memory, than one without; the
// first event of which the result differs is named. An event that fails is passed over. It finds
// state that lives in variables, maps whose order shows, and snapshots that leave something out.
// Clocks and random numbers are not varied in a native program: engine test does that.
func CheckInvariance(t testing.TB, events []Event, o Options) {
	t.Helper()
	o.Batch, o.Restart = 1, 0
	goOn := false
	trail, want, err := oneByOne(events, o, goOn)
	var failure *Failure
	if errors.As(err, &failure) && failure.Call == abi.ExportApply {
		// To go on takes a snapshot for each batch, so it is for logs that need it.
		goOn = true
		trail, want, err = oneByOne(events, o, goOn)
	}
	if err != nil {
		t.Fatalf("events one by one: %v", err)
	}
	every := 1
	if boundary.Guest.Snapshot != nil { // which may be large
		every = max(1, len(events)/50)
	}
	runs := []Options{
		{Batch: 1, Restart: every},
		{Batch: 7},
		{Batch: 7, Restart: max(3, len(events)/7/20)},
		{Batch: 4096, Restart: 1},
	}
	for _, v := range runs {
		v.Settings, v.Older = o.Settings, o.Older
		how := fmt.Sprintf("batches of %d, restart after every %d", v.Batch, v.Restart)
		other := &run{goOn: goOn}
		c := comparison{trail: trail, state: map[string]string{}}
		other.begun = func(state map[string]string) { c.state = maps.Clone(state) }
		other.settled = func(from, to int, f *Failure) { c.compare(from, to, other.host, f) }
		got, err := other.over(events, v)
		switch {
		case err != nil:
			t.Errorf("%s: %v", how, err)
		case c.found != nil:
			e := events[c.found.event]
			t.Errorf("%s: event %d (type %q, subject %q) is the first that comes out otherwise: %s", how, trail.sequences[c.found.event], e.Type, e.Subject, c.found.text)
		default:
			if diff := difference(want, got); diff != "" {
				t.Errorf("%s: %s", how, diff)
			}
		}
	}
}

// oneByOne runs the projection, and notes what each event does.
func oneByOne(events []Event, o Options, goOn bool) (*trail, *Result, error) {
	r := &run{goOn: goOn}
	t := &trail{failures: map[int]string{}}
	r.settled = func(at, _ int, f *Failure) { t.note(at, r.host, f) }
	result, err := r.over(events, o)
	return t, result, err
}

// difference says in what two results differ first, or nothing.
func difference(want, got *Result) string {
	keys := slices.Sorted(maps.Keys(want.State))
	for _, k := range keys {
		if v, ok := got.State[k]; !ok {
			return fmt.Sprintf("key %q is missing", k)
		} else if v != want.State[k] {
			return fmt.Sprintf("key %q is %q, want %q", k, v, want.State[k])
		}
	}
	for _, k := range slices.Sorted(maps.Keys(got.State)) {
		if _, ok := want.State[k]; !ok {
			return fmt.Sprintf("key %q is there, which it should not be", k)
		}
	}
	if a, b := bytes.Join(want.Memory, nil), bytes.Join(got.Memory, nil); !bytes.Equal(a, b) {
		return fmt.Sprintf("the snapshot of its memory differs: %d bytes, want %d", len(b), len(a))
	}
	return ""
}
