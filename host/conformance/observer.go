package conformance

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gnomon/engine"
	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/host"
	"gnomon/sdk/abi"
)

// observer looks at every call of a guest, and of the host by it, and notes what breaks a
// rule by itself, whatever comes of it.
type observer struct {
	*host.Module
	report *Report
	odd    map[uint64]string // sequences of events whose shape is unusual, and in what way

	// How it treats the guest.
	litter  bool // padding is not zero, and flags are set
	onePage bool // pages of scans have one entry

	used    map[string]bool // functions that were called, and "short": a buffer was too small
	unread  map[readOf]int  // in the call under way: what had no room, and how many bytes it has
	refused map[string]int64
	said    bool // fail was called
}

// readOf is what a guest reads.
type readOf struct{ function, key string }

func (r readOf) String() string {
	if r.function != abi.ImportStateGet {
		return r.function
	}
	return fmt.Sprintf("%s of the key %.60q", r.function, r.key)
}

var _ guest.Module = (*observer)(nil)

// Instantiate implements guest.Module.
func (o *observer) Instantiate(ctx context.Context, c guest.Config) (guest.Instance, error) {
	o.begin()
	in, err := o.InstantiateWatched(ctx, c, o.called)
	o.end(abi.ExportInit, nil, err)
	if err != nil {
		return nil, err
	}
	return &observed{Instance: in, observer: o}, nil
}

// observed is an instance that is looked at.
type observed struct {
	guest.Instance
	*observer
}

// Apply implements guest.Instance.
func (o *observed) Apply(ctx context.Context, records []byte, st guest.State) error {
	o.begin()
	if o.onePage {
		st = shortPages{st}
	}
	st = checkedEmits{st, o.observer}
	err := o.Instance.Apply(ctx, o.littered(records), st)
	o.end(abi.ExportApply, records, err)
	return err
}

// Upcast implements guest.Instance.
func (o *observed) Upcast(ctx context.Context, records []byte) ([]byte, error) {
	o.begin()
	out, err := o.Instance.Upcast(ctx, o.littered(records))
	o.end(abi.ExportUpcast, records, err)
	return out, err
}

// Snapshot implements guest.Instance.
func (o *observed) Snapshot(ctx context.Context) ([][]byte, error) {
	o.begin()
	blobs, err := o.Instance.Snapshot(ctx)
	o.end(abi.ExportSnapshot, nil, err)
	return blobs, err
}

// Restore implements guest.Instance.
func (o *observed) Restore(ctx context.Context, blobs [][]byte) error {
	o.begin()
	err := o.Instance.Restore(ctx, blobs)
	o.end(abi.ExportRestore, nil, err)
	return err
}

// Query implements guest.Instance.
func (o *observed) Query(ctx context.Context, request []byte, rows state.Rows) ([]byte, error) {
	o.begin()
	if o.onePage {
		rows = shortRows{rows}
	}
	answer, err := o.Instance.Query(ctx, request, rows)
	o.end(abi.ExportQuery, nil, err)
	return answer, err
}

// checkedEmits is a state that looks at what is emitted.
type checkedEmits struct {
	guest.State
	o *observer
}

func (c checkedEmits) Emit(e state.Emit) error {
	if err := engine.CheckEmit(e, abi.Record{}); err != nil {
		c.o.report.note("E9", Failed, "apply of the event %d: %s", e.Cause, err)
	}
	return c.State.Emit(e)
}

// shortRows are rows each of whose pages has one entry, as the contract allows.
type shortRows struct{ state.Rows }

// shortPages is such a state.
type shortPages struct{ guest.State }

func (s shortPages) Scan(prefix, after []byte, fn func(key, value []byte) bool) error {
	return shortRows{s.State}.Scan(prefix, after, fn)
}

func (s shortRows) Scan(prefix, after []byte, fn func(key, value []byte) bool) error {
	return s.Rows.Scan(prefix, after, func(key, value []byte) bool { fn(key, value); return false })
}

// littered are records with flags, and with padding that is not zero.
func (o *observer) littered(records []byte) []byte {
	if !o.litter {
		return records
	}
	out := slices.Clone(records)
	for rest := out; len(rest) > 0; {
		r, after, err := abi.Next(rest)
		if err != nil {
			break
		}
		binary.LittleEndian.PutUint32(rest[abi.OffFlags:], 0x80000001)
		end := abi.HeaderSize + len(r.Subject) + len(r.Headers) + len(r.Data) + len(r.Key)
		for i := end; i < len(rest)-len(after); i++ {
			rest[i] = '"' // which a JSON parser would stumble over
		}
		rest = after
	}
	return out
}

func (o *observer) begin() {
	o.unread, o.refused, o.said = map[readOf]int{}, map[string]int64{}, false
}

// readers are the functions that read, with the place of their capacity.
var readers = map[string]int{
	abi.ImportBatchRead: 1, abi.ImportInputRead: 1, abi.ImportConfigRead: 1, abi.ImportBlobRead: 1, abi.ImportFieldsRead: 1, abi.ImportStateGet: 3,
}

// called is told of a call of the host.
func (o *observer) called(c host.Called) {
	o.used[c.Function] = true
	o.said = o.said || c.Function == abi.ImportFail
	if at, reads := readers[c.Function]; reads && c.Result >= 0 {
		what := readOf{function: c.Function}
		if c.Function == abi.ImportStateGet {
			what.key = string(c.Memory(c.Args[0], c.Args[1]))
		}
		capacity := int64(uint32(c.Args[at]))
		if c.Result <= capacity {
			delete(o.unread, what)
		} else {
			o.used["short "+c.Function] = true
			if capacity > 0 {
				o.unread[what] = int(c.Result)
			}
		}
	}
	switch {
	case c.Result >= 0:
		if _, reads := readers[c.Function]; reads || c.Function == abi.ImportStateScan { // with more room
			delete(o.refused, c.Function)
		}
	case c.Result == int64(abi.NotFound):
	case c.Result == int64(abi.ReadOnly) && c.Function != abi.ImportEmit:
		o.report.note("S8", Failed, "it called %s in %s", c.Function, c.Export)
	case c.Result == int64(abi.BadArgument) && c.Function == abi.ImportEmit:
		o.report.note("E9", Failed, "emit was refused for the event with the index %d", int32(c.Args[0]))
	default:
		o.refused[c.Function] = c.Result
	}
}

// end looks at the outcome of a call for some records.
func (o *observer) end(export string, records []byte, err error) {
	where := export
	first, rest, bad := abi.Next(records)
	alone := bad == nil && len(rest) == 0
	if bad == nil {
		where = fmt.Sprintf("%s of the event %d", export, first.Sequence)
		if !alone {
			where += " and more"
		}
	}
	if err == nil {
		for what, n := range o.unread {
			o.report.note("R7", Failed, "%s: %s needs %d bytes, and it went on without reading them", where, what, n)
		}
		for function, code := range o.refused {
			o.report.note("X10", Warning, "%s: %s gave %d, and it went on and returned 0", where, function, code)
		}
		return
	}
	o.blame(where, first, alone, err)
}

// blame notes the rule that an error of the guest breaks.
func (o *observer) blame(where string, first abi.Record, alone bool, err error) {
	var g *guest.Error
	if !errors.As(err, &g) {
		return
	}
	shape, odd := o.odd[first.Sequence]
	switch {
	case g.Kind == guest.BadPointer:
		o.report.note("R6", Failed, "%s: %s", where, g.Text)
	case g.Kind == guest.BadArgument:
		o.report.note("U12", Failed, "%s: %s", where, g.Text)
	case g.Kind == guest.SmallBuffer && alone:
		o.report.note("B12", Warning, "its buffer for a batch has %d bytes: an event that is larger, as the one of %d, fails [B8]", g.Have, g.Need)
	case g.Kind == guest.Trapped && alone && odd:
		o.report.note("B11", Failed, "%s, which has %s: it trapped (%s) and had said nothing", where, shape, g.Text)
	case g.Kind == guest.Trapped && alone:
		o.report.note("X11", Warning, "%s: it trapped (%s) and had said nothing", where, g.Text)
	case g.Kind == guest.Refused && alone && !o.said && !limited(g):
		o.report.note("X11", Warning, "%s: it returned %s and had said nothing", where, g.Text)
	}
}

// limited reports whether an error has the limit that the host refused something by, which
// says enough.
func limited(e *guest.Error) bool { return strings.Contains(e.Text, " (after ") }
