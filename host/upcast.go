package host

import (
	"bytes"
	"context"
	"errors"

	"github.com/tetratelabs/wazero/api"

	"gnomon/engine/guest"
	"gnomon/sdk/abi"
)

// keptOutput is how large the buffer for the output of upcast may stay between two calls,
// in bytes.
const keptOutput = 4 << 20

// Upcast implements guest.Instance.
func (in *instance) Upcast(ctx context.Context, records []byte) ([]byte, error) {
	if in.upcast == nil {
		return nil, errors.New("module exports no upcast")
	}
	if cap(in.output) > keptOutput {
		in.output = nil
	}
	err := in.run(in.upcast, call{Context: ctx, name: abi.ExportUpcast, batch: records, matched: records, output: in.output[:0]}, true)
	in.output = in.call.output
	if err != nil {
		return nil, err
	}
	return in.output, nil
}

func inputRead(c *call, m api.Module, stack []uint64) {
	switch c.name {
	case abi.ExportUpcast:
		stack[0] = c.giveBatch(m, abi.ImportInputRead, stack)
	case abi.ExportQuery:
		stack[0] = c.give(m, abi.ImportInputRead, c.request, stack[0], stack[1])
	default:
		stack[0] = c.refuse(abi.BadArgument, "it used input_read in %s: it belongs to query and upcast", c.name)
	}
}

// outputWrite takes whole records of an upcaster, and any bytes of what answers a query.
// What is not as it should be ends the call, and is not only refused: a guest that went on
// would lose events, or a part of its answer.
func outputWrite(c *call, m api.Module, stack []uint64) {
	if c.name != abi.ExportUpcast && c.name != abi.ExportQuery {
		stack[0] = c.refuse(abi.BadArgument, "it used output_write in %s: it belongs to query and upcast", c.name)
		return
	}
	b := c.bytes(m, abi.ImportOutputWrite, stack[0], stack[1])
	c.pay(uint64(len(b)) / byteFuel)
	if c.name == abi.ExportQuery {
		c.takeAnswer(b)
		stack[0] = 0
		return
	}
	if c.tooSmall > 0 { // it has not read what it writes of
		c.end(&guest.Error{Call: c.name, Kind: guest.SmallBuffer, Event: c.event, Have: c.tooSmall, Need: len(c.batch)})
	}
	if err := c.takeOutput(b); err != nil {
		c.end(err)
	}
	stack[0] = 0
}

// takeOutput appends records that an upcaster wrote to the output of the call, with the
// times of the events that they come from.
func (c *call) takeOutput(records []byte) error {
	if limit := abi.UpcastLimit(len(c.batch)); len(c.output)+len(records) > limit {
		return c.guestError(guest.OverLimit, "output of %d bytes or more: the limit for an input of %d is %d (%s)", len(c.output)+len(records), len(c.batch), limit, fixed)
	}
	for len(records) > 0 {
		r, rest, err := abi.Next(records)
		if err != nil {
			return c.guestError(guest.BadArgument, "output_write: a record of %d bytes is malformed, or cut off", len(records))
		}
		if err := c.checkOutput(&r); err != nil {
			return err
		}
		c.output = r.Append(c.output)
		records = rest
	}
	return nil
}

// checkOutput holds a record against the input, and gives it its time.
func (c *call) checkOutput(r *abi.Record) error {
	cause, err := c.causeOf(r.Sequence)
	if err != nil {
		return err
	}
	r.TimeNs = cause.TimeNs
	switch {
	case len(r.Subject) == 0 || len(r.Subject) > abi.MaxSubject:
		return c.guestError(guest.BadArgument, "output_write: a record of sequence %d has a subject of %d bytes: it must have 1 to %d (%s)", r.Sequence, len(r.Subject), abi.MaxSubject, fixed)
	case len(r.Key) > 0:
		return c.guestError(guest.BadArgument, "output_write: a record of sequence %d has a key: the host takes it out of the record", r.Sequence)
	case len(r.Headers) > abi.MaxHeaders:
		return c.guestError(guest.BadArgument, "output_write: a record of sequence %d has headers of %d bytes: the limit is %d (%s)", r.Sequence, len(r.Headers), abi.MaxHeaders, fixed)
	case !bytes.Equal(r.Headers, cause.Headers) && !headersInOrder(r.Headers):
		return c.guestError(guest.BadArgument, "output_write: headers of a record of sequence %d are malformed, or not ordered by name", r.Sequence)
	}
	return nil
}

// causeOf finds the event of the input that a record comes from, at or after the one that
// the record before it came from.
func (c *call) causeOf(sequence uint64) (abi.Record, error) {
	for len(c.matched) > 0 {
		e, rest, err := abi.Next(c.matched)
		if err != nil {
			return e, err
		}
		if e.Sequence == sequence {
			return e, nil
		}
		if e.Sequence > sequence {
			break
		}
		c.matched = rest
	}
	return abi.Record{}, c.guestError(guest.BadArgument, "output_write: a record has the sequence %d: it must be that of an event of the input, and not go backwards", sequence)
}

// headersInOrder reports whether headers are as docs/ABI.md says.
func headersInOrder(headers []byte) bool {
	for last := []byte(nil); len(headers) > 0; {
		name, _, rest, err := abi.NextHeader(headers)
		if err != nil || len(name) == 0 || bytes.Compare(last, name) > 0 {
			return false
		}
		last, headers = name, rest
	}
	return true
}
