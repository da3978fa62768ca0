package testdriver

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"gnomon/engine/importer"
	"gnomon/sdk/abi"
)

// Events are events in the order of their stream, as a module is handed them.
type Events struct {
	records []byte
	ends    []int // of each record in records
	lines   []int // of each, in its file; 0: of none
	keyOf   func(abi.Record) []byte
}

// NewEvents makes a list that is empty. KeyOf takes the declared key out of an event, as
// fields.Key of package engine/fields says; nil: there is none.
func NewEvents(keyOf func(abi.Record) []byte) *Events { return &Events{keyOf: keyOf} }

// ReadEvents reads a file, plain or compressed with gzip. An error names the line.
func ReadEvents(ctx context.Context, file string, r io.Reader, keyOf func(abi.Record) []byte) (*Events, error) {
	e := NewEvents(keyOf)
	return e, importer.Import(ctx, file, r, e, importer.Options{})
}

// Append implements importer.Sink.
func (e *Events) Append(_ context.Context, event importer.Event) error {
	next := uint64(1)
	if n := e.Len(); n > 0 {
		next = e.Record(n-1).Sequence + 1
	}
	r, err := RecordOf(event, next)
	if err != nil {
		return err
	}
	if r.Sequence < next {
		return fmt.Errorf("the sequence is %d, and that of the event before it %d: they must go up", r.Sequence, next-1)
	}
	e.Add(r, event.Line)
	return nil
}

// Add adds a record, which is copied, and may be of a line.
func (e *Events) Add(r abi.Record, line int) {
	if e.keyOf != nil {
		r.Key = e.keyOf(r)
	}
	e.records = r.Append(e.records)
	e.ends = append(e.ends, len(e.records))
	e.lines = append(e.lines, line)
}

// keyed reports whether an event has a key.
func (e *Events) keyed() bool {
	for i := range e.Len() {
		if len(e.Record(i).Key) > 0 {
			return true
		}
	}
	return false
}

// withoutKeys are the events as an upcaster is handed them.
func (e *Events) withoutKeys() *Events {
	bare := NewEvents(nil)
	for i := range e.Len() {
		r := e.Record(i)
		r.Key = nil
		bare.Add(r, e.Line(i))
	}
	return bare
}

// Flush implements importer.Sink.
func (e *Events) Flush(context.Context) error { return nil }

// Counts implements importer.Sink.
func (e *Events) Counts() importer.Counts {
	return importer.Counts{Imported: e.Len(), Last: uint64(e.Len())}
}

// Len is how many there are.
func (e *Events) Len() int { return len(e.ends) }

// Record is an event by its place, from 0. It shares the memory of the list.
func (e *Events) Record(i int) abi.Record {
	r, _, _ := abi.Next(e.batch(i, i+1)) // it was written by Append
	return r
}

// Line is where an event was read, from 1; 0: nowhere.
func (e *Events) Line(i int) int { return e.lines[i] }

// batch is the records of the events from one place up to another, which is not in it.
func (e *Events) batch(from, to int) []byte {
	return e.records[e.start(from):e.start(to)]
}

func (e *Events) start(i int) int {
	if i == 0 {
		return 0
	}
	return e.ends[i-1]
}

// Type is the type of an event: its header ce-type, or its subject when it has none, with a
// star for each token that has a digit.
func (e *Events) Type(i int) string {
	r := e.Record(i)
	if t, ok := r.Header("ce-type"); ok && len(t) > 0 {
		return string(t)
	}
	return shape(string(r.Subject))
}

// RecordOf makes the record that an event would be handed to a module as, if it were
// imported at its own time. One that was recorded is handed over as it was, with its own
// sequence.
func RecordOf(e importer.Event, sequence uint64) (abi.Record, error) {
	var at time.Time
	if e.Recorded != nil {
		at, sequence = e.Recorded.Stored, e.Recorded.Sequence
	} else {
		var err error
		if at, err = time.Parse(time.RFC3339, e.Time); err != nil {
			return abi.Record{}, err
		}
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
