package engine_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"gnomon/engine"
)

// history is what a generation reads, and has read.
func (w *simWorld) history(g *simGeneration) []simEvent {
	switch n := len(g.prefix); {
	case n == 0:
		return w.log
	case n >= len(w.log):
		return g.prefix
	default:
		return append(slices.Clip(g.prefix), w.log[n:]...)
	}
}

// stepRewrite changes the stream's history, at a quiet moment: who has read what is no
// more, or can no longer read what comes next, must say so and keep what it has; all
// others go on. Then each goes on in one of the ways that there are.
func (w *simWorld) stepRewrite(r *rand.Rand) {
	// Nothing is deleted at the end: an event that is gone vouches for nothing.
	w.append(r, 5)
	w.quiet()
	w.rewriteEmits()
	w.seen.step("history: the stream's end is %d", w.last())
	restart := r.IntN(2) == 0
	if restart {
		w.stop("stop")
	}
	read := w.read()
	same := w.change(r)
	for _, g := range w.generations() {
		prefix, begun := read[g]
		switch {
		case begun && int64(len(prefix)) > same:
			g.prefix, g.other = prefix, true
		case !begun:
			g.other = g.beginsBefore(w.first)
		}
	}
	if restart {
		w.start()
	}
	for _, p := range w.projections {
		w.mu.Lock()
		p.floor.loose = true
		w.mu.Unlock()
		if !restart && w.any(p, halted) {
			w.again(p) // else it looks at nothing
		}
		w.settle(p, func(p *simProjection) bool {
			return !w.any(p, func(g simRole, s engine.Status) bool { return !w.notices(g, s) })
		})
	}
	w.sleep(time.Minute)
	w.look()
	if r.IntN(2) == 0 {
		w.sky.Store(drawWeather(r))
	}
	for _, p := range w.projections {
		w.wayOut(p)
	}
	w.quiet()
}

// beginsBefore reports whether a projection is to begin at an event before the first that
// the stream holds: that it does not by itself.
func (s *simTraits) beginsBefore(first uint64) bool {
	return s.start.Sequence > 1 && s.start.Sequence < first
}

// read is what each generation has read, whatever becomes of the stream.
func (w *simWorld) read() map[*simGeneration][]simEvent {
	read := map[*simGeneration][]simEvent{}
	for _, g := range w.generations() {
		if ck, err := g.keyspace.Latest(); err == nil {
			read[g] = slices.Clone(w.history(g)[:ck.Position.Sequence])
		}
	}
	return read
}

// notices reports whether a generation has found out whether its history is another now.
func (w *simWorld) notices(g simRole, s engine.Status) bool {
	if !g.other || s.State == engine.Stopped {
		return w.rests(g, s)
	}
	if all := g.keyspace.Checkpoints(); len(all) > 0 && all[0].Position.Sequence == uint64(len(g.prefix)) && s.State != engine.Diverged {
		return w.rests(g, s) // it has read nothing
	}
	if s.State == engine.Live && s.Applied > uint64(len(g.prefix)) {
		w.failf("%s went on to %d, though it had read another history up to %d", g.as, s.Applied, s.Committed)
	}
	return s.State == engine.Diverged
}

// change changes the history, and returns up to which position it is still the one that
// was read; -1: it is another stream.
func (w *simWorld) change(r *rand.Rand) (same int64) {
	kind := r.IntN(4)
	back := uint64(1 + r.IntN(4))
	n := r.IntN(10)
	switch kind {
	case 0:
		n = 8 + r.IntN(len(w.log)+20)
		w.seen.step("the stream is created anew, with %d events", n)
		time.Sleep(time.Second) // of the bubble
		w.server.Create(streamName)
		w.log, w.first = nil, 1
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
	case 2:
		lost := 1 + r.IntN(5)
		w.seen.step("%d events are lost before they are read, and %d come", lost, n+1)
		w.server.SetSilent(true)
		w.append(r, lost+n+1)
		w.first = w.last() - uint64(n)
		w.server.Purge(streamName, w.first)
		for i := range w.log[:w.first-1] {
			w.log[i].deleted = true
		}
		w.server.SetSilent(false)
		return -1
	}
	w.seen.step("nothing is changed, and %d events come", n)
	w.append(r, n)
	return math.MaxInt64
}

// wayOut has a projection that has diverged go on: what the stream is now is accepted, or
// it is built anew. One whose candidate is halted stays as it is.
func (w *simWorld) wayOut(p *simProjection) {
	for accept, tries := w.dice.hit("accept "+p.name, 0.5), 0; w.status(p).State == engine.Diverged; tries++ {
		if tries == 3 {
			w.calm()
		}
		if tries == 100 {
			w.failf("%s: no way out of %+v", p.name, w.status(p))
		}
		if accept {
			var stopped *engine.StoppedError
			err := w.accept(p)
			accept = !errors.Is(err, engine.ErrNotAcceptable) && !errors.As(err, &stopped) // its memory may be older
		} else if c := w.status(p).Candidate; c == nil || c.State == engine.Diverged || c.State == engine.Stopped {
			w.rebuild(p)
		} else if (c.State == engine.Live || c.State == engine.Stalled) && !c.Auto {
			w.turn(p, "promote", w.life.engine.Promote)
		} else if c.State == engine.Halted && tries > 10 {
			return
		}
		w.sleep(10 * time.Second)
		w.revive()
	}
}

// stepAccept accepts a history that is what it was: that is refused.
func (w *simWorld) stepAccept(r *rand.Rand) {
	p := w.anyProjection(r)
	w.seen.step("%s: accept", p.name)
	w.accept(p)
}

func (w *simWorld) accept(p *simProjection) error {
	ctx, done := w.patiently(2 * time.Minute)
	defer done()
	a, err := w.life.engine.Accept(ctx, p.name, "a simulation")
	w.seen.saw("%s: accept: %+v, %v", p.name, a, err)
	if g := w.generation(p); err == nil && !g.other {
		w.failf("%s: accepted is %+v, though the history is what it was", p.name, a)
	}
	return err
}

// stepRebuild has a projection built anew, whatever else goes on.
func (w *simWorld) stepRebuild(r *rand.Rand) {
	p := w.anyProjection(r)
	if !w.changes {
		return // what was trimmed cannot be read again
	}
	w.seen.step("%s: rebuild", p.name)
	w.rebuild(p)
}

func (w *simWorld) rebuild(p *simProjection) {
	ctx, done := w.patiently(time.Hour)
	defer done()
	err := w.life.engine.Rebuild(ctx, p.name)
	w.seen.saw("%s: rebuild: %v", p.name, err)
	if err != nil && !w.life.isOver() {
		w.failf("%s: rebuild: %v", p.name, err)
	}
}

// patiently is a context that ends after a while, of the bubble's time, and with the
// engine's process.
func (w *simWorld) patiently(d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(w.t.Context(), d)
	over := w.life.over
	go func() {
		select {
		case <-over:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}
