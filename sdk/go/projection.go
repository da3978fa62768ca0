package gnomon

import (
	"errors"

	"gnomon/sdk/abi"
	"gnomon/sdk/go/internal/boundary"
)

// Handler applies one event to the state. An error, or a panic, takes back
// everything that the event wrote; what happens then is the projection's on_error.
type Handler func(ev Event, st State) error

// OnEvent registers the projection's handler. Call it once, from an init function.
func OnEvent(h Handler) {
	if projection.handle != nil {
		panic("gnomon: OnEvent is called twice: a module is one projection")
	}
	projection.handle = h
}

// OnInit registers a function that runs once in every instance, before anything
// else. It may read settings and prepare variables of the program; it has no
// state. When it fails, the projection does not start.
func OnInit(prepare func() error) {
	if projection.prepare != nil {
		panic("gnomon: OnInit is called twice")
	}
	projection.prepare = prepare
}

// projection is what the program registered, and the memory that its calls share.
var projection struct {
	handle  Handler
	prepare func() error

	batch  []byte     // grown to the largest batch so far, never shrunk
	record abi.Record // the event being handled; aliases batch
	index  int32      // its place in the batch
}

var (
	errNoHandler = errors.New("no handler: call gnomon.OnEvent from an init function of package main")
	errUpcaster  = errors.New("no handler: this module is an upcaster, and no projection")
)

func init() {
	boundary.Record = &projection.record
	boundary.EachEvent = func(read func(buf []byte) int32, handle any, finish func() error) int32 {
		return boundary.Step(&projection.index, func() error {
			if err := eachEvent(read, handle.(func(Event) error)); err != nil {
				return err
			}
			return finish()
		})
	}
}

func initialize() int32 {
	fields.names = nil // natively, instances share the program
	event := boundary.NoEvent
	return boundary.Step(&event, func() error {
		if projection.handle == nil && !boundary.Upcasts {
			return errNoHandler
		}
		if projection.prepare == nil {
			return nil
		}
		return projection.prepare()
	})
}

func apply() int32 { return boundary.Step(&projection.index, applyBatch) }

func applyBatch() error {
	projection.index = boundary.NoEvent
	switch {
	case projection.handle != nil:
		return eachEvent(boundary.BatchRead, handleEvent)
	case boundary.Upcasts:
		return errUpcaster
	}
	return errNoHandler
}

func handleEvent(ev Event) error { return projection.handle(ev, State{}) }

// eachEvent handles the events that read gives, one by one.
func eachEvent(read func(buf []byte) int32, handle func(ev Event) error) error {
	p := &projection
	p.index = boundary.NoEvent
	batch, err := readBatch(read)
	if err != nil {
		return err
	}
	fields.batch, fields.read = batch, false
	for len(batch) > 0 {
		p.index++
		if p.record, batch, err = abi.Next(batch); err != nil {
			return err
		}
		if err = handle(Event{&p.record}); err != nil {
			return err
		}
	}
	p.index = boundary.NoEvent
	return nil
}

// readBatch returns the batch, which is valid until the next call.
func readBatch(read func(buf []byte) int32) (batch []byte, err error) {
	buf, n := boundary.Fill(projection.batch, read)
	if n < 0 {
		return nil, boundary.Wrap("read batch", boundary.CodeError(n))
	}
	projection.batch = buf
	return buf[:n], nil
}
