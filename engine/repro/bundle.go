package repro

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"gnomon/engine"
	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// Format and Version name the format of the file. Version 2 has events that upcasters
// rewrote, and failures of upcasters; files without them are still of version 1.
const (
	Format  = "gnomon-repro"
	Version = 2
)

// Manifest says what a bundle is about.
type Manifest struct {
	Format  string    `json:"format"`
	Version int       `json:"version"`
	Engine  string    `json:"engine"` // version of the engine that made it
	Created time.Time `json:"created"`

	Projection string `json:"projection"`
	Generation string `json:"generation"`
	Stream     string `json:"stream"`
	Module     string `json:"module"`             // SHA-256
	Upcaster   string `json:"upcaster,omitempty"` // that failed, by its name: the module and its settings are its

	Sequence uint64             `json:"seq"`
	Subject  Text               `json:"subject"`
	Key      Text               `json:"key,omitempty"`    // the declared key
	Status   state.LetterStatus `json:"status,omitempty"` // empty: the projection is halted before the event
	Attempts int                `json:"attempts"`
	Error    string             `json:"error,omitempty"` // when the projection failed on it

	AsOf   uint64 `json:"as_of_seq"`              // sequence that the state reflects
	Memory uint64 `json:"memory_as_of,omitempty"` // and the guest's memory
	Result string `json:"result"`                 // of applying the event to that state; empty: it passes
	Limits Limits `json:"limits"`

	Files map[string]string `json:"files"` // SHA-256 of each of the others, in hex
}

// Limits are those of the projection.
type Limits struct {
	Memory uint64 `json:"memory"`      // of the guest, bytes
	Fuel   uint64 `json:"fuel"`        // of one call, in the units of package host; 0: not metered
	Writes int    `json:"writes"`      // keys that one event may write
	Bytes  int    `json:"write_bytes"` // and what they may amount to
}

// Bundle is one failure.
type Bundle struct {
	Manifest Manifest
	Module   []byte
	Settings []byte // JSON
	Event    []byte // as the module is handed it: a record of sdk/abi, or several that upcasters made of it
	Facts    []Fact
	Memory   [][]byte // nil: the guest keeps no state in its memory
}

// Case is what a bundle is made of.
type Case struct {
	Engine     string // its version
	Spec       engine.Spec
	Bytes      []byte       // of the module
	Upcasters  [][]byte     // bytes of the modules of the spec's upcasters
	Letter     state.Letter // with the zero Status: of an event that the projection is halted before
	State      state.Rows
	AsOf       uint64
	Limit      state.TxLimit // of a commit of the keyspace
	Memory     [][]byte
	MemoryAsOf uint64
}

// ErrModule says that a module's file is not that of the module that failed.
var ErrModule = errors.New("the module's file is another one")

// Make applies the event of a case to a fresh instance of its module, notes what it
// reads, and makes a bundle of that. It fails with ErrModule when the module's bytes are
// not those of the one that failed.
func Make(ctx context.Context, c Case) (*Bundle, error) {
	digest := digestOf(c.Bytes)
	if want := c.Spec.Module.Digest(); digest != want {
		return nil, fmt.Errorf("%w: it has the SHA-256 %s, and the one that runs %s: put that one back", ErrModule, digest, want)
	}
	if want := c.Letter.Module; want != "" && digest != want {
		return nil, fmt.Errorf("%w: it has the SHA-256 %s, and event %d failed in %s", ErrModule, digest, c.Letter.Sequence, want)
	}
	e, _, err := abi.Next(c.Letter.Event)
	if err != nil {
		return nil, fmt.Errorf("event %d: %w: %w", c.Letter.Sequence, state.ErrCorrupt, err)
	}
	partitions := max(1, c.Spec.Partitions)
	b := &Bundle{
		Manifest: Manifest{
			Format: Format, Version: 1, Engine: c.Engine, Created: time.Now().UTC(),
			Projection: c.Spec.Name, Generation: c.Spec.Generation(), Stream: c.Spec.Stream, Module: digest,
			Sequence: c.Letter.Sequence, Subject: e.Subject, Key: e.Key, Status: c.Letter.Status, Attempts: c.Letter.Attempts, Error: c.Letter.Error,
			AsOf: c.AsOf, Memory: c.MemoryAsOf,
			Limits: Limits{Memory: c.Spec.Memory, Fuel: c.Spec.Fuel, Writes: c.Limit.Writes / partitions, Bytes: c.Limit.Bytes / partitions},
		},
		Module: c.Bytes, Settings: c.Spec.Settings, Event: c.Letter.Event, Memory: c.Memory,
	}
	if len(b.Settings) == 0 {
		b.Settings = []byte("{}")
	}
	module := c.Spec.Module
	if len(c.Spec.Upcasters) > 0 {
		if module, err = b.upcast(ctx, &c); err != nil {
			return nil, err
		}
	}
	record := NewRecorder(c.State)
	if b.Manifest.Result, err = b.run(ctx, module, record, nil); err != nil {
		return nil, err
	}
	b.Facts = record.Facts()
	return b, nil
}

// upcast makes the bundle of what upcasters make of the event: that is what the module is
// handed, or, when one of them fails, its own module and what that was handed. So a bundle
// is always about one module, and needs neither the others nor keys and subjects.
func (b *Bundle) upcast(ctx context.Context, c *Case) (guest.Module, error) {
	b.Manifest.Version = 2
	records, failed, err := c.Spec.Upcast(ctx, b.Event)
	b.Event = records
	var bad *engine.UpcastError
	switch {
	case errors.As(err, &bad):
	case err != nil:
		return nil, err
	case len(records) == 0:
		return nil, fmt.Errorf("event %d: its upcasters make nothing of it, or nothing that is the projection's: there is nothing to reproduce; retry it", c.Letter.Sequence)
	default:
		return c.Spec.Module, nil
	}
	u := &c.Spec.Upcasters[failed]
	code := c.Upcasters[failed]
	if have, want := digestOf(code), u.Module.Digest(); have != want {
		return nil, fmt.Errorf("%w: upcaster %s has the SHA-256 %s, and the one that runs %s: put that one back", ErrModule, u.Name, have, want)
	}
	b.Module, b.Settings, b.Memory = code, u.Settings, nil
	if len(b.Settings) == 0 {
		b.Settings = []byte("{}")
	}
	m := &b.Manifest
	m.Upcaster, m.Module, m.Memory, m.Limits.Memory, m.Limits.Fuel = u.Name, u.Module.Digest(), 0, u.Memory, u.Fuel
	return u.Module, nil
}

// Run applies the event of a bundle to the state in it, or upcasts it, by a module that may
// be another than the bundle's. It returns the error that the module fails with, as text; empty
// when it passes. It fails with ErrUnknown when the module reads what is not there.
func (b *Bundle) Run(ctx context.Context, m guest.Module, log guest.Log) (string, error) {
	return b.run(ctx, m, NewReplay(b.Facts), log)
}

func (b *Bundle) run(ctx context.Context, m guest.Module, st state.Rows, log guest.Log) (string, error) {
	failure, err := engine.Try(ctx, engine.Trial{
		Module: m, Memory: b.Memory, State: st, Record: b.Event, Upcast: b.Manifest.Upcaster != "",
		Instance: guest.Config{Settings: b.Settings, Memory: b.Manifest.Limits.Memory, Log: log},
		Limit:    state.TxLimit{Writes: b.Manifest.Limits.Writes, Bytes: b.Manifest.Limits.Bytes},
	})
	if err != nil || failure == nil {
		return "", err
	}
	if name := b.Manifest.Upcaster; name != "" {
		failure = &engine.UpcastError{Upcaster: name, Err: failure}
	}
	return failure.Error(), nil
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// ErrDamaged says that a file is no bundle, or not as it was written. It is wrapped with
// what is wrong.
var ErrDamaged = errors.New("bundle is damaged")

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrDamaged, fmt.Errorf(format, args...))
}
