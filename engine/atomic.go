package engine

import (
	"bytes"
	"context"

	"gnomon/sdk/abi"
)

// Headers with which a server stores the events of an atomic batch: what several events
// were published as at once, all or none. They follow each other in the stream, and the last
// one has the mark, however the batch was ended (nats-server from 2.12). See ADR-50 of NATS:
// https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-50.md
const (
	atomicID   = "Nats-Batch-Id"
	atomicLast = "Nats-Batch-Commit"
)

const (
	// atomicEvents is how many events an atomic batch has at most, by a server's default.
	atomicEvents = 1000
	// atomicWait is for how many sequences a commit waits for the end of one: headers that
	// someone has copied may never have an end.
	atomicWait = 10 * atomicEvents
)

// place is where an event stands among those that were published with it.
type place int

const (
	apart  place = iota // it was published by itself
	within              // others come after it
	last                // none does
)

// placeOf tells where an event stands, and in which atomic batch.
func placeOf(e *abi.Record) (p place, id []byte) {
	id, member := e.Header(atomicID)
	if !member {
		return apart, nil
	}
	if _, ends := e.Header(atomicLast); ends {
		return last, id
	}
	return within, id
}

// stands notes where the event at the applied position stands.
func (s *session) stands(e *abi.Record) {
	p, id := placeOf(e)
	s.place, s.atomic = p, append(s.atomic[:0], id...)
}

// postponed puts a commit that could be made off while the position is within an atomic
// batch: nobody is to read some of its events without the others. The next call ends with it.
func (s *session) postponed() bool {
	if !s.late {
		s.lateFrom = s.applied.Sequence
	}
	s.late = s.place == within && s.applied.Sequence-s.lateFrom < atomicWait
	return s.late
}

// endAtomic commits at the end of an atomic batch, if a commit waits for it and all of its
// events are dealt with: all but those left are. It may end with some of nobody.
func (s *session) endAtomic(ctx context.Context, left []byte) error {
	if !s.late || s.batch == nil || s.aside.full != nil { // which ends the batch sooner
		return nil
	}
	end, ok := s.atomicEnd()
	if !ok {
		return nil
	}
	if e, _, err := abi.Next(left); len(left) > 0 && (err != nil || e.Sequence <= end) {
		return nil
	}
	s.reach(s.batch, end+1)
	s.place = last // the mark may be missing
	if err := s.commitIfDue(ctx); err != nil {
		return err
	}
	return s.makeRoom(ctx)
}

// atomicEnd is the sequence, from the applied one on, of the last event of the atomic batch
// there, or of the next event that no more come after of the same one: it has the mark, or
// what follows is of another batch. ok is false when that is not to be seen in what was read.
func (s *session) atomicEnd() (sequence uint64, ok bool) {
	at, open := s.applied.Sequence, s.atomic
	if s.place != within {
		open = nil
	}
	for rest := s.batch.Records; len(rest) > 0; {
		e, next, err := abi.Next(rest)
		if err != nil {
			break
		}
		if rest = next; e.Sequence <= s.applied.Sequence {
			continue
		}
		p, id := placeOf(&e)
		switch {
		case open != nil && !bytes.Equal(open, id):
			return at, true
		case p != within:
			return e.Sequence, true
		}
		at, open = e.Sequence, id
	}
	return 0, false
}
