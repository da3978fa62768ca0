package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"gnomon/engine/state"
)

// errAdopt ends a session whose runner is to go on with another spec.
var errAdopt = errors.New("another spec is adopted")

// adoption is a spec that a runner is to go on with.
type adoption struct {
	spec   *Spec
	swap   bool        // the module may be another one: it has to prove that it can go on
	done   func(error) // called once, by the runner
	before *adoption   // that was not begun with when this one came; nil: none
}

// adopt has the runner go on with another spec of the same generation, from its next
// session on. Done is called when it does.
func (m *monitor) adopt(spec *Spec, done func()) {
	m.propose(&adoption{spec: spec, done: func(error) { done() }})
}

// swap has the runner go on with other code on the same state, between two events. When
// the new code cannot take the state over, the runner goes on as it was, and swap returns
// why.
func (m *monitor) swap(ctx context.Context, spec *Spec) error {
	done := make(chan error, 1)
	a := &adoption{spec: spec, swap: true, done: func(err error) { done <- err }}
	m.propose(a)
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		if m.recant(a) {
			return ctx.Err()
		}
		return <-done // it is under way
	}
}

// propose notes what is to be adopted, and ends the session under way.
func (m *monitor) propose(a *adoption) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a.before = m.adoption
	m.adoption = a
	if m.cancel != nil {
		m.cancel(errAdopt)
	}
	m.notifyLocked()
}

// overtaken ends an adoption, and those before it, which another one came after. What was
// to be gone on with anyway is, for the one that came may fail.
func (r *Runner) overtaken(a *adoption) {
	if a == nil {
		return
	}
	r.overtaken(a.before)
	if a.swap {
		a.done(fmt.Errorf("%w: another change came before it", context.Canceled))
		return
	}
	r.spec = a.spec
	a.done(nil)
}

// recant takes back what the runner has not begun with.
func (m *monitor) recant(a *adoption) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.adoption != a {
		return false
	}
	m.adoption = a.before
	return true
}

func (m *monitor) adoptionIsDue() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.adoption != nil
}

// takeAdoption returns what is to be adopted, or nil.
func (m *monitor) takeAdoption() *adoption {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.adoption
	m.adoption = nil
	return a
}

// adoptDue goes on with another spec, if one is due. No session is open.
func (r *Runner) adoptDue(ctx context.Context) {
	a := r.takeAdoption()
	if a == nil {
		return
	}
	r.overtaken(a.before)
	var err error
	if a.swap {
		err = r.tryOut(ctx, a.spec)
	}
	if err == nil {
		r.spec = a.spec
		r.forget()
	}
	a.done(err)
}

// settleAdoption ends what a runner that no longer runs was to adopt.
func (r *Runner) settleAdoption() {
	r.overtaken(r.takeAdoption())
}

// forget gives up what was learned of the module that ran before, and what was decided by
// its policy of events that nothing is committed of.
func (r *Runner) forget() {
	r.plan, r.bufferLimit, r.failed = plan{}, 0, failedEvent{}
	committed := r.Published().Position.Sequence
	maps.DeleteFunc(r.verdicts, func(seq uint64, _ verdict) bool { return seq > committed })
}

// tryOut has a module take over the state, in a session of its own: it is given the
// memory that the one before it stored, and rewrites the state when that is of an older
// schema. What it did is committed, or nothing is.
func (r *Runner) tryOut(ctx context.Context, spec *Spec) error {
	ck, err := r.keyspace.Latest()
	r.took = ck.Version
	if errors.Is(err, state.ErrNoCheckpoint) {
		return nil // it has done nothing yet
	}
	if err != nil {
		return err
	}
	was := r.spec
	r.spec = spec
	defer func() { r.spec = was }()
	s, err := r.openSession(ctx)
	if err != nil {
		return err
	}
	defer s.discard(ctx)
	if spec.Schema <= ck.Schema {
		return nil
	}
	if s.repeats() {
		return fmt.Errorf("its memory was last stored at %d, and %d is committed: it is swapped when that is stored", s.applied.Sequence, s.newest.Position.Sequence)
	}
	return s.migrate(ctx, ck.Schema)
}

// migrate has the module rewrite the state of an older schema, and commits that.
func (s *session) migrate(ctx context.Context, from int) error {
	if len(s.partitions) > 1 {
		return fmt.Errorf("partitions = %d: a state is migrated by one instance", len(s.partitions))
	}
	p := s.partitions[0]
	p.overlay.begin()
	if err := p.instance.Migrate(ctx, from, p.overlay); err != nil {
		p.overlay.rollback()
		if errors.Is(err, errWindowFull) {
			err = s.tooMuch("migrate", `have the state built anew, with on_change = "rebuild"`)
		}
		return fmt.Errorf("migrate the state from schema %d to %d: %w", from, s.spec.Schema, err)
	}
	return s.commitAlone(ctx) // the memory from before knows nothing of it
}

// discard closes a session that has nothing to commit.
func (s *session) discard(ctx context.Context) {
	_ = s.settle()
	s.committer.close()
	_ = s.partitions.close(context.WithoutCancel(ctx))
}
