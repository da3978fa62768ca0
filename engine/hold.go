package engine

import (
	"context"
	"fmt"

	"gnomon/sdk/abi"
)

// hold has a runner stand still between two events, with everything before committed, so
// that two generations can be read at one sequence.
type hold struct {
	at      uint64        // it stops once it has applied this, or more already; then: where it stands
	stands  chan struct{} // closed when it stands still
	release chan struct{} // closed when it may go on
	stood   bool          // stands is closed; of the runner's goroutine
}

// hold has the runner stand still at a sequence, or where it is when it is past that, and
// returns where. One that was held already goes on until there. It stands until letGo.
func (m *monitor) hold(ctx context.Context, at uint64) (uint64, error) {
	h := &hold{at: at, stands: make(chan struct{}), release: make(chan struct{})}
	m.mu.Lock()
	if old := m.held.Swap(h); old != nil {
		close(old.release)
	}
	m.notifyLocked()
	m.mu.Unlock()
	m.wake()
	select {
	case <-h.stands:
		return h.at, nil
	case <-ctx.Done():
		s := m.State()
		return 0, fmt.Errorf("it is %s, and did not come to a stop at %d: %w", s, at, context.Cause(ctx))
	}
}

// letGo lets the runner go on.
func (m *monitor) letGo() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old := m.held.Swap(nil); old != nil {
		close(old.release)
	}
}

// heed stands still where a hold asks for it, or when it has gone past that already, at the
// end of an atomic batch, unless it is committed as it is. Everything up to a sequence is
// applied.
func (s *session) heed(ctx context.Context, through uint64) error {
	for {
		h := s.held.Load()
		if h == nil || through < h.at || s.repeats() {
			return nil
		}
		if s.applied.Sequence > h.at && s.batch != nil { // events up to there may be no one's, or set aside
			s.reach(s.batch, through+1)
		}
		if s.applied.Sequence > max(h.at, s.cutAt) && s.place == within {
			return nil
		}
		if s.batch != nil { // events up to there may be no one's, or set aside: it has read them too
			s.reach(s.batch, h.at+1)
		}
		s.advance(h.at)
		if err := s.commitAll(ctx); err != nil {
			return err
		}
		if err := h.stand(ctx, s.applied.Sequence); err != nil {
			return err
		}
	}
}

// heedBefore stands still before the first of some events, where a hold asks for it.
func (s *session) heedBefore(ctx context.Context, records []byte) error {
	if s.held.Load() == nil {
		return nil
	}
	e, _, err := abi.Next(records)
	if err != nil {
		return fmt.Errorf("read batch: %w", err)
	}
	return s.heed(ctx, e.Sequence-1)
}

// heedStopped stands still while the runner has no session: it is where it is.
func (m *monitor) heedStopped(ctx context.Context) {
	for h := m.held.Load(); h != nil && ctx.Err() == nil; h = m.held.Load() {
		_ = h.stand(ctx, m.Published().Position.Sequence)
	}
}

// stand tells where the runner stands, and waits for its release. A session that ends
// meanwhile leaves the hold to what comes after it, which stands at the same place.
func (h *hold) stand(ctx context.Context, at uint64) error {
	if !h.stood {
		h.at, h.stood = at, true
		close(h.stands)
	}
	select {
	case <-h.release:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
