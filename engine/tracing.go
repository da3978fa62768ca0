package engine

import (
	"time"

	"gnomon/sdk/abi"
)

// Tracer is told what projections do, for traces. Its methods may be called concurrently.
type Tracer interface {
	// Session returns who is told of one session of a generation: from a checkpoint on, until
	// it is closed.
	Session(projection, generation, stream string) SessionTracer
}

// SessionTracer is told what one session does, in the order in which it does it. Its methods
// are called by one goroutine, which waits for them: they must not block.
type SessionTracer interface {
	// Applied tells of a call of the guest. It follows on those that were told before; Cut
	// ends what is committed together, and Committed says how that went.
	Applied(a Applied)
	Cut()
	Committed(c Committed)
	// Continue returns the headers of an event that another one causes, which has its trace
	// context in them, with that of what the cause is traced by in this session. It gives the
	// same for the same events of a generation, however often it is asked, and in whichever
	// session: what is emitted must not depend on clocks or chance.
	Continue(headers []byte, cause *abi.Record) []byte
	// Close ends the session: what was not committed will not be.
	Close()
}

// Applied is one call of the guest.
type Applied struct {
	Records     []byte // that it was handed, valid during the call
	First, Last uint64 // sequences
	Events      int
	Fuel        uint64
	Began       time.Time
	Took        time.Duration
	Err         error // why nothing of it was applied
}

// Committed is what became of a commit.
type Committed struct {
	Sequence uint64 // position
	Took     time.Duration
	Err      error
}

// beginTrace has a session traced, if there is a tracer.
func (s *session) beginTrace(t Tracer) {
	if t != nil {
		s.trace = t.Session(s.name, s.generation, s.spec.Stream)
	}
}

// traceApplied tells of a call of the guest. What is only applied again was told before.
func (s *session) traceApplied(records []byte, first, last uint64, events int, fuel uint64, began time.Time, took time.Duration, err error) {
	if s.trace != nil && !s.repeats() {
		s.trace.Applied(Applied{Records: records, First: first, Last: last, Events: events, Fuel: fuel, Began: began, Took: took, Err: err})
	}
}

func (s *session) traceCut() {
	if s.trace != nil {
		s.trace.Cut()
	}
}

func (s *session) traceCommitted(r *commitResult) {
	if s.trace != nil {
		s.trace.Committed(Committed{Sequence: r.checkpoint.Position.Sequence, Took: r.took, Err: r.err})
	}
}

func (s *session) endTrace() {
	if s.trace != nil {
		s.trace.Close()
	}
}
