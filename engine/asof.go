package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"gnomon/engine/state"
)

// At names a state of the past: what a projection had made of all events up to a sequence.
type At struct {
	// Sequence is one of the stream; it need not be that of an event of the projection's own.
	Sequence uint64
	// Time, when not zero, stands for the sequence of the last event that was stored at or
	// before it.
	Time time.Time
	// Replay has what is not kept be made again from the events, from the beginning of the
	// generation on.
	Replay bool
}

// Errors of ReadAt. They are wrapped with the sequences.
var (
	// ErrNotKept says that the state as of a sequence is no longer kept.
	ErrNotKept = errors.New("history is no longer kept")
	// ErrEventsGone says that the stream no longer holds events that a replay needs.
	ErrEventsGone = errors.New("events are gone from the stream")
	// ErrNotRepeatable says that a replay would not do what was done when the events were
	// applied first.
	ErrNotRepeatable = errors.New("cannot be replayed")
	// ErrReplayLimit says that a replay takes too much memory or time.
	ErrReplayLimit = errors.New("replay is too large")
)

// ReadAt opens a reading of a projection's state as of a sequence or a time, exact to the
// event: the newest commit up to there, and on top of it, in memory alone, what the events
// after it change. Name is as that of Read. It fails as Read does, with ErrNotKept,
// ErrNotReached, ErrEventsGone, ErrNotRepeatable or ErrReplayLimit, with a *HistoryError when
// the stream is another one by now, or with an error of the Source.
func (e *Engine) ReadAt(ctx context.Context, name string, at At) (*Reading, error) {
	p, role, err := e.find(name)
	if err != nil {
		return nil, err
	}
	now, g, err := p.readGeneration(role)
	if err != nil {
		return nil, err
	}
	past, err := p.readAt(ctx, g, now, at)
	if past != now || err != nil {
		now.Close()
	}
	if err != nil {
		return nil, err
	}
	return past, nil
}

// readGeneration opens a reading of what a generation serves now, which keeps it open.
func (p *projection) readGeneration(role Role) (*Reading, *generation, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g, err := p.readsLocked(role)
	if err != nil {
		return nil, nil, err
	}
	r, err := p.readLocked(g)
	return r, g, err
}

// readAt reads the past of a generation, of which a reading of the present is open.
func (p *projection) readAt(ctx context.Context, g *generation, now *Reading, at At) (*Reading, error) {
	sequence, err := p.sequenceOf(ctx, now.Checkpoint.Position, at)
	if err != nil {
		return nil, err
	}
	applied := now.Checkpoint.Position.Sequence
	switch {
	case sequence > applied:
		return nil, fmt.Errorf("projection %s reflects %d, %d is %w", p.name, applied, sequence, ErrNotReached)
	case sequence == applied:
		return now, p.timely(ctx, now.Checkpoint, at)
	}
	w, err := p.windowAt(now, sequence)
	switch {
	case errors.Is(err, ErrNotKept) && at.Replay:
		return p.replayAll(ctx, g, now, sequence, err)
	case err != nil:
		return nil, err
	case w.from.Position.Sequence == sequence:
		if err := p.timely(ctx, w.from, at); err != nil {
			w.base.Close()
			return nil, err
		}
		return p.reading(g, w.base, w.from), nil
	}
	return p.replayTo(ctx, g, w, sequence)
}

// timely refuses a commit as the state at a time, if the sequence that the stream has for the
// time is one of another history than the commit's. A replay finds that out by itself.
func (p *projection) timely(ctx context.Context, c state.Checkpoint, at At) error {
	if at.Time.IsZero() {
		return nil
	}
	return verifyPast(ctx, p.engine.source, c)
}

// sequenceOf returns the sequence that is asked for.
func (p *projection) sequenceOf(ctx context.Context, position state.Position, at At) (uint64, error) {
	if at.Time.IsZero() {
		return at.Sequence, nil
	}
	info, err := p.engine.source.Stream(ctx, position.Stream)
	if err != nil {
		return 0, err
	}
	if !info.Created.Equal(position.Created) {
		return 0, history{position: position}.compare(info)
	}
	if at.Time.After(time.Now()) && at.Time.After(info.LastTime) {
		return 0, fmt.Errorf("projection %s: the time %s is %w", p.name, stamp(at.Time), ErrNotReached)
	}
	after, err := p.engine.source.SequenceAt(ctx, position.Stream, at.Time.Add(1)) // the first after it
	if err != nil {
		return 0, err
	}
	if after <= info.First && info.First > 1 {
		return 0, fmt.Errorf("%w: stream %s begins at %d, after %s: which events had been stored by then cannot be told; ask by sequence", ErrEventsGone, position.Stream, info.First, stamp(at.Time))
	}
	return after - 1, nil
}

// span is a commit with the one after it: what a replay goes on from, and what it would come
// to in the end.
type span struct {
	from, next state.Checkpoint
	base       state.View // at from
}

// windowAt finds the commits around a sequence. When the sequence is that of a commit, next
// is not looked for.
func (p *projection) windowAt(now *Reading, sequence uint64) (w span, err error) {
	ks := now.keyspace
	w.from, err = ks.Checkpoint(state.LastAt(sequence))
	if errors.Is(err, state.ErrNoCheckpoint) || err == nil && w.from.Version < ks.Oldest() {
		return w, p.notKept(ks, ks.Oldest()-1, now.Checkpoint, sequence)
	}
	if err != nil {
		return w, fmt.Errorf("read %s at %d: %w", p.name, sequence, err)
	}
	// What was found may have been the rest of what is gone: then it cannot be viewed either.
	if w.base, err = ks.View(w.from.Version); err != nil {
		return w, p.notKept(ks, ks.Oldest()-1, now.Checkpoint, sequence)
	}
	if w.from.Position.Sequence == sequence {
		return w, nil
	}
	if w.next, err = checkpointAfter(ks, w.from.Version, now.Checkpoint); err != nil {
		w.base.Close()
		return w, fmt.Errorf("read %s at %d: %w", p.name, sequence, err)
	}
	if !w.follows() {
		w.base.Close()
		return w, p.notKept(ks, w.from.Version, now.Checkpoint, sequence)
	}
	return w, nil
}

// follows reports whether the commits of a span were made one on top of the other. What was
// imported lacks the commits between the memory that it begins with and its state.
func (w span) follows() bool { return w.from.Version == 0 || w.next.After == w.from.Version }

// notKept is the error for a sequence that cannot be answered, with the oldest one above a
// version that can, and from which on all can.
func (p *projection) notKept(ks state.Keyspace, above state.Version, newest state.Checkpoint, sequence uint64) error {
	oldest, err := oldestAbove(ks, above, newest)
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: the state of %s as of %d is asked for, and the oldest is that of %d (projection.history)", ErrNotKept, p.name, sequence, oldest.Position.Sequence)
}

// oldestAbove finds the first commit above a version from which on every sequence can be read.
func oldestAbove(ks state.Keyspace, above state.Version, newest state.Checkpoint) (state.Checkpoint, error) {
	oldest, err := checkpointAfter(ks, above, newest)
	for w := (span{from: oldest}); err == nil && w.from.Version < newest.Version; w.from = w.next {
		if w.next, err = checkpointAfter(ks, w.from.Version, newest); w.follows() {
			break
		}
		oldest = w.next
	}
	return oldest, err
}

// reading is a reading of a view, which keeps the generation open.
func (p *projection) reading(g *generation, v state.View, ck state.Checkpoint) *Reading {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.readingLocked(g, v, ck)
}

// pastView is a view of a commit with what the events after it changed. It implements View.
type pastView struct {
	state, letters pastRows
	base, version  state.Version // of the commit, and of what is shown
	close          func()
}

func newPastView(state, letters pastRows, base, version state.Version, bases ...state.View) *pastView {
	return &pastView{state: state, letters: letters, base: base, version: version, close: sync.OnceFunc(func() {
		for _, b := range bases {
			b.Close()
		}
	})}
}

// pastRoom counts what the views of the past that are open hold.
type pastRoom struct {
	held atomic.Int64 // bytes
	most int64
}

// hold counts a view until it is closed. It fails with ErrReplayLimit when there is no room
// for it.
func (p *pastRoom) hold(v *pastView) error {
	bytes := v.state.bytes() + v.letters.bytes()
	if p.held.Add(bytes) > p.most {
		p.held.Add(-bytes)
		return fmt.Errorf("%w: it changes %d bytes, and with those of other readings of the past that are under way there would be more than %d: ask again when they have ended", ErrReplayLimit, bytes, p.most)
	}
	closeBases := v.close
	v.close = sync.OnceFunc(func() { closeBases(); p.held.Add(-bytes) })
	return nil
}

// Get implements View.
func (v *pastView) Get(key []byte) ([]byte, bool, error) { return v.state.Get(key) }

// Scan implements View.
func (v *pastView) Scan(prefix, after []byte, fn func(key, value []byte) bool) error {
	return v.state.Scan(prefix, after, fn)
}

// Version implements View.
func (v *pastView) Version() state.Version { return v.version }

// Letters implements View.
func (v *pastView) Letters() state.Rows { return v.letters }

// Outbox implements View. What waits to be published is of the present only.
func (v *pastView) Outbox() state.Rows { return noRows{} }

// noRows has none.
type noRows struct{}

func (noRows) Get([]byte) ([]byte, bool, error)                             { return nil, false, nil }
func (noRows) Scan(_, _ []byte, _ func(key, value []byte) bool) (err error) { return nil }

// Close implements View.
func (v *pastView) Close() { v.close() }

// pastRows are rows with changes on top, which do not change any more. It implements Rows.
type pastRows struct {
	base    state.Rows
	changed []*item // by key
}

func (r pastRows) bytes() (n int64) {
	for _, it := range r.changed {
		n += int64(len(it.key)+len(it.value)) + writeOverhead
	}
	return n
}

// Get implements Rows.
func (r pastRows) Get(key []byte) ([]byte, bool, error) {
	if it := findItem(r.changed, string(key)); it != nil {
		return append([]byte{}, it.value...), it.present, nil
	}
	return r.base.Get(key)
}

// Scan implements Rows.
func (r pastRows) Scan(prefix, after []byte, fn func(key, value []byte) bool) error {
	m := merge{rows: itemsBetween(r.changed, string(prefix), string(after)), fn: fn, more: true}
	if err := r.base.Scan(prefix, after, m.committed); err != nil {
		return err
	}
	m.upTo("", true)
	return nil
}
