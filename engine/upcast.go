package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gnomon/engine/guest"
	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// Upcaster rewrites old events of a stream into new ones before projections see them. It
// has no state: what it makes of an event, none, one or several, is a function of its
// module, its settings and that event.
type Upcaster struct {
	Name     string
	Module   guest.Module
	Settings []byte // for the guest, as JSON

	Subjects []string // as configured; Filter is made of them
	// Filter tells by their subjects which records it is handed, the others pass as they
	// are; nil: all.
	Filter func(subject []byte) bool

	Fuel   uint64 // of one call of the guest; 0: it is not metered
	Memory uint64 // limit of the guest's memory, bytes
	Log    guest.Log
}

// Check refuses modules that are no upcasters. Its errors go on from words for the module.
func (u *Upcaster) Check() error {
	if !u.Module.Traits().Upcasts {
		return fmt.Errorf("does not export %s, so it is no upcaster: it may be a projection", abi.ExportUpcast)
	}
	return nil
}

// upcasterSource is what decides what an upcaster makes of events.
type upcasterSource struct {
	Module, Settings string
	Subjects         []string
}

func (u *Upcaster) source() upcasterSource {
	return upcasterSource{u.Module.Digest(), string(u.Settings), slices.Sorted(slices.Values(u.Subjects))}
}

// UpcastError is a failure of an upcaster at some events, or at one.
type UpcastError struct {
	Upcaster string // its name
	Err      error

	at uint64 // the event it is about, by what the guest says; 0: that is not known
}

func (e *UpcastError) Error() string { return fmt.Sprintf("upcaster %s: %v", e.Upcaster, e.Err) }

func (e *UpcastError) Unwrap() error { return e.Err }

// chain are the instances of a projection's upcasters, in their order. It belongs to one
// goroutine.
type chain struct {
	links []*link
	pace  time.Duration // of an event, lately
}

// link is one upcaster of a chain.
type link struct {
	*Upcaster
	generation string         // that it works for; empty: none
	instance   guest.Instance // nil before it is needed, and after a failure
	buffer     int            // of the guest's, in bytes; 0 when it has none
	thirst     uint64         // fuel of an event, lately
	used       uint64         // fuel of the calls for the events under way
	in, out    []byte         // buffers
}

// upcastBytes bounds what an upcaster is handed at once, unless one event is larger.
const upcastBytes = 1 << 20

func newChain(upcasters []Upcaster, generation string) *chain {
	c := &chain{}
	for i := range upcasters {
		c.links = append(c.links, &link{Upcaster: &upcasters[i], generation: generation})
	}
	return c
}

// isEmpty reports whether events are handed on as they are stored.
func (c *chain) isEmpty() bool { return len(c.links) == 0 }

func (c *chain) close(ctx context.Context) error {
	var errs []error
	for _, l := range c.links {
		errs = append(errs, l.discard(ctx))
	}
	return errors.Join(errs...)
}

// memoryBytes is the size of all linear memories.
func (c *chain) memoryBytes() (n uint64) {
	for _, l := range c.links {
		if l.instance != nil {
			n += l.instance.MemoryBytes()
		}
	}
	return n
}

// fuel is what the last run used.
func (c *chain) fuel() (n uint64) {
	for _, l := range c.links {
		n += l.used
	}
	return n
}

// upcasted are some events, and what became of them.
type upcasted struct {
	stored      []byte // the events
	count       int
	first, last uint64 // their sequences
	records     []byte // what upcasters made of them, valid until the chain is used again
}

// take takes some events off the front of records, within a limit, but at least one.
func (u *upcasted) take(records []byte, limit streams.ReadLimit) error {
	*u = upcasted{}
	for rest := records; len(rest) > 0 && (u.count == 0 || u.count < limit.Events); {
		e, after, err := abi.Next(rest)
		if err != nil {
			return fmt.Errorf("read batch: %w", err)
		}
		used := len(records) - len(after)
		if u.count > 0 && used > limit.Bytes {
			break
		}
		if u.count == 0 {
			u.first = e.Sequence
		}
		u.count++
		u.last, u.stored, rest = e.Sequence, records[:used], after
	}
	return nil
}

// before counts the events before a sequence.
func (u *upcasted) before(sequence uint64) (n int) {
	for rest := u.stored; len(rest) > 0; n++ {
		e, after, err := abi.Next(rest)
		if err != nil || e.Sequence >= sequence {
			break
		}
		rest = after
	}
	return n
}

// limit bounds what is run through the chain at once.
func (c *chain) limit(l streams.ReadLimit) streams.ReadLimit {
	if c.pace > 0 {
		l.Events = min(l.Events, max(1, int(callTime/c.pace)))
	} else {
		l.Events = min(l.Events, firstEvents)
	}
	l.Bytes = min(l.Bytes, upcastBytes)
	for i, u := range c.links {
		if u.thirst > 0 && u.Fuel > 0 { // with as much again for those that need more
			l.Events = min(l.Events, max(1, int(u.Fuel/2/u.thirst)))
		}
		if i == 0 && u.buffer > 0 {
			l.Bytes = min(l.Bytes, u.buffer)
		}
	}
	return l
}

// next runs the first of some events through the chain, as many as fit within a limit and
// succeed. When the very first event fails by itself, u holds it alone, and the error is
// an *UpcastError.
func (c *chain) next(ctx context.Context, records []byte, limit streams.ReadLimit) (u upcasted, err error) {
	limit = c.limit(limit)
	for hinted := false; ; {
		if err := u.take(records, limit); err != nil {
			return u, err
		}
		began := time.Now()
		u.records, err = c.run(ctx, u.stored, u.count == 1)
		if err == nil {
			c.learn(time.Since(began), u.count)
			return u, nil
		}
		var failed *UpcastError
		if !errors.As(err, &failed) || u.count == 1 {
			return u, err
		}
		if ctx.Err() != nil { // it is not known which of them failed
			return u, ctx.Err()
		}
		// The guest may say which event it was, but only once: it may not be true.
		limit.Events = u.count / 2
		if n := u.before(failed.at); !hinted && failed.at > 0 && n < u.count {
			limit.Events, hinted = max(1, n), true
		}
	}
}

// learn notes what events took.
func (c *chain) learn(took time.Duration, count int) {
	c.pace = lately(c.pace, took/time.Duration(count))
	for _, l := range c.links {
		l.thirst = lately(l.thirst, l.used/uint64(count))
	}
}

// run runs records through all upcasters. Alone says that they are one event.
func (c *chain) run(ctx context.Context, records []byte, alone bool) (_ []byte, err error) {
	for _, l := range c.links {
		l.used = 0
	}
	for _, l := range c.links {
		if records, err = l.rewrite(ctx, records, alone); err != nil {
			return nil, err
		}
	}
	return records, nil
}

// rewrite returns what the upcaster makes of records, in their order: those that are not
// for it stay where they are.
func (l *link) rewrite(ctx context.Context, records []byte, alone bool) ([]byte, error) {
	if l.Filter == nil {
		return l.call(ctx, records, alone)
	}
	limit := abi.UpcastLimit(len(records))
	l.out = l.out[:0]
	for left := records; len(left) > 0; {
		part, err := l.choose(left)
		if err != nil {
			return nil, err
		}
		if len(l.in) == 0 && len(part) == len(records) {
			return records, nil
		}
		made, err := l.call(ctx, l.in, alone)
		if err == nil {
			err = l.merge(part, made)
		}
		if err == nil && len(l.out) > limit {
			err = l.fail(&guest.Error{Call: abi.ExportUpcast, Kind: guest.OverLimit, Event: -1,
				Text: fmt.Sprintf("output of %d bytes or more: the limit for an input of %d is %d", len(l.out), len(records), limit)})
		}
		if err != nil {
			return nil, err
		}
		left = left[len(part):]
	}
	return l.out, nil
}

// choose gathers the records at the front of some that the upcaster is handed in one call,
// and returns how far it came: results say of which event they are, but not of which
// record of that event, so one that comes after another that passes is for another call.
func (l *link) choose(records []byte) (part []byte, err error) {
	l.in = l.in[:0]
	var chosen, passed uint64 // the sequences of the last record of either kind
	rest := records
	for len(rest) > 0 {
		e, after, err := abi.Next(rest)
		if err != nil {
			return nil, fmt.Errorf("read batch: %w", err)
		}
		if l.Filter(e.Subject) {
			if chosen == e.Sequence && passed == e.Sequence {
				break
			}
			l.in, chosen = append(l.in, rest[:len(rest)-len(after)]...), e.Sequence
		} else if passed = 0; chosen == e.Sequence {
			passed = e.Sequence
		}
		rest = after
	}
	return records[:len(records)-len(rest)], nil
}

// merge appends a part to the output, with what was made of its records in their place.
func (l *link) merge(part, made []byte) error {
	for placed := uint64(0); len(part) > 0; {
		e, rest, err := abi.Next(part)
		if err != nil {
			return fmt.Errorf("read batch: %w", err)
		}
		if !l.Filter(e.Subject) {
			l.out = append(l.out, part[:len(part)-len(rest)]...)
		} else if placed != e.Sequence {
			placed = e.Sequence
			mine, others, err := ofSequence(made, e.Sequence)
			if err != nil {
				return err
			}
			l.out, made = append(l.out, mine...), others
		}
		part = rest
	}
	return leftOver(l.Name, made)
}

// ofSequence splits the records of a sequence off the front of some.
func ofSequence(records []byte, sequence uint64) (mine, others []byte, err error) {
	for others = records; len(others) > 0; {
		e, rest, err := abi.Next(others)
		if err != nil {
			return nil, nil, fmt.Errorf("read upcast records: %w", err)
		}
		if e.Sequence != sequence {
			break
		}
		others = rest
	}
	return records[:len(records)-len(others)], others, nil
}

// leftOver is the error for records that belong to none of the events they were made of:
// an Instance does not return such.
func leftOver(who string, records []byte) error {
	if len(records) == 0 {
		return nil
	}
	e, _, err := abi.Next(records)
	return errors.Join(fmt.Errorf("upcaster %s made a record of sequence %d, which it was not handed", who, e.Sequence), err)
}

// call calls the guest, if there is something to hand it. A guest that failed is not used
// again: its memory is half changed.
func (l *link) call(ctx context.Context, records []byte, alone bool) ([]byte, error) {
	if len(records) == 0 {
		return nil, nil
	}
	if l.buffer > 0 && len(records) > l.buffer && !alone { // it would only fail
		return nil, l.fail(&guest.Error{Call: abi.ExportUpcast, Kind: guest.SmallBuffer, Event: -1, Have: l.buffer, Need: len(records)})
	}
	if l.instance == nil {
		in, err := l.Module.Instantiate(ctx, guest.Config{Settings: l.Settings, Memory: l.Memory, Log: guest.LogOf(l.generation, l.Log)})
		if err != nil { // of no event, whatever it is: nothing that could be set aside
			return nil, &instanceError{fmt.Errorf("upcaster %s: instantiate module: %v", l.Name, err)}
		}
		l.instance = in
	}
	made, err := l.instance.Upcast(ctx, records)
	l.used += l.instance.Fuel()
	if err == nil {
		return made, nil
	}
	if cerr := l.discard(ctx); cerr != nil {
		return nil, cerr
	}
	var g *guest.Error
	if !errors.As(err, &g) {
		return nil, fmt.Errorf("upcaster %s: %w", l.Name, err)
	}
	if g.Kind == guest.SmallBuffer {
		l.buffer = g.Have
	}
	failed := l.fail(err)
	if g.Event >= 0 {
		failed.at = sequenceOf(records, g.Event)
	}
	return nil, failed
}

func (l *link) fail(err error) *UpcastError { return &UpcastError{Upcaster: l.Name, Err: err} }

// discard closes the instance, if there is one.
func (l *link) discard(ctx context.Context) error {
	if l.instance == nil {
		return nil
	}
	in := l.instance
	l.instance = nil
	if err := in.Close(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("close instance of upcaster %s: %w", l.Name, err)
	}
	return nil
}

// sequenceOf is the sequence of a record by its index; 0 when there are fewer.
func sequenceOf(records []byte, index int) uint64 {
	for ; len(records) > 0; index-- {
		e, rest, err := abi.Next(records)
		if err != nil {
			break
		}
		if index == 0 {
			return e.Sequence
		}
		records = rest
	}
	return 0
}
