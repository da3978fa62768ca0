package streams

import (
	"context"
	"errors"
)

// ErrRefused says that a message cannot be stored as it is: it is larger than the server
// or the stream takes, or the stream takes no more. It is wrapped with the reason.
var ErrRefused = errors.New("message refused")

// Message is an emitted event on its way to a stream.
type Message struct {
	ID      string // its Nats-Msg-Id: the same for every attempt to publish it
	Subject string
	Headers []byte // as in a record, see sdk/abi; without Nats-Msg-Id
	Data    []byte
	Group   uint64 // sequence of the event that caused it: messages of one group, which follow one another, belong together
}

// Outlet is where emitted events are published. Its methods may be called concurrently.
type Outlet interface {
	// StreamFor describes the stream that stores a subject, as the server has it now. It
	// fails with ErrNoStream when none does, with ErrForbidden, and with ErrSourceDown, wrapped.
	StreamFor(ctx context.Context, subject string) (Info, error)
	// Publish has a stream store messages, in order, and returns how many of them are known
	// to be stored, from the first on, and the stream's sequence of the last of those. One
	// that the server takes for a repetition (it remembers the ID) is stored already. Where
	// the stream can, the messages of a group are stored all or none.
	//
	// When it fails with ErrRefused, wrapped, what is not known to be stored is not stored.
	// After any other error, ErrForbidden among them, it is in doubt: it may be stored, now or
	// later still, until the time-out of the server's. A message that another stream would store is refused.
	Publish(ctx context.Context, stream string, messages []Message) (stored int, last uint64, err error)
	// Stored calls fn with the ID and the sequence of each message that a stream holds after
	// a sequence, whose subject matches one of some filters, and that has an ID, in order,
	// until fn returns false or the stream ends. Everything that was stored before the call
	// is among them. It fails with ErrNoStream, ErrForbidden or ErrSourceDown,
	// wrapped.
	Stored(ctx context.Context, stream string, subjects []string, after uint64, fn func(id string, sequence uint64) bool) error
	// MaxBytes is the size, of a Message's headers and data together, above which the server
	// may refuse every message; 0: it is not known at present.
	MaxBytes() int
}
