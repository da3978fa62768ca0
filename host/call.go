package host

import (
	"cmp"
	"context"
	"fmt"

	"github.com/tetratelabs/wazero/api"

	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// call is one call of a guest's function: what the guest may see during it, and
// what went wrong. It is the context of the call, so that a function that the
// guest imports finds it without a look-up.
type call struct {
	context.Context
	in       *instance
	name     string // of the export that was called
	argument uint64 // of the export

	batch    []byte      // only in apply, and in upcast its input
	state    guest.State // that can be written; only in apply and migrate
	rows     state.Rows  // that can be read: state, or what a query is about
	tooSmall int         // size of a buffer that the batch did not fit in
	table    []byte      // of the batch's fields, once they were asked for
	handed   span        // of the batch, once a line was logged

	cause   uint32 // index of the last event that emitted
	causing uint64 // its sequence
	emits   int    // of that event

	output  []byte // of upcast and query
	matched []byte // what is left of its input, from the event that the output has come to

	request []byte // only in query

	blobs [][]byte // written by snapshot, or to be read by restore
	read  int      // of blobs
	size  uint64   // of blobs written, in bytes

	said    string // the text of fail
	event   int    // the index of fail, or -1
	refused string // the last limit that a function of the host refused
	small   string // that the last scan found no room for an entry
	err     error  // ended the call

	complaint string // first line that the guest wrote to standard error
	printed   string // last line that it wrote to standard output
	spent     uint64 // fuel for the host's work that is not charged yet
}

// explain returns what is known of a failure, the guest's own words first.
func (c *call) explain(otherwise string) string {
	s := otherwise
	if c.said != "" {
		s = c.said
	}
	if after := cmp.Or(c.refused, c.small); after != "" {
		s += " (after " + after + ")"
	}
	return s
}

// trapKind is in what way a guest failed that trapped. One that said why before has
// failed as if it had returned: languages without exceptions end a call by a trap.
func (c *call) trapKind() guest.ErrorKind {
	if c.said != "" {
		return guest.Refused
	}
	return guest.Trapped
}

// warnRefused logs a refusal that did not make the guest fail, for most guests
// that go on after one have overlooked it.
func (c *call) warnRefused() {
	if c.refused == "" {
		return
	}
	c.in.logged = true // also where there is no log, for an image
	if c.in.log != nil {
		c.log(c.in.log, int(abi.LevelWarn), "went on after "+c.refused)
	}
}

// log hands a line of the guest to a log, with the events that it was handed.
func (c *call) log(to guest.Log, level int, text string) {
	c.in.logged = true
	to.Line(guest.Line{Level: level, Text: text, First: c.span().first, Last: c.span().last})
}

// span is the sequences of the events of the batch, which is looked through once for the
// lines of a call.
func (c *call) span() span {
	if c.handed == (span{}) {
		for batch := c.batch; len(batch) > 0; {
			r, rest, err := abi.Next(batch)
			if err != nil {
				break
			}
			if c.handed.first == 0 {
				c.handed.first = r.Sequence
			}
			c.handed.last, batch = r.Sequence, rest
		}
	}
	return c.handed
}

// span is the sequences of some events; the zero value: of none.
type span struct{ first, last uint64 }

// end ends the call: the guest does not run on.
func (c *call) end(err error) {
	c.err = err
	panic(err)
}

func (c *call) endGuest(kind guest.ErrorKind, format string, args ...any) {
	c.end(c.guestError(kind, format, args...))
}

func (c *call) guestError(kind guest.ErrorKind, format string, args ...any) error {
	return &guest.Error{Call: c.name, Kind: kind, Text: fmt.Sprintf(format, args...), Event: c.event}
}

// Fuel for the host's work, at about the same price for a nanosecond as the guest's own.
const (
	callFuel  = 100    // for calling a function of the host
	byteFuel  = 16     // so many bytes copied or read cost one unit
	spendEach = 10_000 // units: the counter is in the guest and not looked at for each call
)

// pay charges the guest for a call of the host. One that cannot is ended.
func (c *call) pay(units uint64) {
	if c.spent += units; c.spent > spendEach && c.spend(0) {
		c.endGuest(guest.OutOfFuel, "in functions of the host: %s", c.outOfFuel())
	}
}

// outOfFuel says what the call was allowed, and of which type its event is if it had one
// alone: that is then what does not end, or takes too much.
func (c *call) outOfFuel() string {
	text := c.in.fuelLimit(c.name)
	if len(c.batch) == 0 {
		return text
	}
	e, rest, err := abi.Next(c.batch)
	if err != nil || len(rest) > 0 {
		return text
	}
	if t, ok := e.Header("ce-type"); ok {
		text += fmt.Sprintf(", of an event of type %.100q", t)
	}
	return text + ": mend what does not end, or does too much for one event, or raise the limit"
}

// spend charges what was not charged yet and so many units more, and reports whether
// that was too much.
func (c *call) spend(units uint64) bool {
	units += c.spent
	c.spent = 0
	return c.in.fuel > 0 && units > 0 && !c.in.meter.Charge(units)
}

// fixed is said of a limit that no setting changes.
const fixed = "fixed by " + abi.Module

// refuse remembers a limit that the guest ran into and returns the code it gets.
func (c *call) refuse(code int32, format string, args ...any) uint64 {
	c.refused = fmt.Sprintf(format, args...)
	return result(code)
}

// bytes returns a part of the guest's memory. It is valid until the guest runs on.
func (c *call) bytes(m api.Module, what string, ptr, length uint64) []byte {
	b, ok := m.Memory().Read(uint32(ptr), uint32(length))
	if !ok {
		c.endGuest(guest.BadPointer, "%s: %d bytes at %d, memory has %d", what, uint32(length), uint32(ptr), memoryBytes(m.Memory()))
	}
	return b
}

// give copies b to a guest's buffer when it fits, and returns its length. The
// buffer is checked either way: a bad one is the guest's error.
func (c *call) give(m api.Module, what string, b []byte, ptr, capacity uint64) uint64 {
	buf := c.bytes(m, what, ptr, capacity)
	if len(b) <= len(buf) {
		c.pay(uint64(len(b)) / byteFuel)
		copy(buf, b)
	}
	return uint64(uint32(len(b)))
}

func result(code int32) uint64 { return uint64(uint32(code)) }

// wide is a result code of the one function whose result has 64 bits.
func wide(code int32) uint64 { return uint64(int64(code)) }
