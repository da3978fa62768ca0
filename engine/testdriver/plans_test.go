package testdriver

import (
	"math/rand/v2"
	"testing"
	"time"

	"gnomon/sdk/abi"
)

// Where not every event gets a fresh instance, those around an event of a rare type do.
func TestRestartsAroundRareEvents(t *testing.T) {
	list := NewEvents(nil)
	for i := range 10_000 {
		subject := "often"
		if i%4000 == 3999 {
			subject = "rare"
		}
		list.Add(abi.Record{Sequence: uint64(i + 1), Subject: []byte(subject)}, 0)
	}
	base := &Result{list: list, events: list.Len()}
	for seed := range uint64(20) {
		at := restartsOf(rand.New(rand.NewPCG(seed, 0)), base, 100)
		if len(at) != 100 || at[0] || !at[3999] || !at[4000] || !at[7999] || !at[8000] {
			t.Fatalf("seed %d: %v", seed, at)
		}
	}
}

// The other clock is later than all events, and shows nothing that the sandbox's own does.
func TestClockAfterEvents(t *testing.T) {
	list := NewEvents(nil)
	last := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	for _, at := range []time.Time{last, last.AddDate(-9, 0, 0)} {
		list.Add(abi.Record{Sequence: uint64(list.Len() + 1), TimeNs: at.UnixNano()}, 0)
	}
	for seed := range uint64(50) {
		at := time.Unix(0, int64(clockAfter(rand.New(rand.NewPCG(seed, 0)), list))).UTC()
		if !at.After(last) || at.Year() == 1970 || at.Month() == time.January || at.Weekday() == time.Thursday || at.Hour() == 0 || at.Minute() == 0 || at.Second() == 0 {
			t.Errorf("seed %d: %s", seed, at)
		}
	}
}
