package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing/synctest"
	"time"

	"gnomon/engine"
)

// stepOrder has something done with what is set aside, whatever else goes on.
func (w *simWorld) stepOrder(r *rand.Rand) {
	p := w.anyProjection(r)
	verb := []engine.Verb{engine.RetryLetters, engine.RetryLetters, engine.SkipLetters, engine.DropLetters}[r.IntN(4)]
	var t engine.Letters
	switch r.IntN(4) {
	case 0:
		t.Key = fmt.Appendf(nil, "k%d", r.IntN(7))
	case 1, 2:
		var failing []uint64
		for i := range w.log {
			if w.log[i].kind() == simPoison || w.log[i].kind() == simOdd {
				failing = append(failing, w.log[i].seq)
			}
		}
		if len(failing) > 0 {
			t.Sequence = failing[len(failing)-1-r.IntN(min(len(failing), 20))]
			if next := t.Sequence + 1; r.IntN(4) == 0 && next <= w.last() && !w.log[next-1].deleted {
				t.Sequence = next
				w.log[next-1].ordered = true
			}
		}
	}
	if p.policy == engine.Halt {
		w.seen.step("%s: pass over the failing event", p.name)
		if seq := w.status(p).Failing; seq != 0 {
			w.order(p, engine.SkipLetters, engine.Letters{Sequence: seq}, true)
		}
		return
	}
	w.seen.step("%s: %s %d %s", p.name, verb, t.Sequence, t.Key)
	w.order(p, verb, t, false)
}

// order gives an order, and notes what may have come of it.
func (w *simWorld) order(p *simProjection, verb engine.Verb, t engine.Letters, passes bool) {
	synctest.Wait()
	l, g := w.life, w.generation(p)
	if g == nil {
		return
	}
	ctx, done := w.patiently(2 * time.Minute)
	defer done()
	var before engine.Version
	if ck, err := g.keyspace.Latest(); err == nil {
		before = ck.Version
	}
	came, err := l.engine.Order(ctx, p.name, verb, t)
	w.seen.saw("%s: %s of %d %s: %+v, %v", p.name, verb, t.Sequence, t.Key, came, err)
	var stopped *engine.StoppedError
	withdrawn := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
	if errors.Is(err, engine.ErrNoLetter) || errors.As(err, &stopped) || withdrawn {
		return
	}
	o := simOrder{verb: verb, letters: t, level: int(w.level.Load()), steps: allSteps, passes: passes}
	var scripts [][]simOrder
	if err != nil {
		scripts = slices.Clone(g.scripts)
	}
	positions := map[uint64]bool{}
	all := g.keyspace.Checkpoints()
	parts := 1
	for _, ck := range all {
		parts = max(parts, int(ck.Aside.Letters)+1)
	}
	for _, ck := range all {
		at := ck.Position.Sequence
		if ck.Version < before || positions[at] || passes && len(positions) > 0 {
			continue
		}
		positions[at] = true
		for _, s := range g.scripts {
			o.at = at
			script := append(slices.Clip(s), o)
			scripts = append(scripts, script)
			if err != nil && !passes {
				scripts = append(scripts, lastParts(script, parts)[1:]...)
			}
		}
	}
	g.scripts = scripts
	w.check(g)
	w.failIfWrong()
}
