package streams

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gnomon/sdk/abi"
)

// Errors of a Source.
var (
	// ErrNoStream says that the server has no stream of that name.
	ErrNoStream = errors.New("stream not found")
	// ErrNoEvent says that the stream holds no event at that sequence.
	ErrNoEvent = errors.New("event not found")
	// ErrReaderLost says that a reader can deliver no more, and that a new one
	// opened at the next sequence goes on where it stopped. It is wrapped with
	// the reason.
	ErrReaderLost = errors.New("reader lost")
	// ErrSourceDown says that the server cannot be reached at present.
	ErrSourceDown = errors.New("server unreachable")
	// ErrForbidden says that the server does not let the engine do something: the engine's
	// user there lacks a permission, which the error that wraps it names.
	ErrForbidden = errors.New("the server does not permit it")
)

// HintOfForbidden is the way out where ErrForbidden is the reason.
const HintOfForbidden = "give the engine's user at the NATS server that permission (engine doctor tries all of them); then it goes on by itself"

// Source is where events come from. Its methods may be called concurrently.
type Source interface {
	// Stream describes a stream as the server has it now. It fails with
	// ErrNoStream, ErrForbidden or ErrSourceDown, wrapped.
	Stream(ctx context.Context, name string) (Info, error)
	// Event returns a stored event; its bytes are the caller's. It fails with
	// ErrNoEvent when the stream has none at that sequence.
	Event(ctx context.Context, stream string, sequence uint64) (abi.Record, error)
	// SequenceAt returns the sequence of the first event stored at or after t, or
	// the last sequence + 1 when there is none.
	SequenceAt(ctx context.Context, stream string, t time.Time) (uint64, error)
	// Read opens a reader that returns every event with a sequence of at least
	// from, in order. It starts reading ahead at once.
	Read(ctx context.Context, stream string, from uint64, limit ReadLimit) (Reader, error)
}

// Reader yields a stream's events in order, without gaps and without repeats. It
// reads ahead, up to one batch. Take, Release and Close belong to one goroutine at a time;
// CaughtUp may be called beside Take.
type Reader interface {
	// Ready is signalled when Take has events or an error to return. It is never
	// closed.
	Ready() <-chan struct{}
	// Take returns the events read since the last call, or nil when there are
	// none. A batch without any says how far there are none. The batch is the caller's,
	// who does not change it, until Release. An error is final: ErrReaderLost, wrapped
	// with the reason.
	Take() (*Batch, error)
	// Release gives a batch back, whose memory is used again. It may be left out.
	Release(b *Batch)
	// CaughtUp asks the server how far the reader is: every event up to the
	// sequence returned has been taken or is no longer in the stream. Ok is false
	// when events are still under way.
	CaughtUp(ctx context.Context) (through uint64, ok bool, err error)
	// Close ends the reading and waits for it.
	Close()
}

// ReadLimit bounds a batch. A batch holds at least one event, however large.
type ReadLimit struct {
	Events int // at least 1
	Bytes  int // of records
}

// Info describes a stream.
type Info struct {
	Name     string
	Subjects []string
	Created  time.Time
	First    uint64 // sequence of the first event it holds; Last+1 when it is empty
	Last     uint64 // sequence of the last event it ever stored; 0 before the first
	Events   uint64 // that it holds

	FirstTime time.Time // when the first event was stored that it holds; zero when it is empty
	LastTime  time.Time // when the last one was; zero before the first

	Mirror      string   // the stream that it is a mirror of; empty: it is none
	Sources     []string // streams that it gets its events from, beside its subjects
	Transformed bool     // it stores events under other subjects than they come with
}

// Absent is how many sequences between its first and its last event hold none: those
// events were deleted or expired, or their mirror leaves them out.
func (i Info) Absent() uint64 {
	if i.Events == 0 {
		return 0
	}
	held := i.First + i.Events
	return max(i.Last+1, held) - held
}

// Warning says which of the subjects of a projection the stream does not take.
func (i Info) Warning(subjects []string) string {
	outside := i.outside(subjects)
	if len(outside) == 0 {
		return ""
	}
	return fmt.Sprintf("stream %s takes only %s, so that no event to come matches %s: correct the projection's subjects, or add them to the stream",
		i.Name, strings.Join(i.Subjects, ", "), strings.Join(outside, ", "))
}

// Interleaved reports whether events come from more than one place.
func (i Info) Interleaved() bool {
	return len(i.Sources) > 1 || len(i.Sources) == 1 && len(i.Subjects) > 0
}

// outside returns the filters that match no subject of the stream. Where events come
// from other streams, or with other subjects than they are stored under, there is no
// telling.
func (i Info) outside(filters []string) (none []string) {
	if i.Mirror != "" || len(i.Sources) > 0 || i.Transformed || len(i.Subjects) == 0 {
		return nil
	}
	for _, f := range filters {
		within := false
		for _, s := range i.Subjects {
			within = within || FiltersOverlap(f, s)
		}
		if !within {
			none = append(none, f)
		}
	}
	return none
}
