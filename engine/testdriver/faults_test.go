package testdriver_test

import (
	"fmt"
	"testing"
	"time"

	. "gnomon/engine/testdriver"
	"gnomon/sdk/abi"
)

// The faults that are usual in Go are found in one run, whatever the seed, by the variation that
// tells of the cause and at the event that shows them first: every tenth event does.
func TestFaultsInGo(t *testing.T) {
	s := load(t, compile(t, "./testdata/faults"))
	list := NewEvents(nil)
	for i := range 100 {
		kind := "a"
		if i%10 == 9 {
			kind = "b"
		}
		headers, _ := abi.AppendHeader(nil, "ce-type", kind)
		list.Add(abi.Record{
			Sequence: uint64(i + 1), TimeNs: time.Date(2026, 3, 1, 10, 0, i, 0, time.UTC).UnixNano(),
			Subject: []byte("s." + kind), Headers: headers,
		}, i+1)
	}
	const clock, chance, restart = "another wall clock", "other random numbers", "a fresh instance for each event"
	for fault, want := range map[string]struct {
		variation string
		event     uint64 // 0: one of those that show it, of which some come out right by chance
	}{
		"two names in the order of a map":       {chance, 0},
		"what is emitted in the order of a map": {chance, 0},
		"a sum of floats in the order of a map": {chance, 0},
		"the hour of the day":                   {clock, 10},
		"the age of an event":                   {clock, 10},
		"math/rand":                             {chance, 0},
		"crypto/rand":                           {chance, 10},
		"a counter":                             {restart, 10},
		"a cache that is written too seldom":    {restart, 30},
		"nothing":                               {"", 0},
	} {
		t.Run(fault, func(t *testing.T) {
			s := s
			s.Settings = fmt.Appendf(nil, `{"fault":%q}`, fault)
			for seed := range uint64(3) {
				f := vary(t, s, list, VaryOptions{Seed: seed}).Finding
				if f == nil {
					f = &Finding{}
				}
				if f.Variation != want.variation || f.Event%10 != 0 || want.event != 0 && f.Event != want.event {
					t.Errorf("seed %d: event %d is found by %q, want event %d by %q: %v", seed, f.Event, f.Variation, want.event, want.variation, f.Difference)
				}
			}
		})
	}
}
