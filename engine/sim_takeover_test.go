package engine_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing/synctest"
	"time"

	"gnomon/engine"
	"gnomon/engine/streams"
)

// anyRole picks a generation of a projection; false: it has none of the role that was drawn.
func (w *simWorld) anyRole(r *rand.Rand, p *simProjection) (simRole, bool) {
	role := []engine.Role{engine.RoleLive, engine.RoleLive, engine.RoleLive, engine.RoleCandidate, engine.RolePrevious}[r.IntN(5)]
	synctest.Wait() // so that nobody is about to change them
	all := w.roles(p)
	i := slices.IndexFunc(all, func(g simRole) bool { return g.role == role })
	if i < 0 {
		return simRole{as: p.name + "@" + string(role)}, false
	}
	return all[i], true
}

// stepDeclare declares a projection as something else while the engine runs.
func (w *simWorld) stepDeclare(r *rand.Rand) {
	p := w.anyProjection(r)
	if !w.changes {
		return // what was trimmed cannot be read again
	}
	was := p.simTraits
	switch r.IntN(4) {
	case 0:
		p.version = 1 + r.IntN(3)
	case 1, 2:
		p.build = r.IntN(3)
	}
	p.promote = drawPromotion(r)
	p.keep = drawKeep(r)
	w.seen.step("%s: declared %+v", p.name, p.simTraits)
	if !w.declare(r, p) {
		// As its configuration is mended. Its name is read meanwhile.
		p.version, p.build, p.promote, p.keep = was.version, was.build, was.promote, was.keep
	}
}

func drawPromotion(r *rand.Rand) engine.PromotePolicy {
	return []engine.PromotePolicy{engine.PromoteItself, engine.PromoteItself, engine.PromoteWhenEqual, engine.PromoteByHand}[r.IntN(4)]
}

func drawKeep(r *rand.Rand) time.Duration {
	return []time.Duration{0, 0, 10 * time.Second, 10 * time.Minute}[r.IntN(4)]
}

// declare declares a projection as it is now, and reports whether that was taken: other
// code may fail to take over the state.
func (w *simWorld) declare(r *rand.Rand, p *simProjection) bool {
	ctx, done := w.patiently(10 * time.Minute)
	defer done()
	plan, err := w.life.engine.Declare(ctx, w.specOf(r, w.life, p, p.simTraits))
	w.seen.saw("%s: %+v, %v", p.name, plan, err)
	if err != nil && plan.Action != engine.ActSwap && !w.life.isOver() {
		w.failf("%s: declare: %v", p.name, err)
	}
	return err == nil || w.life.isOver()
}

// stepWithdraw has a projection no longer declared, and declared again.
func (w *simWorld) stepWithdraw(r *rand.Rand) {
	p := w.anyProjection(r)
	w.seen.step("%s: withdrawn for a while", p.name)
	l := w.life
	if err := l.engine.Withdraw(w.t.Context(), p.name, "a simulation"); err != nil && !l.isOver() {
		w.failf("%s: withdraw: %v", p.name, err)
	}
	w.sleep(time.Duration(r.IntN(5000)) * time.Millisecond)
	if l.isOver() {
		return
	}
	for _, g := range w.roles(p) {
		if s, err := l.engine.Status(g.as); err != nil || s.State != engine.Stopped {
			w.failf("%s is withdrawn, and it is %s: %v", g.as, s.State, err)
		}
	}
	w.readFloor(l, p)
	if !w.declare(r, p) {
		w.calm()
		if !w.declare(r, p) {
			w.failf("%s cannot be declared again", p.name)
		}
	}
}

// stepTurn has readers go over to another generation.
func (w *simWorld) stepTurn(r *rand.Rand) {
	p := w.anyProjection(r)
	call, name := w.life.engine.Promote, "promote"
	if r.IntN(3) == 0 {
		call, name = w.life.engine.Rollback, "rollback"
	}
	w.seen.step("%s: %s", p.name, name)
	w.append(r, r.IntN(5))
	w.sleep(time.Duration(r.IntN(200)) * time.Millisecond) // they are committed, and not yet durable
	if w.life.isOver() {
		return
	}
	w.readFloor(w.life, p)
	w.turn(p, name, call)
}

func (w *simWorld) turn(p *simProjection, name string, call func(context.Context, string) (engine.Promotion, error)) {
	ctx, done := w.patiently(time.Hour)
	defer done()
	came, err := call(ctx, p.name)
	w.seen.saw("%s: %s: %+v, %v", p.name, name, came, err)
	if err != nil && !w.mayFail(err) {
		w.failf("%s: %s: %v", p.name, name, err)
	}
}

// mayFail reports whether an error is one of those that a change of readers may have.
func (w *simWorld) mayFail(err error) bool {
	for _, known := range []error{
		engine.ErrBehind, engine.ErrNoGeneration, engine.ErrNotReady, engine.ErrIncomparable, engine.ErrUnpublished, streams.ErrSourceDown, errDisk, context.DeadlineExceeded,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return w.life.isOver()
}

// stepCompare holds two generations that are read at one sequence against the model.
func (w *simWorld) stepCompare(r *rand.Rand) {
	p := w.anyProjection(r)
	name := p.name + []string{"", "@candidate", "@previous"}[r.IntN(3)]
	w.seen.step("%s: compare", name)
	ctx, done := w.patiently(time.Hour)
	defer done()
	c, err := w.life.engine.Compare(ctx, name)
	w.seen.saw("%s: compare: %v", name, err)
	if err != nil {
		if !w.mayFail(err) {
			w.failf("%s: compare: %v", name, err)
		}
		return
	}
	defer c.Close()
	for _, reading := range []*engine.Reading{c.Live, c.Candidate} {
		if at := reading.Checkpoint.Position.Sequence; at != c.Sequence {
			w.failf("%s: compared is %d, not %d", name, at, c.Sequence)
		}
		w.failIfNot(reading)
		w.mu.Lock()
		g := w.gens[p.name+reading.Generation]
		w.mu.Unlock()
		if g == nil {
			w.failf("%s: generation %s is read and gone", name, reading.Generation)
		}
		w.check(g)
		w.checkState(g, g.keyspace.Checkpoints()[0].Position.Sequence, reading.Checkpoint, false)
	}
}
