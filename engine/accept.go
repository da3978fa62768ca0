package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gnomon/engine/catalog"
	"gnomon/engine/streams"
)

// Errors of Accept.
var (
	// ErrNothingToAccept says that the stream's history is the one that was read.
	ErrNothingToAccept = errors.New("the stream's history is the one that was read: there is nothing to accept")
	// ErrNotAcceptable says that going on would pass over events to come in silence.
	ErrNotAcceptable = errors.New("cannot be accepted")
)

// Accept has a projection that is diverged go on from its position in the stream as it
// is now, or from the first event that this still holds. The state stays what it is: a
// rebuild is what makes it that of the stream. Reason is kept in the catalog.
func (e *Engine) Accept(ctx context.Context, name, reason string) (a catalog.Acceptance, err error) {
	r, err := e.runner(name)
	if err != nil {
		return a, err
	}
	err = r.order(ctx, func(ctx context.Context, s *session) (err error) {
		a, err = s.accept(ctx, reason)
		return err
	})
	return a, err
}

func (s *session) accept(ctx context.Context, reason string) (catalog.Acceptance, error) {
	if err := s.commitAll(ctx); err != nil {
		return catalog.Acceptance{}, err
	}
	info, err := s.history().verify(ctx, s.source)
	var changed *HistoryError
	switch {
	case err == nil:
		return catalog.Acceptance{}, &refusedError{ErrNothingToAccept}
	case !errors.As(err, &changed):
		return catalog.Acceptance{}, &refusedError{err}
	case info.Last < s.applied.Sequence:
		return catalog.Acceptance{}, &refusedError{fmt.Errorf("%w: %s. New events would get numbers up to %d, and be taken for ones that were applied: restore the stream, or rebuild the projection", ErrNotAcceptable, changed.Text, s.applied.Sequence)}
	}
	a := catalog.Acceptance{
		Time: time.Now().UTC(), Reason: reason, Code: changed.Code, Facts: changed.Text,
		From: s.applied.Sequence, To: max(s.applied.Sequence, info.First-1),
	}
	anchors, err := s.anchorsAt(ctx, a.To)
	if err != nil {
		return a, &refusedError{err}
	}
	err = s.catalog.Update(s.spec.Name, func(r *catalog.Record) error { r.Accepted = append(r.Accepted, a); return nil })
	if err == nil && changed.Code != "events-lost" {
		err = s.beginAnew(a.To)
	}
	if err != nil {
		return a, &refusedError{fmt.Errorf("note what is accepted: %w", err)}
	}
	s.applied.Created, s.applied.Sequence, s.anchors = info.Created, a.To, anchors
	s.log.Warn("history accepted", "facts", a.Facts, "from", a.From, "to", a.To, "reason", reason)
	s.orders++
	s.failed = failedEvent{} // it was of the history that is gone
	clear(s.verdicts)
	if err := s.commitAlone(ctx); err != nil {
		return a, err
	}
	return a, streams.ErrMoved
}

// isAccepted reports whether the position is one that an operator accepted: nothing may
// have been read since, and what is lost next is noticed all the same.
func (s *session) isAccepted() bool {
	return s.applied.Sequence > 0 && slices.ContainsFunc(s.catalog.Projection(s.spec.Name).Accepted, func(a catalog.Acceptance) bool { return a.To == s.applied.Sequence })
}
