package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"gnomon/engine/state"
	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// applyUpcast applies the events of a batch as its upcasters rewrite them, some at a time.
func (s *session) applyUpcast(ctx context.Context, b *streams.Batch) error {
	for stored := b.Records; len(stored) > 0 && s.aside.full == nil; {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		u, failed, err := s.upcast(ctx, stored)
		if err != nil {
			return err
		}
		if failed != nil && !s.decided(u.first) && !s.queues(u.stored) && !s.judge(failed) {
			s.reach(b, u.first)
			return failed
		}
		records, err := s.pickUpcast(&u, failed != nil)
		if err != nil {
			return err
		}
		stored = stored[len(u.stored):]
		if err := s.applyRewritten(ctx, b, records, u.stored, len(stored) == 0); err != nil {
			return err
		}
		if err := s.endAtomic(ctx, stored); err != nil {
			return err
		}
	}
	return nil
}

// queues reports whether an event, as it is stored, has to queue behind another one of its
// key: then it does not matter that it fails now.
func (s *session) queues(stored []byte) bool {
	e, _, err := abi.Next(stored)
	return err == nil && s.spec.KeyOf != nil && s.aside.waits(s.spec.KeyOf(e), nil)
}

// upcast runs the first of some events through the upcasters. Failed is the failure of the
// very first, which is then the only one.
func (s *session) upcast(ctx context.Context, stored []byte) (u upcasted, failed *batchError, err error) {
	first, _, err := abi.Next(stored)
	if err != nil {
		return u, nil, fmt.Errorf("read batch: %w", err)
	}
	read := !s.background.Load()
	s.first.begin(ctx, read, s.lastCall)
	s.calls(first.Sequence, first.Sequence)
	began := time.Now()
	u, err = s.chain.next(ctx, stored, s.spec.Batch)
	took := time.Since(began)
	s.first.end(read)
	s.lastCall = took
	s.countBatch(0, took, err != nil, s.chain.fuel(), s.memoryBytes())
	s.measured().upcast(err)
	var bad *UpcastError
	if errors.As(err, &bad) { // the first event alone
		return u, &batchError{err: err, first: u.first, last: u.last, count: u.count, event: state.AnchorOf(first), fuel: s.chain.fuel()}, nil
	}
	return u, nil, err
}

// memoryBytes is the size of all linear memories of the session.
func (s *session) memoryBytes() uint64 { return s.partitions.memoryBytes() + s.chain.memoryBytes() }

// applyRewritten applies records that upcasters made of stored events of a batch. Last says
// that the batch ends with them. What is remembered of events is as they are stored.
func (s *session) applyRewritten(ctx context.Context, b *streams.Batch, records, stored []byte, last bool) error {
	for len(records) > 0 {
		if err := s.endAtomic(ctx, records); err != nil {
			return err
		}
		if err := s.heedBefore(ctx, records); err != nil {
			return err
		}
		p, err := s.plan.piece(records, s.applied.Sequence, s.callLimit())
		if err != nil {
			return err
		}
		var e abi.Record
		if e, stored, err = eventOf(stored, p.last.Sequence); err != nil {
			return err
		}
		if err := s.applyPiece(ctx, p); err != nil {
			var failed *batchError
			if errors.As(err, &failed) {
				failed.event = state.AnchorOf(e)
			}
			s.reach(b, p.first)
			return err
		}
		records = records[len(p.records):]
		if last && len(records) == 0 {
			break
		}
		s.passBy(e)
		if err := s.between(ctx); err != nil {
			return err
		}
	}
	return nil
}

// eventOf finds the event of a sequence among some, and returns what follows it.
func eventOf(stored []byte, sequence uint64) (e abi.Record, rest []byte, err error) {
	for rest = stored; len(rest) > 0; {
		if e, rest, err = abi.Next(rest); err != nil {
			return e, nil, fmt.Errorf("read batch: %w", err)
		}
		if e.Sequence == sequence {
			return e, rest, nil
		}
	}
	return e, nil, fmt.Errorf("upcast records are of sequence %d, which is not in the batch", sequence)
}

// pickUpcast is pick for what upcasters made of events: an event is set aside with all that
// became of it, as it is stored. One that failed in the upcasters has the key that is found
// in it as it is stored.
func (s *session) pickUpcast(u *upcasted, failed bool) ([]byte, error) {
	s.picked = s.picked[:0]
	made := u.records
	for stored := u.stored; len(stored) > 0 && s.aside.full == nil; {
		e, rest, err := abi.Next(stored)
		if err != nil {
			return nil, fmt.Errorf("read batch: %w", err)
		}
		stored = rest
		begin := len(s.picked)
		if failed {
			made = nil
		} else if s.picked, made, err = s.spec.pickOf(s.picked, made, e.Sequence); err != nil {
			return nil, err
		}
		if !failed && !s.asideActive() {
			continue
		}
		keys := keysOf(s.picked[begin:])
		switch {
		case failed && s.spec.KeyOf != nil:
			e.Key = s.spec.KeyOf(e)
		case len(keys) > 0:
			e.Key, keys = keys[0], keys[1:]
		}
		if s.setAside(&e, keys...) {
			s.picked = s.picked[:begin]
		}
	}
	if s.aside.full != nil {
		return s.picked, nil
	}
	return s.picked, leftOver("of the chain", made)
}

// pickOf appends to dst what is the projection's own of the records of one sequence, with
// their declared keys, and returns the records of the other sequences.
func (s *Spec) pickOf(dst, made []byte, sequence uint64) (_, others []byte, err error) {
	mine, others, err := ofSequence(made, sequence)
	for err == nil && len(mine) > 0 {
		var e abi.Record
		if e, mine, err = abi.Next(mine); err != nil {
			break
		}
		if s.Filter != nil && !s.Filter(e.Subject) {
			continue
		}
		e.Key = nil
		if s.KeyOf != nil {
			e.Key = s.KeyOf(e)
		}
		dst = e.Append(dst)
	}
	return dst, others, err
}

// keysOf returns the different keys that records have. They alias the records.
func keysOf(records []byte) (keys [][]byte) {
	for len(records) > 0 {
		e, rest, err := abi.Next(records)
		if err != nil {
			break
		}
		if len(e.Key) > 0 && !contains(keys, e.Key) {
			keys = append(keys, e.Key)
		}
		records = rest
	}
	return keys
}

func contains(keys [][]byte, key []byte) bool {
	for _, k := range keys {
		if bytes.Equal(k, key) {
			return true
		}
	}
	return false
}

// retried returns what the module is handed of an event that was set aside: upcasters are
// asked again.
func (s *session) retried(ctx context.Context, event []byte) ([]byte, error) {
	if s.chain.isEmpty() {
		return event, nil
	}
	u, failed, err := s.upcast(ctx, event)
	if err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, failed.err
	}
	s.picked, _, err = s.spec.pickOf(s.picked[:0], u.records, u.first)
	return s.picked, err
}

// takeKeys gives an event the declared key that it has, or the first of those that what
// upcasters make of it has, and returns the others.
func (s *session) takeKeys(ctx context.Context, e *abi.Record) (more [][]byte) {
	if s.spec.KeyOf == nil {
		return nil
	}
	if !s.chain.isEmpty() {
		records, err := s.retried(ctx, e.Append(nil))
		if keys := keysOf(records); err == nil && len(keys) > 0 {
			e.Key = keys[0]
			return keys[1:]
		}
	}
	e.Key = s.spec.KeyOf(*e)
	return nil
}

// Upcast runs an event, a record of sdk/abi as it is stored, through the upcasters of a
// projection, and returns what its module is handed. When an upcaster fails, it is named
// by its place, with what it was handed, and err is an *UpcastError.
func (s *Spec) Upcast(ctx context.Context, event []byte) (records []byte, failed int, err error) {
	c := newChain(s.Upcasters, "")
	defer c.close(ctx)
	for i, l := range c.links {
		made, err := l.rewrite(ctx, event, true)
		if err != nil {
			return event, i, err
		}
		event = bytes.Clone(made)
	}
	first, _, err := abi.Next(event)
	if err != nil || len(c.links) == 0 {
		return nil, -1, nil
	}
	records, _, err = s.pickOf(nil, event, first.Sequence)
	return records, -1, err
}
