package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"gnomon/engine"
	"gnomon/engine/state"
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
	g, ok := w.anyRole(r, p)
	if p.policy == engine.Halt {
		w.seen.step("%s: pass over the failing event", g.as)
	} else {
		w.seen.step("%s: %s %d %s", g.as, verb, t.Sequence, t.Key)
	}
	if !ok {
		return
	}
	if p.policy == engine.Halt {
		if s, _ := w.life.engine.Status(g.as); s.Failing != 0 {
			w.order(g, engine.SkipLetters, engine.Letters{Sequence: s.Failing}, true)
		}
		return
	}
	w.order(g, verb, t, false)
}

// order gives an order, and notes what may have come of it.
func (w *simWorld) order(role simRole, verb engine.Verb, t engine.Letters, passes bool) {
	l, g := w.life, role.simGeneration
	ctx, done := w.patiently(2 * time.Minute)
	defer done()
	var before state.Version
	if ck, err := g.keyspace.Latest(); err == nil {
		before = ck.Version
	}
	came, err := l.engine.Order(ctx, role.as, verb, t)
	w.seen.saw("%s: %s of %d %s: %+v, %v", role.as, verb, t.Sequence, t.Key, came, err)
	var stopped *engine.StoppedError
	if s, gone := l.engine.Status(role.as); gone == nil && s.State == engine.Stopped && errors.Is(err, context.DeadlineExceeded) {
		w.failf("%s: an order waits for what does not run", role.as)
	}
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
