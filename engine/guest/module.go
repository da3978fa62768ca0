package guest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gnomon/engine/state"
)

// ErrNoQuery says that a module answers no queries, or cannot be asked. It is wrapped with
// the reason.
var ErrNoQuery = errors.New("its module answers no queries")

// Module is a projection's checked and compiled code. It is safe for concurrent
// use; its instances are not.
type Module interface {
	// Digest is the SHA-256 of the module's bytes in hex.
	Digest() string
	// Traits says what the module exports and imports.
	Traits() Traits
	// Instantiate makes a fresh instance and runs its initialisation. It fails
	// with an *Error when the guest does.
	Instantiate(ctx context.Context, c Config) (Instance, error)
}

// Traits are the facts about a module that a runner depends on.
type Traits struct {
	Memory  bool // keeps state in its own memory: has snapshot and restore
	Emits   bool // imports emit
	Migrate bool // rewrites a state of an older schema: has migrate
	Applies bool // is a projection: has apply
	Upcasts bool // is an upcaster: has upcast
	Queries bool // answers requests: has query
}

// Config is what an instance is made with.
type Config struct {
	Settings []byte // the projection's settings table as JSON
	Memory   uint64 // limit of its linear memory in bytes
	Log      Log
	// Surroundings are the zero value for every projection, so that nothing of a result can
	// come from them. A test that changes them finds modules of which that is not so.
	Surroundings Surroundings
}

// Surroundings are what an instance finds of clocks and chance, which are the same for all.
type Surroundings struct {
	Clock  time.Duration // of the wall clock since 1970, and what the other clock begins at
	Chance uint64        // other random bytes for another number
}

// Log receives the log lines of a guest. Levels are those of log/slog. It
// may be called from any goroutine.
type Log interface {
	Enabled(level int) bool
	Line(l Line)
}

// Line is what a guest logged.
type Line struct {
	Level int    // of log/slog
	Text  string // at most abi.MaxLogLine bytes, UTF-8
	// First and Last are the sequences of the events that the guest was handed when it wrote
	// the line: the same one where there was one, as mostly at the head of a stream. Which of
	// several it was about, a guest does not say. 0: it was handed none.
	First, Last uint64
	Generation  string // that it runs for; empty: none yet, as when it is tried
}

// Instance is one running copy of a module. Its methods belong to one goroutine.
// After any error it must be closed: its memory is half changed.
type Instance interface {
	// Apply hands the guest a batch of records and runs it once. State is called
	// during the call only. It fails with an *Error when the guest does, or
	// with the error of State that the guest ran into.
	Apply(ctx context.Context, records []byte, st State) error
	// Snapshot returns the blobs that the guest writes of its own memory.
	Snapshot(ctx context.Context) (blobs [][]byte, err error)
	// Restore gives a fresh instance the blobs of a Snapshot back.
	Restore(ctx context.Context, blobs [][]byte) error
	// Migrate has the guest rewrite a state of an older schema, once, before it applies
	// anything. State is called during the call only. It fails as Apply does.
	Migrate(ctx context.Context, from int, st State) error
	// Upcast hands the guest of an upcaster records, and returns those that it makes of
	// them: in order, with sequences and times of records that it was handed, and without
	// keys. They are valid until the next call of any method. It fails with an *Error
	// when the guest does.
	Upcast(ctx context.Context, records []byte) ([]byte, error)
	// Query has the guest answer a request over a state that it may only read. Rows is
	// used during the call only. It fails with ErrNoQuery, with an *Error when the guest does, with the
	// error of Rows that the guest ran into, or with that of ctx when that ends while the
	// guest reads.
	Query(ctx context.Context, request []byte, rows state.Rows) (answer []byte, err error)
	// Fuel is what the last call used of its budget, in the units of package host; 0 when
	// it is not metered.
	Fuel() uint64
	// MemoryBytes is the present size of its linear memory.
	MemoryBytes() uint64
	// Close releases the instance. It may be called more than once.
	Close(ctx context.Context) error
}

// State is a projection's state as its guest sees it during a batch. Errors are
// for the host, not for the guest: they end the batch.
type State interface {
	// Get returns a value, valid until the next call of any method, and whether
	// the key is present.
	Get(key []byte) (value []byte, ok bool, err error)
	// Put stages a write. Key and value are copied.
	Put(key, value []byte) error
	// Delete stages a removal. A key that is absent may be deleted.
	Delete(key []byte) error
	// Scan calls fn for each key that has the prefix and is greater than after, in
	// key order, until fn returns false. An empty after begins at the first key.
	// Key and value are valid during the call of fn, which may not call State.
	Scan(prefix, after []byte, fn func(key, value []byte) bool) error
	// Emit stages an event that is to be published once the batch is committed.
	Emit(e state.Emit) error
}

// Error is a failure of a guest: what it did, and about which event when
// that is known. The batch is rolled back and the instance replaced.
type Error struct {
	Call  string // the export that was called
	Kind  ErrorKind
	Text  string // the guest's own words, or the trap's
	Event int    // index in the batch of the event it is about, or -1
	// Have and Need are set for a small buffer: its size, and the batch's, in bytes.
	Have, Need int
}

// ErrorKind says in what way a guest failed.
type ErrorKind string

// The ways in which a guest fails.
const (
	Trapped     ErrorKind = "trapped"
	Refused     ErrorKind = "returned an error"
	BadPointer  ErrorKind = "passed a pointer outside its memory"
	BadArgument ErrorKind = "passed a bad argument"
	SmallBuffer ErrorKind = "has too small a batch buffer"
	OverLimit   ErrorKind = "went over a limit"
	OutOfFuel   ErrorKind = "ran out of fuel"
)

func (e *Error) Error() string {
	switch {
	case e.Kind == SmallBuffer:
		return fmt.Sprintf("%s %s: %d bytes for %d bytes of events", e.Call, e.Kind, e.Have, e.Need) // one event or several
	case e.Text == "":
		return fmt.Sprintf("%s %s", e.Call, e.Kind)
	}
	return fmt.Sprintf("%s %s: %s", e.Call, e.Kind, e.Text)
}
