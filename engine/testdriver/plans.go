package testdriver

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"gnomon/engine/guest"
)

// What variations may take, in nanoseconds that are estimated and in fuel: so it is the same on
// every machine, and a seed repeats a run. Large logs get the least of each.
const (
	restartsTime = 1_500_000_000
	chancesFuel  = 1_000_000_000

	leastRestarts             = 100
	leastChances, mostChances = 2, 12

	unmeteredEvent, unmeteredInit = 50_000, 1_500_000 // of a module that is not metered, as if it were in Go
)

// clockAfter is a time after all events, of which a clock shows nothing as at the time of the
// sandbox, 1970-01-01T00:00:00Z, a Thursday: it is in another month and year, on another day, at
// a weekend, in the afternoon, at an odd minute and second.
func clockAfter(rnd *rand.Rand, events *Events) time.Duration {
	last := int64(0)
	for i := range events.Len() {
		last = max(last, events.Record(i).TimeNs)
	}
	from := time.Unix(0, min(last, int64(200*365*24*time.Hour))).UTC().AddDate(1, 0, 0)
	for {
		at := from.Add(time.Duration(rnd.Int64N(int64(20 * 365 * 24 * time.Hour))))
		weekend := at.Weekday() == time.Saturday || at.Weekday() == time.Sunday
		if weekend && at.Month() != time.January && at.Day() != 1 && at.Hour() >= 12 && at.Minute()%2 == 1 && at.Second()%2 == 1 {
			return time.Duration(at.UnixNano())
		}
	}
}

// chances are runs with other random numbers: more than one, for two names come in the same
// order every other time.
func chances(rnd *rand.Rand, s *Stats) (plans []plan) {
	fuel := cmp.Or(s.InitFuel+s.Fuel, unmeteredInit+uint64(s.Events)*unmeteredEvent)
	for range max(leastChances, min(mostChances, chancesFuel/fuel)) {
		plans = append(plans, plan{batch: 1, around: guest.Surroundings{Chance: rnd.Uint64() | 1}})
	}
	return plans
}

// restartsFor is how many fresh instances a variation may have: a small log has one for each
// event. An instance takes what its init does, and its memory is cleared; one with memory of
// its own writes that, and has it copied with the state in case that an event fails. The factors
// are of modules in C, Rust, Go and JavaScript, which take from 50 µs to 4 ms.
func restartsFor(base *Result) int {
	s := &base.Stats
	init := s.InitFuel // 0 of a module without init
	if s.Fuel == 0 {
		init = unmeteredInit
	}
	cost := 50_000 + init/7 + s.MemoryAtStart*2/5
	if base.memory != nil {
		cost += 500 * uint64(s.Keys)
		for _, blob := range base.memory {
			cost += 4 * uint64(len(blob))
		}
	}
	return max(leastRestarts, int(restartsTime/cost))
}

// restartsOf chooses so many events, but the first, for a fresh instance to begin with. Half of
// them are chosen by type, before and after events of each: of a rare one all of them.
func restartsOf(rnd *rand.Rand, base *Result, want int) map[int]bool {
	count := base.events
	at := map[int]bool{}
	if want == count-1 {
		for i := 1; i < count; i++ {
			at[i] = true
		}
		return at
	}
	of := map[string][]int{}
	for i := range count {
		kind := base.list.Type(i)
		of[kind] = append(of[kind], i)
	}
	kinds := slices.Sorted(maps.Keys(of))
	for _, kind := range kinds {
		places := of[kind]
		rnd.Shuffle(len(places), func(i, j int) { places[i], places[j] = places[j], places[i] })
	}
	for round := 0; len(at) < want/2; round++ {
		for _, kind := range kinds {
			if round >= len(of[kind]) {
				continue
			}
			for _, i := range []int{of[kind][round], of[kind][round] + 1} {
				if 0 < i && i < count && len(at) < want/2 {
					at[i] = true
				}
			}
		}
	}
	for len(at) < want {
		at[1+rnd.IntN(count-1)] = true
	}
	return at
}
