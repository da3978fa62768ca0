package testdriver

import (
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"time"

	"gnomon/sdk/outcome"
)

// Stats are what a run took. Fuel is 0 when the module is not metered.
type Stats struct {
	Events, Failed int
	Types          []TypeStats // by name
	InitFuel       uint64
	Fuel           uint64 // of all events
	HostCalls      uint64
	Took           time.Duration // one event a call
	Keys, Bytes    int           // of the state, at the end

	// The most memory that an instance had, in bytes: when it was started, after a tenth of
	// the events, half way from there, and at the end.
	MemoryAtStart, MemoryAtTenth, MemoryHalfWay, MemoryAtEnd uint64
}

func (s *Stats) add(p *span, total int) {
	s.Events++
	if p.failed {
		s.Failed++
	}
	s.Fuel += p.cost.Fuel
	s.HostCalls += p.cost.HostCalls
	s.Took += p.cost.Took
	s.MemoryAtEnd = p.memory
	if s.Events <= max(1, total/10) {
		s.MemoryAtTenth = p.memory
	}
	if s.Events <= max(1, total*55/100) {
		s.MemoryHalfWay = p.memory
	}
}

// Leak is by how many bytes an event memory grows, and goes on to; 0: it does not.
func (s *Stats) Leak() uint64 {
	if s.Events < 20 || s.MemoryHalfWay <= s.MemoryAtTenth || s.MemoryAtEnd <= s.MemoryHalfWay {
		return 0
	}
	return max(1, (s.MemoryAtEnd-s.MemoryAtTenth)/uint64(s.Events*9/10))
}

// TypeStats are what the events of one type took, each.
type TypeStats struct {
	Type                        string
	Events                      int
	LeastFuel, MedianFuel, Most uint64
	MostAt                      uint64  // sequence of the one that took most
	HostCalls                   float64 // on average
}

// types collects statistics by type.
type types struct{ of map[string]*typeCosts }

type typeCosts struct {
	fuel   []uint64
	calls  uint64
	most   uint64
	mostAt uint64
}

func newTypes() *types { return &types{map[string]*typeCosts{}} }

func (t *types) add(kind string, sequence uint64, c Cost) {
	of := t.of[kind]
	if of == nil {
		of = &typeCosts{mostAt: sequence}
		t.of[strings.Clone(kind)] = of
	}
	of.fuel = append(of.fuel, c.Fuel)
	of.calls += c.HostCalls
	if c.Fuel > of.most {
		of.most, of.mostAt = c.Fuel, sequence
	}
}

func (t *types) list() (all []TypeStats) {
	for _, kind := range slices.Sorted(maps.Keys(t.of)) {
		of := t.of[kind]
		slices.Sort(of.fuel)
		n := len(of.fuel)
		all = append(all, TypeStats{
			Type: kind, Events: n, LeastFuel: of.fuel[0], MedianFuel: of.fuel[n/2], Most: of.fuel[n-1],
			MostAt: of.mostAt, HostCalls: float64(of.calls) / float64(n),
		})
	}
	return all
}

// trace is what all events up to one came to: digests that are the same when it is.
type trace struct{ state, emits, errors, logs uint64 }

func (t *trace) add(s *span) {
	t.state = s.digest
	for _, e := range s.emits {
		t.emits = mix(t.emits, e)
	}
	for _, e := range s.made {
		t.emits = mix(t.emits, e)
	}
	if s.failed {
		t.errors = mixText(t.errors, uint64(s.from), s.failure)
		return // how an instance dies may tell of addresses
	}
	for _, line := range s.logs {
		if !ofHost(line) {
			t.logs = mixText(t.logs, 0, line)
		}
	}
}

// ofHost tells lines that the host writes, once for a call: of how many events that is shows.
func ofHost(line string) bool { return strings.HasPrefix(line, "warn: went on after ") }

func mix(h uint64, r outcome.Record) uint64 {
	h = mixText(h, r.Event, r.Subject)
	for _, x := range r.Headers {
		h = mixText(mixText(h, 1, x.Name), 2, x.Value)
	}
	return mixText(h, 3, r.Data)
}

func mixText(h, n uint64, text string) uint64 {
	return maphash.Comparable(digestSeed, struct {
		h, n uint64
		text string
	}{h, n, text})
}
