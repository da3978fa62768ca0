package engine

import (
	"context"
	"errors"
	"math"
	"time"

	"gnomon/engine/state"
	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// applyBatch applies a batch. Where some of it was committed before, and more comes after
// that, what was ordered meanwhile is done in between: it may be about the first event
// that comes after.
func (s *session) applyBatch(ctx context.Context, b *streams.Batch) error {
	newest := s.newest.Position.Sequence
	if s.repeats() && b.Through > newest {
		if err := s.apply(ctx, b.Until(newest)); err != nil {
			return err
		}
		if err := s.obeyAll(ctx); err != nil {
			return err
		}
		b = b.Since(newest + 1)
	}
	return s.apply(ctx, b)
}

// apply applies a batch, in as many calls as the guest and the plan ask for.
func (s *session) apply(ctx context.Context, b *streams.Batch) (err error) {
	s.batch = b
	defer func() {
		s.read = s.readSoFar()
		s.batch = nil
	}()
	if s.chain.isEmpty() {
		err = s.applyStored(ctx, b)
	} else {
		err = s.applyUpcast(ctx, b)
	}
	if err != nil {
		return err
	}
	if full := s.aside.full; full != nil {
		s.reach(b, full.event)
		return full
	}
	end, ok := b.Last() // of all that was read, picked or not
	if s.place = apart; ok && end.Sequence == b.Through {
		s.stands(&end)
	}
	if err := s.heed(ctx, b.Through); err != nil {
		return err
	}
	if ok {
		s.anchors = state.WithAnchor(s.anchors, state.AnchorOf(end))
		s.applied.Time = state.StoredAt(end)
	}
	s.advance(b.Through)
	s.unread = b.Pending
	return s.makeRoom(ctx)
}

// readSoFar counts the events that were read up to the applied position.
func (s *session) readSoFar() uint64 {
	if s.batch == nil {
		return s.read
	}
	return s.read + uint64(s.batch.CountTo(s.applied.Sequence))
}

// applyStored applies the events of a batch as they are stored.
func (s *session) applyStored(ctx context.Context, b *streams.Batch) error {
	records, err := s.pick(b.Records)
	if err != nil {
		return err
	}
	for {
		if err := s.endAtomic(ctx, records); err != nil || len(records) == 0 {
			return err
		}
		if err := s.heedBefore(ctx, records); err != nil {
			return err
		}
		p, ok := s.whole(b, records)
		if !ok {
			if p, err = s.plan.piece(records, s.applied.Sequence, s.callLimit()); err != nil {
				return err
			}
		}
		if err := s.applyPiece(ctx, p); err != nil {
			s.reach(b, p.first)
			return err
		}
		records = records[len(p.records):]
		if len(records) == 0 {
			continue
		}
		s.passBy(p.last)
		if err := s.between(ctx); err != nil {
			return err
		}
	}
}

// reach moves the applied position to the last event of a batch before one that is not
// dealt with: what was not applied of those up to it is none of the projection's, or was
// set aside, which is committed then.
func (s *session) reach(b *streams.Batch, before uint64) {
	var last abi.Record
	for rest := b.Records; len(rest) > 0; {
		e, after, err := abi.Next(rest)
		if err != nil || e.Sequence >= before {
			break
		}
		last, rest = e, after
	}
	if last.Sequence > 0 && last.Sequence >= s.applied.Sequence {
		s.arrive(last)
	}
}

// passBy remembers an event, as it is stored, that the applied position has come to.
func (s *session) passBy(e abi.Record) {
	s.anchors = state.WithAnchor(s.anchors, state.AnchorOf(e))
	s.stands(&e)
}

// arrive moves the applied position to an event.
func (s *session) arrive(e abi.Record) {
	s.passBy(e)
	s.applied.Time = state.StoredAt(e)
	s.advance(e.Sequence)
}

// between commits what is due between two calls for one batch, and ends it with ctx:
// a batch may take a slow guest long.
func (s *session) between(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if s.inFlight {
		select {
		case r := <-s.committer.done:
			if err := s.landed(r); err != nil {
				return err
			}
		default:
		}
	}
	s.unread = max(s.unread, 1) // the rest of the batch
	if err := s.commitIfDue(ctx); err != nil {
		return err
	}
	if !s.repeats() {
		if err := s.awaitRelay(ctx); err != nil {
			var full *outboxError
			if errors.As(err, &full) {
				return errReopen // what is left of the batch would be a burden: it may take long
			}
			return err
		}
	}
	return s.makeRoom(ctx)
}

// whole is a batch as one piece, when nothing asks for less: then its records need
// not be looked at.
func (s *session) whole(b *streams.Batch, records []byte) (p piece, ok bool) {
	limit := s.callLimit()
	if limit.Through < b.Through || len(records) != len(b.Records) || b.Count > limit.Events || len(records) > limit.Bytes || s.applied.Sequence < s.plan.through {
		return p, false
	}
	first, _, err := abi.Next(records)
	last, ok := b.Last()
	return piece{records: records, count: b.Count, first: first.Sequence, last: last}, ok && err == nil
}

// callTime is about how long one call of the guest may take, if it holds more than one
// event: neither the collector nor an order to stop can interrupt the code of a guest.
const callTime = 5 * time.Millisecond

// firstEvents is how many events the first call of a session holds, when nothing is known
// yet of what they take.
const firstEvents = 64

// lately is an average in which what is older counts ever less. The first value stands
// for itself.
func lately[T time.Duration | uint64](average, value T) T {
	if average == 0 {
		return value
	}
	return (3*average + value) / 4
}

// callLimit bounds what one call of the guest gets.
type callLimit struct {
	streams.ReadLimit
	Through uint64 // sequence
}

// callLimit is that of the next call.
func (s *session) callLimit() callLimit {
	l := callLimit{ReadLimit: s.spec.Batch, Through: math.MaxUint64}
	if h := s.held.Load(); h != nil {
		l.Through = max(h.at, s.applied.Sequence+1)
	}
	switch {
	case s.pace > 0:
		l.Events = min(l.Events, max(1, int(callTime/s.pace)))
	case s.spec.Fuel > 0:
		l.Events = min(l.Events, firstEvents)
	}
	if s.thirst > 0 && s.spec.Fuel > 0 { // with as much again for those that need more
		l.Events = min(l.Events, max(1, int(s.spec.Fuel/2/s.thirst)))
	}
	if s.late && s.batch != nil {
		if end, ok := s.atomicEnd(); ok {
			l.Through = min(l.Through, end)
		}
	}
	if s.bufferLimit > 0 {
		l.Bytes = min(l.Bytes, s.bufferLimit)
	}
	return l
}

// advance moves the applied position forward.
func (s *session) advance(through uint64) {
	s.applied.Sequence = max(s.applied.Sequence, through)
	s.progress(s.applied.Sequence)
}

func (s *session) applyPiece(ctx context.Context, p piece) error {
	alone := s.partitions.isEmpty()
	read := !s.background.Load()
	s.first.begin(ctx, read, s.lastCall)
	s.calls(p.first, p.last.Sequence)
	began := time.Now()
	err := s.partitions.apply(ctx, p.records, s.emitted)
	took := time.Since(began)
	s.first.end(read)
	s.lastCall = took
	used := s.partitions.fuel()
	s.countBatch(p.count, took, err != nil, used, s.memoryBytes())
	s.measured().applied(p.count, took, used, err)
	s.traceApplied(p.records, p.first, p.last.Sequence, p.count, used, began, took, err)
	if err != nil {
		s.spoiled = true
		return &batchError{err: err, first: p.first, last: p.last.Sequence, count: p.count, event: state.AnchorOf(p.last), fuel: used, alone: alone}
	}
	s.pace = lately(s.pace, took/time.Duration(p.count))
	s.thirst = lately(s.thirst, used/uint64(p.count))
	s.events += uint64(p.count)
	s.applied.Time = state.StoredAt(p.last)
	s.advance(p.last.Sequence)
	return nil
}

// makeRoom cuts the window when the next batch might not fit into it: when it makes
// the window grow by twice what one of the last batches did. A batch that outgrows it
// all the same is rolled back and gets a window of its own. So that an atomic batch seldom
// meets a full one, a window that is half full is cut at the end of one.
func (s *session) makeRoom(ctx context.Context) error {
	fill := s.partitions.fill()
	s.growth = max(fill-s.fill, 0.9*s.growth)
	s.fill = fill
	full := fill >= 1-max(0.1, 2*s.growth)
	switch {
	case s.repeats() || s.commitsNothing():
		return nil
	case s.place != apart && (full || fill >= 0.5):
		if s.postponed() && fill < 0.9 {
			return nil
		}
	case !full:
		return nil
	}
	if err := s.settle(); err != nil {
		return err
	}
	return s.cut(ctx, s.memoryDue())
}

// pick returns the records that are the projection's own, with their declared
// keys, without those that are set aside. Mostly that is the batch itself.
func (s *session) pick(records []byte) ([]byte, error) {
	if s.spec.Filter == nil && s.spec.KeyOf == nil && !s.asideActive() {
		return records, nil
	}
	s.picked = s.picked[:0]
	for len(records) > 0 && s.aside.full == nil {
		e, rest, err := abi.Next(records)
		if err != nil {
			return nil, err
		}
		records = rest
		if s.spec.Filter != nil && !s.spec.Filter(e.Subject) {
			continue
		}
		if s.spec.KeyOf != nil {
			e.Key = s.spec.KeyOf(e)
		}
		if !s.setAside(&e) {
			s.picked = e.Append(s.picked)
		}
	}
	return s.picked, nil
}
