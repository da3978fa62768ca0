package engine_test

import (
	"errors"
	"math/rand/v2"

	"gnomon/engine"
)

// checkPast holds what is read of the past of a generation against the model: whatever is
// answered is the state of that prefix of its history.
func (w *simWorld) checkPast(r *rand.Rand, g simRole) {
	all := g.keyspace.Checkpoints()
	if g.other || len(all) == 0 {
		return
	}
	from, to := all[0].Position.Sequence, all[len(all)-1].Position.Sequence
	for range 3 {
		at := from + r.Uint64N(to-from+1)
		reading, err := w.life.engine.ReadAt(w.t.Context(), g.as, engine.At{Sequence: at, Replay: r.IntN(2) == 0})
		if err != nil {
			expected := false
			for _, is := range []error{engine.ErrNotKept, engine.ErrEventsGone, engine.ErrNotRepeatable, engine.ErrNotReached, engine.ErrNotReady, engine.ErrNoGeneration} {
				expected = expected || errors.Is(err, is)
			}
			if !expected && !errors.As(err, new(*engine.HistoryError)) {
				w.failf("%s as of %d: %v", g.as, at, err)
			}
			continue
		}
		w.seen.saw("%s is read as of %d", g.name, at)
		w.checkReading(g.simGeneration, from, at, reading)
		reading.Close()
	}
}

func (w *simWorld) checkReading(g *simGeneration, from, at uint64, reading *engine.Reading) {
	if got := reading.Checkpoint.Position.Sequence; got != at {
		w.failf("%s as of %d is as of %d", g.name, at, got)
	}
	o := w.observed(g, reading.View, reading.Checkpoint)
	if d := o.totals(); d != "" {
		w.failf("%s as of %d: %s", g.name, at, d)
	}
	differ := ""
	for _, s := range g.scripts {
		for n := len(s); n >= 0; n-- {
			for _, part := range lastParts(s[:n], partSteps) {
				if differ = o.differs(w.fold(g, from, at, part, o)); differ == "" {
					return
				}
			}
		}
	}
	w.failf("%s (%+v) as of %d: no order explains %s", g.name, g.simTraits, at, differ)
}
