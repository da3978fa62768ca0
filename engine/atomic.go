package engine

import (
	"context"

	"gnomon/engine/streams"
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

// atomicEvents is how many events an atomic batch has at most, by a server's default.
const atomicEvents = 1000

// place is where an event stands among those that were published with it.
type place int

const (
	apart  place = iota // it was published by itself
	within              // others come after it
	last                // none does
)

func placeOf(e *abi.Record) place {
	if _, member := e.Header(atomicID); !member {
		return apart
	}
	if _, ends := e.Header(atomicLast); ends {
		return last
	}
	return within
}

// postponed puts a commit that could be made off while the position is within an atomic
// batch: nobody is to read some of its events without the others. The next call ends with it.
func (s *session) postponed() bool {
	s.late = s.place == within
	return s.late
}

// endAtomic commits at the end of an atomic batch, if a commit waits for it and all of its
// events are dealt with: all but those left are. It may end with some of nobody.
func (s *session) endAtomic(ctx context.Context, left []byte) error {
	if !s.late || s.batch == nil || s.aside.full != nil { // which ends the batch sooner
		return nil
	}
	end, ok := atomicEnd(s.batch, s.applied.Sequence)
	if !ok {
		return nil
	}
	if e, _, err := abi.Next(left); len(left) > 0 && (err != nil || e.Sequence <= end) {
		return nil
	}
	s.reach(s.batch, end+1)
	return s.commitIfDue(ctx)
}

// atomicEnd is the sequence of the first event after another one that no more come after of
// the same atomic batch; ok is false when that is not among those of b.
func atomicEnd(b *streams.Batch, after uint64) (sequence uint64, ok bool) {
	for rest := b.Records; len(rest) > 0; {
		e, next, err := abi.Next(rest)
		if err != nil {
			break
		}
		if e.Sequence > after && placeOf(&e) != within {
			return e.Sequence, true
		}
		rest = next
	}
	return 0, false
}
