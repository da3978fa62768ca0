package engine_test

import (
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
	w.quiet(r)
	w.seen.step("history: the stream's end is %d", w.last())
	restart := r.IntN(2) == 0
	if restart {
		w.stop("stop")
	}
	for _, g := range w.generations() {
		g.log = slices.Clone(w.log)
	}
	changed := w.change(r)
	if restart {
		w.start(r)
	} else {
		w.server.LoseReaders()
	}
	for _, p := range w.projections {
		g := w.generation(p)
		if !restart && w.status(p).State == engine.Halted {
			continue // it looks at nothing
		}
		w.settle(p, func(s engine.Status) bool {
			if s.Committed <= changed {
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

// change changes the history, and returns up to where it is still the one that was read.
func (w *simWorld) change(r *rand.Rand) (same uint64) {
	kind := r.IntN(3)
	back := uint64(1 + r.IntN(4))
	n := r.IntN(10)
	switch kind {
	case 0:
		w.seen.step("the stream is created anew, with %d events", n)
		time.Sleep(time.Second) // of the bubble
		w.server.Create(streamName)
		w.log = nil
		w.append(r, n)
		return 0
	case 1:
		w.seen.step("the stream loses its last %d events, and gets %d others", back, n)
		same = w.last() - back
		w.server.Rewind(streamName, same)
		w.log = slices.Clone(w.log[:same])
		time.Sleep(time.Second)
		w.append(r, n)
		return same
	}
	w.seen.step("nothing is changed, and %d events come", n)
	w.append(r, n)
	return ^uint64(0)
}
