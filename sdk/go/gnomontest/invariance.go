package gnomontest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"
)

// CheckInvariance runs the projection with several sizes of batches and with a
// fresh instance after every few of them, and fails the test when a run ends with
// another state, or other memory, than one without. It finds state that lives in
// variables, maps whose order shows, and snapshots that leave something out.
func CheckInvariance(t testing.TB, events []Event, o Options) {
	t.Helper()
	o.Batch, o.Restart = 1, 0
	want, err := Run(events, o)
	if err != nil {
		t.Fatalf("events one by one: %v", err)
	}
	runs := []Options{
		{Batch: 1, Restart: max(1, len(events)/50)},
		{Batch: 7},
		{Batch: 7, Restart: max(3, len(events)/7/20)},
		{Batch: 4096, Restart: 1},
	}
	for _, v := range runs {
		v.Settings = o.Settings
		how := fmt.Sprintf("batches of %d, restart after every %d", v.Batch, v.Restart)
		got, err := Run(events, v)
		if err != nil {
			t.Errorf("%s: %v", how, err)
			continue
		}
		if diff := difference(want, got); diff != "" {
			t.Errorf("%s: %s", how, diff)
		}
	}
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
