package query

import (
	"context"
	"net/http"
	"sync"
	"time"

	"gnomon/engine"
	"gnomon/engine/query/wire"
)

const (
	// sampleEvery is how long a sample covers.
	sampleEvery = 5 * time.Second
	// maxSamples are kept of each projection: those of 10 minutes, in 6 KiB.
	maxSamples = int(10 * time.Minute / sampleEvery)
)

// samples is what projections did lately, for the curves of a page: whoever wants more of
// the past scrapes the metrics.
type samples struct {
	running sync.WaitGroup

	mu sync.Mutex
	of map[string]*sampled // by projection
}

// sampled is what one did.
type sampled struct {
	at           time.Time // of the newest sample
	events, fuel uint64    // until then, since the engine started
	kept         []wire.Sample
	next         int // place of the next one in kept, once that is full
}

// start samples until ctx ends.
func (s *samples) start(ctx context.Context, read func() []engine.Status) {
	s.running.Go(func() {
		tick := time.NewTicker(sampleEvery)
		defer tick.Stop()
		for {
			s.take(read(), time.Now())
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
}

// take adds a sample of each projection, and forgets those that are gone.
func (s *samples) take(all []engine.Status, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.of
	s.of = make(map[string]*sampled, len(all))
	for _, st := range all {
		one := before[st.Projection]
		if one == nil {
			one = &sampled{}
		} else {
			one.add(st, now)
		}
		one.at, one.events, one.fuel = now, st.Events, st.FuelUsed
		s.of[st.Projection] = one
	}
}

// add makes a sample of what was done since the last one. Counts begin anew when another
// generation comes to be read.
func (s *sampled) add(st engine.Status, now time.Time) {
	took := now.Sub(s.at).Seconds()
	if took <= 0 {
		return
	}
	if st.Events < s.events || st.FuelUsed < s.fuel {
		s.events, s.fuel = 0, 0
	}
	events := st.Events - s.events
	one := wire.Sample{Time: now.UTC(), Rate: float64(events) / took, Behind: st.Behind, BehindMs: st.BehindMs}
	if events > 0 {
		one.Fuel = (st.FuelUsed - s.fuel) / events
	}
	if len(s.kept) < maxSamples {
		s.kept = append(s.kept, one)
		return
	}
	s.kept[s.next] = one
	s.next = (s.next + 1) % maxSamples
}

// list returns the samples of a projection, the oldest first.
func (s *samples) list(projection string) []wire.Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []wire.Sample{}
	if one := s.of[projection]; one != nil {
		all = append(append(all, one.kept[one.next:]...), one.kept[:one.next]...)
	}
	return all
}

// samplesOf answers with what a projection did lately.
func (s *Server) samplesOf(w http.ResponseWriter, r *http.Request, name string) {
	if !allowed(w, r, http.MethodGet) {
		return
	}
	if _, ok := parameters(w, r); !ok {
		return
	}
	if _, err := s.engine.Status(name); err != nil {
		failed(w, err)
		return
	}
	answer(w, http.StatusOK, wire.Samples{Projection: name, EveryMs: sampleEvery.Milliseconds(), Samples: s.samples.list(name)})
}
