package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// Explanation says how a key came to its value.
type Explanation struct {
	Sequence uint64      // as of which it is
	Changes  []KeyChange // newest first
	// Oldest is the sequence down to which every change is among Changes.
	Oldest uint64
	// Ended says why it goes no further back; empty: it goes back to where the projection began,
	// or to what was asked for.
	Ended string
}

// KeyChange is one change of a key.
type KeyChange struct {
	Cause    Cause
	Sequence uint64    // of the event, or of the commit
	First    uint64    // of the events that it may have been, if Cause is UnknownCause
	Time     time.Time // when the event was stored
	Subject  string    // of the event
	Module   string    // digest of the module that made it
	Before   []byte    // nil: the key was absent
	After    []byte    // nil: it is absent since
}

// Cause says what changed a key.
type Cause string

// The causes.
const (
	ByEvent      Cause = "event"
	ByOrder      Cause = "order"     // of an operator, such as the retry of an event that was set aside
	ByMigration  Cause = "migration" // of the state to another schema
	UnknownCause Cause = "unknown"   // one or more of the events from First to Sequence: they cannot be applied again
)

// Question asks how a key came to its value.
type Question struct {
	Key   []byte
	At    At     // as of which; zero: now
	Since uint64 // only changes after that sequence
	Limit int    // so many changes at most, the newest; 0: 20. There are fewer when their values take more than 4 MiB
}

const (
	// defaultChanges is how many changes an explanation has at most, unless it is asked for more.
	defaultChanges = 20
	// explainedBytes bounds the values that an explanation holds, but for those of its first
	// change.
	explainedBytes = 4 << 20
)

// Explain says which events changed a key, by applying again what was committed with each of
// its versions that is kept. It fails as ReadAt does.
func (e *Engine) Explain(ctx context.Context, name string, q Question) (x Explanation, err error) {
	p, role, err := e.find(name)
	if err != nil {
		return x, err
	}
	now, g, err := p.readGeneration(role)
	if err != nil {
		return x, err
	}
	defer now.Close()
	ex := &explaining{projection: p, generation: g, keyspace: now.keyspace, Question: q}
	if ex.Limit <= 0 {
		ex.Limit = defaultChanges
	}
	ex.Sequence = now.Checkpoint.Position.Sequence
	top := now.Checkpoint
	if q.At != (At{}) {
		if top, err = ex.begin(ctx, now); err != nil {
			return x, err
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, replayTime, fmt.Errorf("%w: it takes more than %s", ErrReplayLimit, replayTime))
	defer cancel()
	err = ex.run(ctx, top)
	return ex.Explanation, err
}

// explaining is an explanation under way.
type explaining struct {
	Question
	Explanation
	projection *projection
	generation *generation
	keyspace   state.Keyspace
	bytes      int  // of the values after the changes
	full       bool // they take as much as they may
}

// begin finds the commit that the sequence which is asked for belongs to.
func (x *explaining) begin(ctx context.Context, now *Reading) (state.Checkpoint, error) {
	p := x.projection
	sequence, err := p.sequenceOf(ctx, now.Checkpoint.Position, x.At)
	if err != nil {
		return state.Checkpoint{}, err
	}
	if applied := now.Checkpoint.Position.Sequence; sequence > applied {
		return state.Checkpoint{}, fmt.Errorf("projection %s reflects %d, %d is %w", p.name, applied, sequence, ErrNotReached)
	}
	w, err := p.windowAt(now, sequence)
	if err != nil {
		return state.Checkpoint{}, err
	}
	w.base.Close()
	x.Sequence = sequence
	if w.from.Position.Sequence == sequence {
		return w.from, p.timely(ctx, w.from, x.At)
	}
	return w.next, nil
}

// run explains one version of the key after the other, from the newest on.
func (x *explaining) run(ctx context.Context, top state.Checkpoint) error {
	oldest := x.keyspace.Oldest()
	first, err := x.keyspace.View(oldest)            // holds what is read
	for err != nil && x.keyspace.Oldest() > oldest { // given up in between
		oldest = x.keyspace.Oldest()
		first, err = x.keyspace.View(oldest)
	}
	if err != nil {
		return err
	}
	defer first.Close()
	begin, err := checkpointAfter(x.keyspace, oldest-1, top)
	if err != nil {
		return err
	}
	var versions []state.Version
	err = x.keyspace.Revisions(x.Key, max(begin.Version, state.LastAt(x.Since)), top.Version, func(v state.Version) bool {
		versions = append(versions, v)
		return ctx.Err() == nil && len(versions) <= x.Limit
	})
	for _, v := range versions[:min(len(versions), x.Limit)] {
		if err == nil && len(x.Changes) < x.Limit && !x.full {
			err = x.version(ctx, v)
		}
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	case x.full:
		x.Ended = fmt.Sprintf("there are older ones: with their values it would take more than %d MiB", explainedBytes>>20)
		return nil
	case len(versions) > x.Limit || len(x.Changes) == x.Limit: // versions that changed nothing count, too
		x.Ended = fmt.Sprintf("there may be older ones, beyond the limit of %d", x.Limit)
		return nil
	}
	x.Oldest = max(begin.Position.Sequence, x.Since)
	if x.Since < begin.Position.Sequence && begin.After != 0 {
		x.Ended = fmt.Sprintf("history is kept from %d on (projection.history)", begin.Position.Sequence)
	}
	return nil
}

// version explains one version of the key.
func (x *explaining) version(ctx context.Context, v state.Version) error {
	ck, err := x.keyspace.Checkpoint(v)
	if err != nil || ck.Version != v { // of a commit that a crash took
		return err
	}
	x.Oldest = ck.Position.Sequence
	from, err := x.keyspace.Checkpoint(v - 1)
	if err != nil {
		return err
	}
	base, err := x.keyspace.View(from.Version)
	if err != nil {
		return err
	}
	defer base.Close()
	before, err := valueOf(base, x.Key)
	if err != nil {
		return err
	}
	if from.Position.Sequence == ck.Position.Sequence {
		return x.ordered(from, ck, before)
	}
	list, err := x.events(ctx, span{from: from, next: ck, base: base}, before)
	switch {
	case err == nil:
		x.take(list)
		return nil
	case repeats(err), ck.Position.Sequence > x.Sequence: // of a part of a commit nothing is known without
		return err
	}
	return x.unknown(from, ck, before)
}

// repeats reports whether a replay that came to an error could be made at all.
func repeats(err error) bool {
	return !errors.Is(err, ErrEventsGone) && !errors.Is(err, ErrNotRepeatable) && !errors.Is(err, ErrNotKept) && !errors.As(err, new(*HistoryError))
}

// take adds changes, which are in the order of their events.
func (x *explaining) take(list []KeyChange) {
	for _, c := range slices.Backward(list) {
		if c.Sequence > x.Since && len(x.Changes) < x.Limit {
			x.add(c)
		}
	}
}

// add adds a change that is older than all others, if there is room for its values.
func (x *explaining) add(c KeyChange) {
	if x.full = x.full || len(x.Changes) > 0 && x.bytes+len(c.After) > explainedBytes; x.full {
		return
	}
	x.bytes += len(c.After) // the value before is the one after another change
	x.Changes = append(x.Changes, c)
	x.Oldest = c.Sequence
}

// ordered explains a commit without events.
func (x *explaining) ordered(from, ck state.Checkpoint, before []byte) error {
	after, err := x.valueAt(ck.Version)
	if err != nil || same(before, after) {
		return err
	}
	c := KeyChange{Cause: ByOrder, Sequence: ck.Position.Sequence, Module: ck.Position.Module, Before: before, After: after}
	if ck.Schema != from.Schema {
		c.Cause = ByMigration
	}
	x.add(c)
	return nil
}

// unknown explains a commit whose events cannot be applied again.
func (x *explaining) unknown(from, ck state.Checkpoint, before []byte) error {
	after, err := x.valueAt(ck.Version)
	if err != nil || same(before, after) {
		return err
	}
	x.add(KeyChange{
		Cause: UnknownCause, Sequence: ck.Position.Sequence, First: from.Position.Sequence + 1, Module: ck.Position.Module, Before: before, After: after,
	})
	return nil
}

// events applies the events of a commit again, one by one, and lists those that change the
// key.
func (x *explaining) events(ctx context.Context, w span, value []byte) (list []KeyChange, err error) {
	through, before, last := min(x.Sequence, w.next.Position.Sequence), value, uint64(0)
	held := 0 // bytes of list
	r, err := x.projection.watched(ctx, x.generation, w, through, func(r *replay, e abi.Record) error {
		if e.Sequence <= last { // it was begun anew
			list, value, held = nil, before, 0
		}
		last = e.Sequence
		now, err := valueOf(r.partitions[0].overlay, x.Key)
		if err != nil || e.Sequence <= w.from.Position.Sequence || same(value, now) {
			return err
		}
		list = append(list, KeyChange{
			Cause: ByEvent, Sequence: e.Sequence, Time: state.StoredAt(e), Subject: string(e.Subject), Module: w.next.Position.Module, Before: value, After: now,
		})
		value = now
		// A key may change with each of very many events: the newest of them are kept, and one
		// more, by which it shows that there are others.
		for held += len(now); len(list) > 1 && (len(list) > x.Limit+1 || held-len(list[0].After) > explainedBytes); list = list[1:] {
			held -= len(list[0].After)
			list[0] = KeyChange{}
		}
		return nil
	})
	if err == nil {
		r.closeView()
	}
	return list, err
}

func (x *explaining) valueAt(v state.Version) ([]byte, error) {
	view, err := x.keyspace.View(v)
	if err != nil {
		return nil, err
	}
	defer view.Close()
	return valueOf(view, x.Key)
}

// valueOf is a copy of the value of a key; nil when it is absent.
func valueOf(rows interface {
	Get(key []byte) ([]byte, bool, error)
}, key []byte) ([]byte, error) {
	value, ok, err := rows.Get(key)
	if err != nil || !ok {
		return nil, err
	}
	return append([]byte{}, value...), nil
}

// same reports whether two values are one, or both absent.
func same(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }
