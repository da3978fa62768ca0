package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/dustin/go-humanize"

	"gnomon/engine"
	"gnomon/engine/importer"
	"gnomon/engine/store"
	"gnomon/sdk/abi"
)

// The event that a check makes up, for a module that is given none.
const (
	madeUpSubject = "check.made-up"
	madeUpData    = "{}"
)

// applier has an instance apply events to a state that is empty.
func (k *checker) applier(in engine.Instance, upcasts bool) *applier {
	return &applier{instance: in, upcasts: upcasts, keyOf: k.keyOf, state: newMemoryState(new(store.Keyspace).Limit())}
}

// use has an instance work on events, and says what that took.
func (k *checker) use(ctx context.Context, a *applier) ([]checkRow, error) {
	upcasts := a.upcasts
	init := "init " + comma(a.instance.Fuel())
	if k.events != "" {
		if err := k.applyFile(ctx, a); err != nil {
			return nil, err
		}
		events := fmt.Sprintf("%s of %s, which leave %s keys, %s", comma(a.events), eventsFile(k.events), comma(a.state.keys), humanize.IBytes(uint64(a.state.bytes)))
		if upcasts {
			events = fmt.Sprintf("%s of %s, which become %s", comma(a.events), eventsFile(k.events), comma(a.made))
		}
		if a.events > 0 {
			init += fmt.Sprintf("; an event %s on average, %s at most, in line %d", comma(a.used/uint64(a.events)), comma(a.most), a.mostLine)
		}
		return []checkRow{{"events", events}, k.fuelRow(init)}, nil
	}
	madeUp := importer.Event{Subject: madeUpSubject, ID: "1", Type: "check", Time: "2000-01-01T00:00:00Z", Source: importer.DefaultSource, Data: []byte(madeUpData)}
	failure := a.Append(ctx, madeUp)
	var guest *engine.GuestError
	if failure != nil && !errors.As(failure, &guest) {
		return nil, failure
	}
	rows := []checkRow{k.fuelRow(init + "; a made-up event " + comma(a.most))}
	if guest != nil {
		rows = append(rows, checkRow{"note", fmt.Sprintf("it fails at the made-up event (subject %s, data %s), which may be right: %s; give it real ones with --events", madeUpSubject, madeUpData, readable([]byte(guest.Error())))})
	}
	return rows, nil
}

// applyFile applies the events of the file.
func (k *checker) applyFile(ctx context.Context, a *applier) error {
	in, total := k.stdin, int64(-1)
	if k.events != "-" {
		f, err := os.Open(k.events)
		if err != nil {
			return err
		}
		defer f.Close()
		if total, err = countLines(f); err != nil {
			return err
		}
		in = f
	}
	p := newProgress(k.stderr, "apply "+eventsFile(k.events), total)
	defer p.Finish()
	lines := int64(0)
	return importer.Import(ctx, k.events, in, a, importer.Options{Progress: func(int64) {
		lines++
		p.Set(lines)
	}})
}

// fuelRow says what took how much, and what the fuel of an event is held against.
func (k *checker) fuelRow(took string) checkRow {
	if k.limits.Fuel == 0 {
		return checkRow{"fuel", "not metered"}
	}
	return checkRow{"fuel", took + "; the limit of an event is " + comma(k.limits.Fuel) + " (limits.fuel)"}
}

func eventsFile(name string) string {
	if name == "-" {
		return "standard input"
	}
	return name
}

func comma[T int | uint64](n T) string { return humanize.Comma(int64(n)) }

// applier has an instance apply events one by one. It implements importer.Sink.
type applier struct {
	instance engine.Instance
	upcasts  bool                    // it is an upcaster, and rewrites them
	keyOf    func(abi.Record) []byte // nil: there is no key
	state    *memoryState

	events   int
	made     int    // by an upcaster
	used     uint64 // fuel, of all events
	most     uint64 // of one
	mostLine int
	record   []byte // buffer
}

// Append implements importer.Sink. It fails with the guest's error.
func (a *applier) Append(ctx context.Context, e importer.Event) error {
	r, err := recordOf(e, uint64(a.events+1))
	if err != nil {
		return err
	}
	if a.keyOf != nil && !a.upcasts {
		r.Key = a.keyOf(r)
	}
	a.record = r.Append(a.record[:0])
	a.state.begin()
	if a.upcasts {
		var made []byte
		made, err = a.instance.Upcast(ctx, a.record)
		a.made += countRecords(made)
	} else {
		err = a.instance.Apply(ctx, a.record, a.state)
	}
	fuel := a.instance.Fuel()
	if a.used += fuel; fuel > a.most || a.events == 0 {
		a.most, a.mostLine = fuel, e.Line
	}
	a.events++
	if err != nil {
		return fmt.Errorf("event of the subject %s: %w", e.Subject, err)
	}
	return nil
}

func countRecords(records []byte) (n int) {
	for len(records) > 0 {
		_, rest, err := abi.Next(records)
		if err != nil {
			break
		}
		records = rest
		n++
	}
	return n
}

// Flush implements importer.Sink.
func (a *applier) Flush(context.Context) error { return nil }

// Counts implements importer.Sink.
func (a *applier) Counts() importer.Counts {
	return importer.Counts{Imported: a.events, Last: uint64(a.events)}
}

// recordOf makes the record that an event would be handed to a module as, if it were
// imported at its own time.
func recordOf(e importer.Event, sequence uint64) (abi.Record, error) {
	at, err := time.Parse(time.RFC3339, e.Time)
	if err != nil {
		return abi.Record{}, err
	}
	r := abi.Record{Sequence: sequence, TimeNs: at.UnixNano(), Subject: []byte(e.Subject), Data: e.Data}
	headers := e.Headers()
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		for _, value := range headers[name] {
			var ok bool
			if r.Headers, ok = abi.AppendHeader(r.Headers, name, value); !ok {
				return r, fmt.Errorf("header %s has more than 65535 bytes", name)
			}
		}
	}
	return r, nil
}
