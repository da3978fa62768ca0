package engine

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// EmitRules say what a projection may emit, and where to.
type EmitRules struct {
	Subjects  []string // that it may emit to, with wildcards
	AllowLoop bool     // also to its own input
	MaxHops   int      // so many projections may have had a part in an event; 0: DefaultHops
	History   bool     // also for the events that the stream held before it first ran
}

// DefaultHops bounds chains of projections that emit for one another.
const DefaultHops = 8

// maxEmitHeaders bounds an emitted event's headers, in bytes as in a record, which is as many
// as on the wire: a stream takes less than 64 KiB, and a part of it is for what it is published with.
const maxEmitHeaders = 63 << 10

// Headers of an emitted event, beside those of the guest.
const (
	HeaderStream     = "Gnomon-Stream"     // of the event that caused it
	HeaderSequence   = "Gnomon-Sequence"   // of the event that caused it
	HeaderProjection = "Gnomon-Projection" // that emitted it
	HeaderHops       = "Gnomon-Hops"       // how many projections had a part in it, this one included
)

// Headers of W3C Trace Context, which an emitted event has from the one that caused it.
const (
	traceParent = "traceparent"
	traceState  = "tracestate"
)

// checkEmits refuses a module whose emitted events have nowhere to go, or would come back.
func (s *Spec) checkEmits() error {
	if !s.Module.Traits().Emits {
		return nil
	}
	if len(s.Emit.Subjects) == 0 {
		return errors.New("imports emit, and the projection may emit to no subject: list where to in projection.emit, as in subjects = [\"alerts.>\"], or leave the calls of emit out")
	}
	for _, f := range s.Emit.Subjects {
		if err := streams.CheckFilter(f); err != nil {
			return fmt.Errorf("cannot emit there: projection.emit.subjects: %w", err)
		}
	}
	return s.CheckLoop(nil)
}

// CheckLoop refuses a module that may emit what it would get. Without subjects of its own a
// projection gets those of its stream; nil: they are not known.
func (s *Spec) CheckLoop(stream []string) error {
	if s.Emit.AllowLoop || !s.Module.Traits().Emits {
		return nil
	}
	input := s.asked()
	if len(input) == 0 {
		input = stream
	}
	for _, out := range s.Emit.Subjects {
		for _, in := range input {
			if streams.FiltersOverlap(out, in) {
				return fmt.Errorf("may emit to %s, and the projection gets %s: it would be fed with its own events; narrow one of them, or set allow_loop = true in projection.emit", out, in)
			}
		}
	}
	return nil
}

// checkOutlet refuses a module that emits where nothing is published, or that may emit what
// it would get, as far as the server says which subjects that is.
func (e *Engine) checkOutlet(ctx context.Context, s *Spec) error {
	switch {
	case !s.Module.Traits().Emits:
		return nil
	case e.outlet == nil:
		return errors.New("imports emit, and this engine publishes nothing")
	case s.Emit.AllowLoop || len(s.asked()) > 0:
		return nil
	}
	info, err := e.source.Stream(ctx, s.Stream)
	if err != nil {
		return nil // the relay looks again
	}
	return s.CheckLoop(info.Subjects)
}

// hops is how many projections had a part in an event.
func hops(e *abi.Record) int {
	value, _ := e.Header(HeaderHops)
	n, err := strconv.Atoi(string(value))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// dress gives an emitted event its headers. What it refuses is the guest's failure: whether
// an event fails must not depend on whether what it emits is published.
func (s *Spec) dress(e *state.Emit, cause *abi.Record, maxBytes int) error {
	if err := s.mayEmit(e.Subject); err != nil {
		return err
	}
	own, err := ownHeaders(e.Headers)
	if err != nil {
		return fmt.Errorf("emit to %s: %w", e.Subject, err)
	}
	most := s.Emit.MaxHops
	if most == 0 {
		most = DefaultHops
	}
	n := hops(cause) + 1
	if n > most {
		return fmt.Errorf("emit to %s: %d projections had a part in the event already, and the limit is %d (projection.emit.max_hops): see whether they feed one another in a loop", e.Subject, n-1, most)
	}
	h := append([]byte(nil), e.Headers...)
	if !own {
		h = appendTrace(h, cause.Headers)
	}
	for _, add := range [][2]string{{HeaderStream, s.Stream}, {HeaderSequence, strconv.FormatUint(cause.Sequence, 10)}, {HeaderProjection, s.Name}, {HeaderHops, strconv.Itoa(n)}} {
		h, _ = abi.AppendHeader(h, add[0], add[1])
	}
	if len(h) > maxEmitHeaders {
		return fmt.Errorf("emit to %s: %d bytes of headers, with those that are set for the guest, and a stream takes %d", e.Subject, len(h), maxEmitHeaders)
	}
	if maxBytes > 0 && len(h)+len(e.Data) > maxBytes {
		return fmt.Errorf("emit to %s: %d bytes of data and %d of headers, and the server takes %d, with what it is sent beside them (max_payload)", e.Subject, len(e.Data), len(h), maxBytes)
	}
	e.Headers = h
	return nil
}

// CheckEmit refuses what no projection may emit, whatever its rules: a subject or headers that
// are malformed or reserved, and too many hops or bytes of headers.
func CheckEmit(e state.Emit, cause abi.Record) error {
	s := Spec{Emit: EmitRules{Subjects: []string{">"}}}
	return s.dress(&e, &cause, 0)
}

// mayEmit refuses a subject.
func (s *Spec) mayEmit(subject string) error {
	if err := streams.CheckSubject(subject); err != nil {
		return fmt.Errorf("emit: %w", err)
	}
	for _, f := range s.Emit.Subjects {
		if streams.MatchSubject(f, []byte(subject)) {
			return nil
		}
	}
	return fmt.Errorf("emit to %s, which is not allowed: projection.emit.subjects are %s", subject, strings.Join(s.Emit.Subjects, ", "))
}

// ownHeaders checks the headers of a guest, and reports whether they say what the event is
// traced by.
func ownHeaders(headers []byte) (traced bool, err error) {
	for len(headers) > 0 {
		name, value, rest, err := abi.NextHeader(headers)
		if err != nil {
			return false, errors.New("its headers are not in the form of a record's")
		}
		lower := strings.ToLower(string(name))
		switch {
		case strings.HasPrefix(lower, "nats-"), strings.HasPrefix(lower, "gnomon-"):
			return false, fmt.Errorf("header %q is reserved: names that begin with Nats- and Gnomon- are set for the guest", name)
		case len(name) == 0 || bytes.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == ':' || r >= 0x7f }):
			return false, fmt.Errorf("header name %q: printable ASCII without spaces and colons is allowed", name)
		case bytes.ContainsAny(value, "\r\n"):
			return false, fmt.Errorf("header %s has a line break in its value", name)
		}
		traced = traced || lower == traceParent
		headers = rest
	}
	return traced, nil
}

// appendTrace passes on what an event is traced by, as it is written there.
func appendTrace(dst, headers []byte) []byte {
	for len(headers) > 0 {
		name, value, rest, err := abi.NextHeader(headers)
		if err != nil {
			break
		}
		if lower := strings.ToLower(string(name)); lower == traceParent || lower == traceState {
			dst, _ = abi.AppendHeader(dst, string(name), string(value))
		}
		headers = rest
	}
	return dst
}

// dresser gives an emitted event its final form, and tells whether it is to be published.
type dresser func(e *state.Emit, cause *abi.Record) (keep bool, err error)

// dress has what the guest emitted in the call just made dressed. Records are those of the
// call.
func (ps partitions) dress(records []byte, fn dresser) error {
	for _, p := range ps {
		if len(p.overlay.emits) == p.overlay.before.emits {
			continue
		}
		rest, n := records, -1
		if len(ps) > 1 {
			rest = p.records
		}
		var cause abi.Record
		err := p.overlay.dress(func(e *state.Emit) (bool, error) {
			for ; n < e.Event; n++ { // they do not go backwards
				var err error
				if cause, rest, err = abi.Next(rest); err != nil {
					return false, fmt.Errorf("read batch: %w", err)
				}
			}
			if len(ps) > 1 {
				e.Event = p.places[e.Event]
			}
			return fn(e, &cause)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// inOrder puts what several partitions emitted in the order of one instance, and numbers it
// so: records of one event may be those of several.
func inOrder(emits []state.Emit) {
	slices.SortStableFunc(emits, func(a, b state.Emit) int {
		return cmp.Or(cmp.Compare(a.Cause, b.Cause), cmp.Compare(a.Event, b.Event), cmp.Compare(a.Index, b.Index))
	})
	for i := range emits {
		emits[i].Index = 0
		if i > 0 && emits[i].Cause == emits[i-1].Cause {
			emits[i].Index = emits[i-1].Index + 1
		}
	}
}

// emitted dresses an emitted event. Those that were applied before, and committed with what
// they emitted, emit nothing again.
func (s *session) emitted(e *state.Emit, cause *abi.Record) (keep bool, err error) {
	most := 0
	if s.outlet != nil {
		most = s.outlet.MaxBytes()
	}
	place, own := e.Event, false
	if s.trace != nil {
		own, _ = ownHeaders(e.Headers)
	}
	if err := s.spec.dress(e, cause, most); err != nil {
		return false, &guest.Error{Call: abi.ExportApply, Kind: guest.OverLimit, Text: err.Error(), Event: place}
	}
	if s.commitsNothing() {
		return false, nil
	}
	if s.since != 0 && e.Cause <= s.newest.Position.Sequence {
		return false, nil
	}
	if s.rights.Load().silent(e.Cause) {
		s.outbox.passedOver(1)
		return false, nil
	}
	if s.trace != nil && !own {
		e.Headers = s.trace.Continue(e.Headers, cause)
	}
	return true, nil
}

// lineage is that of what is emitted now; empty: that of whoever publishes it, for it is kept
// in case that this generation takes over.
func (s *session) lineage() string {
	right := s.rights.Load()
	if e := right.emission(); e != nil && right.live {
		return e.Lineage
	}
	return ""
}

// weightOf is about what an emitted event takes of a commit, in bytes, headers to come included.
func weightOf(e *state.Emit) int {
	const more = 128 // of the row, and of headers that are added
	return writeOverhead + more + len(e.Subject) + len(e.Headers) + len(e.Data)
}
