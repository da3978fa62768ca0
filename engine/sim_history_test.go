package engine_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"gnomon/engine"
)

// rewrite changes the stream's history, at a quiet moment: who has read what is no more,
// or can no longer read what comes next, must say so and keep what it has; all others
// go on.
func (w *simWorld) rewrite(r *rand.Rand) {
	// Nothing is deleted at the end: an event that is gone vouches for nothing.
	w.append(r, 5)
	w.quiet()
	w.seen.step("history: the stream's end is %d", w.last())
	restart := r.IntN(2) == 0
	if restart {
		w.stop("stop")
	}
	for _, g := range w.generations() {
		g.log = slices.Clone(w.log)
	}
	same := w.change(r)
	if restart {
		w.start()
	}
	for _, p := range w.projections {
		g := w.generation(p)
		if !restart && w.status(p).State == engine.Halted {
			continue // it looks at nothing
		}
		w.settle(p, func(s engine.Status) bool {
			if int64(s.Committed) <= same {
				g.log = nil
				return s.State == engine.Halted || s.State == engine.Live && s.Applied == w.last() && s.Committed == w.last()
			}
			if s.State == engine.Live && s.Applied > uint64(len(g.log)) {
				w.failf("%s went on to %d, though it had read another history up to %d", p.name, s.Applied, s.Committed)
			}
			return s.State == engine.Diverged
		})
	}
	w.sleep(time.Minute)
	w.look()
}

// change changes the history, and returns up to which position it is still the one that
// was read; -1: it is another stream.
func (w *simWorld) change(r *rand.Rand) (same int64) {
	kind := r.IntN(4)
	back := uint64(1 + r.IntN(4))
	n := r.IntN(10)
	switch kind {
	case 0:
		w.seen.step("the stream is created anew, with %d events", n)
		time.Sleep(time.Second) // of the bubble
		w.server.Create(streamName)
		w.log = nil
		w.append(r, n)
		return -1
	case 1:
		w.seen.step("the stream loses its last %d events, and gets %d others", back, n)
		left := w.last() - back
		w.server.Rewind(streamName, left)
		w.log = slices.Clone(w.log[:left])
		time.Sleep(time.Second)
		w.append(r, n)
		return int64(left)
	}
	if kind == 2 {
		lost := 1 + r.IntN(5)
		w.seen.step("%d events are lost before they are read, and %d come", lost, n+1)
		w.server.SetSilent(true)
		w.append(r, lost+n+1)
		w.server.Purge(streamName, w.last()-uint64(n))
		w.server.SetSilent(false)
		return -1
	}
	w.seen.step("nothing is changed, and %d events come", n)
	w.append(r, n)
	return math.MaxInt64
}
