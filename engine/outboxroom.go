package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gnomon/engine/catalog"
)

// outboxFull says why no more events are taken; nil: they are. Once it is full it takes
// half of it to be published for more to be taken.
func (s *session) outboxFull() *outboxError {
	limit, was := s.spec.Outbox, s.outbox.isFull()
	rows, bytes := s.outbox.waiting()
	staged, stagedBytes := s.partitions.staged()
	over := func(have, limit int) bool { return limit > 0 && (have >= limit || was && have > limit/2) }
	what := ""
	switch {
	case over(rows+staged, limit.Rows):
		what = fmt.Sprintf("%d events may be emitted and not published (projection.limits.outbox), and so many are", limit.Rows)
	case over(bytes+stagedBytes, limit.Bytes):
		what = fmt.Sprintf("%d bytes may be emitted and not published (projection.limits.outbox_bytes), and so many are", limit.Bytes)
	}
	s.outbox.setFull(what != "")
	if what == "" {
		return nil
	}
	e := &outboxError{text: "no more events are taken: " + what, hint: "it goes on by itself once they are published"}
	trouble, hint := s.outbox.troubled()
	switch right := s.rights.Load(); {
	case right != nil && !right.live:
		e.text += "; the generation that is read has not come that far"
		e.hint = "let it go on, or let this one take over"
	case trouble != "":
		e.text, e.hint = e.text+": "+trouble, hint
	}
	return e
}

// relayWaits reports whether the relay has next to nothing to publish, and there is more to
// come: it is committed now, so that one works while the other does.
func (s *session) relayWaits() bool {
	staged, _ := s.partitions.staged()
	if staged < relayLimit.Events {
		return false
	}
	waiting, _ := s.outbox.waiting()
	return waiting < relayLimit.Events
}

// relayTime is how long the outbox may be full before the projection stands aside: a relay
// that is at work makes room sooner, and there is no need to begin anew with reader or batch.
const relayTime = time.Second

// awaitRelay commits what was applied when the outbox is full, and waits until more may be
// emitted. It fails with an *outboxError when that takes long.
func (s *session) awaitRelay(ctx context.Context) error {
	full := s.outboxFull()
	if full == nil {
		return nil
	}
	timer := time.NewTimer(relayTime)
	defer timer.Stop()
	for ; full != nil; full = s.outboxFull() {
		if err := s.commitIfDue(ctx); err != nil {
			return err
		}
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case r := <-s.landing():
			err = s.landed(r)
		case <-s.ordered: // by the relay; what others ordered comes after this
		case <-timer.C:
			return full
		}
		if err != nil {
			return err
		}
	}
	s.wake() // it may have been an order
	return nil
}

// outboxError says why no more events are taken.
type outboxError struct{ text, hint string }

func (e *outboxError) Error() string { return e.text }

// verifyEvery is how often the history of the stream is looked at while no events are taken.
const verifyEvery = 5 * time.Second

// awaitOutbox commits what was applied, and waits until more may be emitted. What is ordered
// meanwhile is done.
func (s *session) awaitOutbox(ctx context.Context) error {
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	for verified := time.Now(); ; {
		if err := s.commitAll(ctx); err != nil {
			return err
		}
		full := s.outboxFull()
		if full == nil {
			return nil
		}
		s.enter(Stalled, full.text, full.hint)
		if err := s.obeyAll(ctx); err != nil {
			return err
		}
		if err := s.commitIfDue(ctx); err != nil { // of what is published
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ordered:
		case <-tick.C:
		}
		if time.Since(verified) < verifyEvery {
			continue
		}
		verified = time.Now()
		var changed *HistoryError
		if _, err := s.history().verify(ctx, s.source); errors.As(err, &changed) {
			return err
		}
	}
}

// staged is how many events are emitted and not committed, and their bytes.
func (ps partitions) staged() (rows, bytes int) {
	for _, p := range ps {
		rows += len(p.overlay.emits)
		for i := range p.overlay.emits {
			bytes += len(p.overlay.emits[i].Headers) + len(p.overlay.emits[i].Data) + len(p.overlay.emits[i].Subject)
		}
	}
	return rows, bytes
}

// beginAnew has what is emitted from now on belong to another history of the stream, whose
// events up to a sequence emit nothing.
func (s *session) beginAnew(through uint64) error {
	if right := s.rights.Load(); right == nil || !right.live {
		return nil
	}
	return s.setEmission(func(e *catalog.Emission) *catalog.Emission {
		if e == nil {
			return nil
		}
		next := *e
		next.Lineage, next.Through, next.Except, next.Former = newLineage(), through, nil, nil
		if !s.outbox.isEmpty() {
			next.Former = append(slices.Clone(e.Former), e.Lineage)
		}
		return &next
	})
}

// drain waits until everything that a generation has emitted is published. It stands still.
func (p *projection) drain(ctx context.Context, g *generation) error {
	o := &g.runner.outbox
	if g.keyspace == nil {
		return nil
	}
	if err := g.runner.loadOutbox(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, meetTime)
	defer cancel()
	if err := g.runner.await(ctx, o.isEmpty); err != nil {
		return p.undrained(g)
	}
	return nil
}

// undrained refuses to take the right to emit from a generation that cannot publish what it
// has emitted.
func (p *projection) undrained(g *generation) error {
	rows, _ := g.runner.outbox.waiting()
	if rows == 0 {
		return nil
	}
	err := fmt.Errorf("%w: %d events that generation %s has emitted are not published yet", ErrUnpublished, rows, g.id)
	if trouble, _ := g.runner.outbox.troubled(); trouble != "" {
		err = fmt.Errorf("%w: %s", err, trouble)
	}
	return err
}
