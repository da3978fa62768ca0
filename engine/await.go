package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrNotReached says that what is served does not reflect a sequence yet.
var ErrNotReached = errors.New("not reached")

// Await waits until the state that a projection serves, or by NAME@candidate and
// NAME@previous that of another generation, reflects a sequence of its stream: a Read
// after it has the effects of that event, and one of an event that is none of the
// projection's has been passed over. So an append is read by who made it.
//
// It is woken by commits and asks nobody. A sequence that the stream does not hold yet is
// waited for. It fails at once with a *StoppedError when the projection does not go on by
// itself: then what is served stays older, or, of one that has diverged, belongs to another
// history, in which the sequence means another event. For the same reason nothing is
// reached before a projection that starts has compared the stream's history with its own.
// When ctx ends it fails with ErrNotReached and the cause. Otherwise it fails as Read does.
func (e *Engine) Await(ctx context.Context, name string, sequence uint64) error {
	for {
		p, role, err := e.find(name)
		if err != nil {
			return err
		}
		g, err := p.generation(role)
		if err != nil {
			return err
		}
		came, err := g.runner.arrivalOf(sequence)
		switch {
		case !p.hasRole(g, role): // since then: what it says is not about what is read now
			g.runner.giveUp(came)
			continue
		case err != nil:
			return fmt.Errorf("projection %s reflects %d and does not come to %d by itself: %w", name, g.runner.Published().Position.Sequence, sequence, err)
		case came == nil:
			return nil
		}
		select {
		case <-came:
		case <-ctx.Done():
			g.runner.giveUp(came)
			return fmt.Errorf("projection %s reflects %d, %d is %w: %w", name, g.runner.Published().Position.Sequence, sequence, ErrNotReached, context.Cause(ctx))
		}
	}
}

// hasRole reports whether a generation is the one of a role.
func (p *projection) hasRole(g *generation, role Role) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	is, _ := p.readsLocked(role)
	return is == g
}

// arrival is somebody's wait for a sequence to be served. Those of a runner are woken one
// by one, when what they wait for has come: to wake all of them with every commit would
// take more than the commit when many wait for what is far off.
type arrival struct {
	sequence uint64
	came     chan struct{} // closed when it may be served, or something else has changed
}

// arrivalOf returns nil when a sequence is served, and otherwise what to wait for before it is
// asked again. It fails when the runner does not go on by itself.
func (m *monitor) arrivalOf(sequence uint64) (<-chan struct{}, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	reached := m.published.Version > 0 && m.published.Position.Sequence >= sequence
	switch m.state {
	case Diverged:
		return nil, m.stoppedLocked()
	case Halted, Paused, Stopped:
		if !reached {
			return nil, m.stoppedLocked()
		}
	case Starting:
		reached = false
	}
	if reached {
		return nil, nil
	}
	a := arrival{sequence, make(chan struct{})}
	m.arrivals = append(m.arrivals, a)
	return a.came, nil
}

// giveUp ends a wait.
func (m *monitor) giveUp(came <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.arrivals = slices.DeleteFunc(m.arrivals, func(a arrival) bool { return a.came == came })
}

// wakeLocked wakes those who wait for a sequence, or for one before it.
func (m *monitor) wakeLocked(sequence uint64) {
	m.arrivals = slices.DeleteFunc(m.arrivals, func(a arrival) bool {
		if a.sequence > sequence {
			return false
		}
		close(a.came)
		return true
	})
}

// everySequence wakes all.
const everySequence = math.MaxUint64
