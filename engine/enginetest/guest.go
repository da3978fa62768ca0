package enginetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// Module is a module whose guest is written in Go and runs without a sandbox.
type Module struct {
	Name string                // its digest is made of it
	New  func() Guest          // makes the guest of a fresh instance
	Open func(settings []byte) // when not nil, is told the settings of each instance
	// Buffer is the size of the guest's batch buffer in bytes; 0: as large as needed.
	Buffer int
	// Emits says that the module imports emit.
	Emits bool
	// Fuel is how many events a call may hold before it runs out; 0: any number.
	Fuel int
	// Migrate, when not nil, rewrites a state of an older schema.
	Migrate func(from int, st guest.State) error
	// Rewrite, when not nil, makes the module an upcaster: it hands out what it makes of one
	// event. Sequence and time are set.
	Rewrite func(e abi.Record, out func(abi.Record)) error
	// Answer, when not nil, answers queries. An error made by Refuse is the guest's own.
	Answer func(guest Guest, request []byte, rows state.Rows) ([]byte, error)
	// Closed, when not nil, is told when nobody uses the module any more.
	Closed func()
}

// Guest handles events one by one. An error made by Refuse is the guest's own; any
// other one is passed on as the host's.
type Guest interface {
	Event(e abi.Record, st guest.State) error
}

// Rememberer is a guest that keeps state in its own memory.
type Rememberer interface {
	Guest
	Snapshot() [][]byte
	Restore(blobs [][]byte) error
}

// Func is a guest without memory.
type Func func(e abi.Record, st guest.State) error

// Event implements Guest.
func (f Func) Event(e abi.Record, st guest.State) error { return f(e, st) }

// FuncModule makes a module of one function.
func FuncModule(name string, f Func) *Module {
	return &Module{Name: name, New: func() Guest { return f }}
}

type refusal string

func (r refusal) Error() string { return string(r) }

// Upcaster makes a module of a function that hands out what it makes of one event.
func Upcaster(name string, rewrite func(e abi.Record, out func(abi.Record)) error) *Module {
	return &Module{Name: name, Rewrite: rewrite}
}

// Refuse is the error of a guest that will not have an event.
func Refuse(format string, args ...any) error { return refusal(fmt.Sprintf(format, args...)) }

// Digest implements guest.Module.
func (m *Module) Digest() string {
	sum := sha256.Sum256([]byte(m.Name))
	return hex.EncodeToString(sum[:])
}

// Traits implements guest.Module.
func (m *Module) Traits() guest.Traits {
	if m.New == nil {
		return guest.Traits{Upcasts: m.Rewrite != nil}
	}
	_, remembers := m.New().(Rememberer)
	return guest.Traits{Memory: remembers, Emits: m.Emits, Migrate: m.Migrate != nil, Applies: true, Upcasts: m.Rewrite != nil, Queries: m.Answer != nil}
}

// Close implements guest.Module's optional part.
func (m *Module) Close(context.Context) error {
	if m.Closed != nil {
		m.Closed()
	}
	return nil
}

// Instantiate implements guest.Module.
func (m *Module) Instantiate(_ context.Context, c guest.Config) (guest.Instance, error) {
	if m.Open != nil {
		m.Open(c.Settings)
	}
	in := &instance{module: m}
	if m.New != nil {
		in.guest = m.New()
	}
	return in, nil
}

type instance struct {
	module *Module
	guest  Guest
	failed bool // an instance that failed must not be used again
	made   []byte
	emits  emitting // of the call under way
}

var errUsedAfterFailure = errors.New("instance used after it had failed")

// Apply implements guest.Instance.
func (in *instance) Apply(_ context.Context, records []byte, st guest.State) error {
	if in.failed {
		return errUsedAfterFailure
	}
	if b := in.module.Buffer; b > 0 && len(records) > b {
		in.failed = true
		return &guest.Error{Call: "apply", Kind: guest.SmallBuffer, Event: -1, Have: b, Need: len(records)}
	}
	emits := &in.emits // no allocation for each call: benchmarks count those of the engine
	*emits = emitting{State: st}
	for i := 0; len(records) > 0; i++ {
		if n := in.module.Fuel; n > 0 && i == n {
			in.failed = true
			return &guest.Error{Call: "apply", Kind: guest.OutOfFuel, Event: -1}
		}
		e, rest, err := abi.Next(records)
		if err == nil {
			if e.Sequence != emits.cause {
				emits.cause, emits.n = e.Sequence, 0
			}
			emits.event = i
			err = in.guest.Event(e, emits)
		}
		if err != nil {
			in.failed = true
			return asGuest("apply", err, i)
		}
		records = rest
	}
	return nil
}

// emitting is a state that says which event emits.
type emitting struct {
	guest.State
	cause    uint64
	event, n int
}

// Emit implements guest.State. Cause, Index and Event are set.
func (s *emitting) Emit(e state.Emit) error {
	e.Cause, e.Event, e.Index = s.cause, s.event, s.n
	s.n++
	return s.State.Emit(e)
}

func asGuest(call string, err error, event int) error {
	var r refusal
	if errors.As(err, &r) {
		return &guest.Error{Call: call, Kind: guest.Refused, Text: string(r), Event: event}
	}
	return err
}

// Snapshot implements guest.Instance.
func (in *instance) Snapshot(context.Context) ([][]byte, error) {
	if in.failed {
		return nil, errUsedAfterFailure
	}
	return in.guest.(Rememberer).Snapshot(), nil
}

// Restore implements guest.Instance.
func (in *instance) Restore(_ context.Context, blobs [][]byte) error {
	return in.guest.(Rememberer).Restore(blobs)
}

// Migrate implements guest.Instance.
func (in *instance) Migrate(_ context.Context, from int, st guest.State) error {
	if err := in.module.Migrate(from, st); err != nil {
		in.failed = true
		return asGuest("migrate", err, -1)
	}
	return nil
}

// Query implements guest.Instance.
func (in *instance) Query(_ context.Context, request []byte, rows state.Rows) ([]byte, error) {
	if in.failed {
		return nil, errUsedAfterFailure
	}
	answer, err := in.module.Answer(in.guest, request, rows)
	if err != nil {
		in.failed = true
		return nil, asGuest("query", err, -1)
	}
	return answer, nil
}

// Upcast implements guest.Instance.
func (in *instance) Upcast(_ context.Context, records []byte) ([]byte, error) {
	if in.failed {
		return nil, errUsedAfterFailure
	}
	if b := in.module.Buffer; b > 0 && len(records) > b {
		in.failed = true
		return nil, &guest.Error{Call: "upcast", Kind: guest.SmallBuffer, Event: -1, Have: b, Need: len(records)}
	}
	in.made = in.made[:0]
	for i := 0; len(records) > 0; i++ {
		if n := in.module.Fuel; n > 0 && i == n {
			in.failed = true
			return nil, &guest.Error{Call: "upcast", Kind: guest.OutOfFuel, Event: -1}
		}
		e, rest, err := abi.Next(records)
		if err == nil {
			err = in.module.Rewrite(e, func(r abi.Record) {
				r.Sequence, r.TimeNs, r.Key = e.Sequence, e.TimeNs, nil
				in.made = r.Append(in.made)
			})
		}
		if err != nil {
			in.failed = true
			return nil, asGuest("upcast", err, i)
		}
		records = rest
	}
	return in.made, nil
}

// Fuel implements guest.Instance.
func (in *instance) Fuel() uint64 { return 0 }

// MemoryBytes implements guest.Instance.
func (in *instance) MemoryBytes() uint64 { return 0 }

// Close implements guest.Instance.
func (in *instance) Close(context.Context) error { return nil }
