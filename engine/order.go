package engine

import (
	"context"
	"errors"
	"slices"

	"gnomon/engine/streams"
)

// order is something that an operator wants a session to do between two batches.
type order struct {
	do   func(ctx context.Context, s *session) error
	done chan error // of capacity 1
}

// errReopen ends a session that another one is to go on for, for no fault of an event that is
// due. The order that it comes from is carried out.
var errReopen = errors.New("instance is discarded")

// refusedError is an order that cannot be carried out, and changed nothing.
type refusedError struct{ err error }

func (e *refusedError) Error() string { return e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

// order has something done by the session, and waits until it is.
func (m *monitor) order(ctx context.Context, do func(context.Context, *session) error) error {
	o := &order{do: do, done: make(chan error, 1)}
	m.mu.Lock()
	if m.paused {
		m.mu.Unlock()
		return &StoppedError{State: Paused, Reason: "an operator paused it", Hint: "resume it first"}
	}
	if m.state == Stopped { // nobody would look at it
		defer m.mu.Unlock()
		return &StoppedError{State: m.state, Reason: m.reason, Hint: m.hint}
	}
	m.orders = append(m.orders, o)
	m.notifyLocked()
	m.mu.Unlock()
	m.wake()
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
		if m.withdraw(o) {
			return ctx.Err()
		}
		return <-o.done // it is under way
	}
}

// wake has the session look for what it is to do.
func (m *monitor) wake() {
	select {
	case m.ordered <- struct{}{}:
	default:
	}
}

// withdraw takes back an order that nobody has begun with.
func (m *monitor) withdraw(o *order) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.Index(m.orders, o)
	if i >= 0 {
		m.orders = slices.Delete(m.orders, i, i+1)
	}
	return i >= 0
}

// nextOrder returns the oldest order, or nil.
func (m *monitor) nextOrder() *order {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.orders) == 0 {
		return nil
	}
	o := m.orders[0]
	m.orders = m.orders[1:]
	return o
}

// refuseOrders answers what waits with an error.
func (m *monitor) refuseOrders(err error) {
	for o := m.nextOrder(); o != nil; o = m.nextOrder() {
		o.done <- err
	}
}

// obeyAll does what was ordered. It returns what ends the session, or errMoved when the
// events that come next are others than before. Orders wait while events are applied
// again: what is committed then is ahead of the session.
func (s *session) obeyAll(ctx context.Context) error {
	var moved error
	for !s.repeats() {
		o := s.nextOrder()
		if o == nil {
			break
		}
		err := o.do(ctx, s)
		var refused *refusedError
		switch {
		case err == nil:
			o.done <- nil
		case errors.Is(err, streams.ErrMoved):
			o.done <- nil
			moved = &sourceError{streams.ErrMoved}
		case errors.Is(err, errReopen):
			o.done <- nil
			return err
		case errors.As(err, &refused):
			o.done <- refused.err
		default:
			o.done <- err
			return err
		}
	}
	if moved != nil {
		return moved
	}
	return s.heed(ctx, s.applied.Sequence)
}
