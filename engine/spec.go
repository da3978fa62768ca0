package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// Spec says what a projection is: its module, where its events come from, and the
// bounds it runs in.
type Spec struct {
	Name     string
	Module   guest.Module
	Settings []byte // for the guest, as JSON

	Stream   string
	Subjects []string // as configured; Filter is made of them
	Key      string   // as configured; KeyOf is made of it
	Start    Start

	// Filter tells whether an event is the projection's by its subject; nil: all are.
	Filter func(subject []byte) bool
	// KeyOf returns the declared key of an event, valid until its next call; nil:
	// none is declared.
	KeyOf func(e abi.Record) []byte

	// Upcasters rewrite the events before anything else here sees them, one after the
	// other.
	Upcasters []Upcaster

	// Partitions is how many instances share the events, by their keys; 0 and 1: one
	// gets them all. The state does not depend on it.
	Partitions int

	Batch  streams.ReadLimit // of one call of the guest
	Fuel   uint64            // of one call of the guest; 0: it is not metered
	Memory uint64            // limit of the guest's memory, bytes
	Window time.Duration     // longest time between two commits while catching up
	Cache  int               // bytes of state kept in memory

	Quota state.Quota // of its state

	Emit   EmitRules
	Outbox OutboxLimit // of events that wait to be published

	OnError Policy // what becomes of an event that fails; empty: Halt
	Letters int    // so many events are set aside, at most

	MemorySnapshots MemoryPolicy
	History         HistoryPolicy
	Pins            PinPolicy
	Log             guest.Log

	Schema       int           // of the state that the module writes, as declared; 0: none
	OnChange     ChangePolicy  // what becomes of the state when module or settings change
	AutoPromote  PromotePolicy // when a candidate takes over
	KeepPrevious time.Duration // how long the generation that was read before follows on; 0: not at all

	// Declaration is what Options.Restore makes this spec of again, as JSON; empty: it
	// cannot be.
	Declaration []byte

	uses int // by generations and projections; guarded by the projection's mu
}

// ChangePolicy says what becomes of the state when module or settings change.
type ChangePolicy string

// The policies.
const (
	RebuildState ChangePolicy = ""     // it is built anew, beside the one that is read
	SwapCode     ChangePolicy = "swap" // it stays, if the module declares the same schema, or can migrate
)

// MemoryPolicy says when the memory of a guest that keeps state there is stored.
type MemoryPolicy struct {
	Events uint64        // after so many events
	Every  time.Duration // or so long, when there were events
	Keep   int           // so many are kept, at least 1
}

// PinPolicy bounds the named snapshots of a projection.
type PinPolicy struct {
	Max    int           // so many at once
	MaxAge time.Duration // older ones are dropped; 0: never
}

// Start says where in its stream a new projection begins.
type Start struct {
	New      bool      // after the last event
	Sequence uint64    // at this sequence; 0 or 1: at the first event
	Time     time.Time // at the first event stored at or after it, when not zero
}

func (s Start) String() string {
	switch {
	case s.New:
		return "new"
	case !s.Time.IsZero():
		return s.Time.UTC().Format(time.RFC3339Nano)
	case s.Sequence > 1:
		return fmt.Sprint(s.Sequence)
	}
	return "first"
}

// newInstance makes an instance of the module, for a generation.
func (s *Spec) newInstance(ctx context.Context, generation string) (guest.Instance, error) {
	in, err := s.Module.Instantiate(ctx, guest.Config{Settings: s.Settings, Memory: s.Memory, Log: guest.LogOf(generation, s.Log)})
	if err != nil {
		return nil, &instanceError{fmt.Errorf("instantiate module: %w", err)}
	}
	return in, nil
}

// Check refuses modules that cannot do what the spec asks for. Its errors go on from
// words for the module.
func (s *Spec) Check() error {
	has := s.Module.Traits()
	for i := range s.Upcasters {
		if err := s.Upcasters[i].Check(); err != nil {
			return fmt.Errorf("has the upcaster %s before it, whose module %w", s.Upcasters[i].Name, err)
		}
	}
	switch {
	case !has.Applies:
		return fmt.Errorf("does not export %s: it is an upcaster, and no projection", abi.ExportApply)
	case s.Partitions > 1 && has.Memory:
		return fmt.Errorf("keeps state in its own memory (snapshot and restore), which cannot be split: use partitions = 1, not %d", s.Partitions)
	case s.Partitions > 1 && s.KeyOf == nil:
		return fmt.Errorf("gets events without a key, by which they could be split: set key, or use partitions = 1, not %d", s.Partitions)
	}
	return s.checkEmits()
}

// closeModules frees the code of the modules, those that can be closed.
func (s *Spec) closeModules(ctx context.Context) error {
	modules := []guest.Module{s.Module}
	for i := range s.Upcasters {
		modules = append(modules, s.Upcasters[i].Module)
	}
	var errs []error
	for _, m := range modules {
		if c, ok := m.(interface{ Close(context.Context) error }); ok {
			errs = append(errs, c.Close(ctx))
		}
	}
	return errors.Join(errs...)
}

// rebuilt is the generation after so many rebuilds.
func (s *Spec) rebuilt(times int) string {
	if times == 0 {
		return s.Generation()
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", s.Generation(), times))
	return hex.EncodeToString(sum[:8])
}

// Generation identifies what a projection's state is a function of, beside the
// events: module, settings and source. A change of any of them needs another
// keyspace, or code that can take over the one that there is.
func (s *Spec) Generation() string {
	id := struct {
		Module, Settings string
		source
		Schema int `json:",omitempty"`
	}{s.Module.Digest(), string(s.Settings), s.source(), s.Schema}
	return identify(id)
}

// Source identifies the events that a projection gets.
func (s *Spec) Source() string { return identify(s.source()) }

// asked are the subjects that the projection asks the stream for; nil: all. Upcasters may
// make others of them.
func (s *Spec) asked() []string {
	if len(s.Upcasters) > 0 {
		return nil
	}
	return s.Subjects
}

// source is what decides which events a projection gets.
type source struct {
	Stream     string
	Subjects   []string
	Key, Start string
	Upcasters  []upcasterSource `json:",omitempty"`
}

func (s *Spec) source() source {
	src := source{Stream: s.Stream, Subjects: slices.Sorted(slices.Values(s.Subjects)), Key: s.Key, Start: s.Start.String()}
	for i := range s.Upcasters {
		src.Upcasters = append(src.Upcasters, s.Upcasters[i].source())
	}
	return src
}

// identify makes a short name of a value.
func identify(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and numbers only
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// Policy says what becomes of an event that its projection fails on.
type Policy string

// The policies.
const (
	Halt       Policy = "halt"        // the projection stops before it
	Skip       Policy = "skip"        // it is passed over, counted and logged
	DeadLetter Policy = "dead-letter" // it is set aside, and the others go on
	Quarantine Policy = "quarantine"  // it is set aside, and later events of its key queue behind it
)
