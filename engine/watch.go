package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"gnomon/engine/state"
)

const (
	// positionEvery is how often a watcher is told the position when nothing that it
	// watches changes.
	positionEvery = time.Second
	// stepTime is how long a watcher may take for one step, be it a whole snapshot: the
	// version that it is at is kept that long.
	stepTime = 10 * time.Minute
)

// Errors of Watch.
var (
	// ErrWatchEnded says that there is nothing to watch any more.
	ErrWatchEnded = errors.New("the watch ended")
	// ErrSlowWatcher says that a watcher took too long for one step.
	ErrSlowWatcher = errors.New("the watcher is too slow")
)

// WatchOptions say what is watched.
type WatchOptions struct {
	Prefix []byte         // of the keys; empty: all
	From   state.Bookmark // that the watcher was told last; zero: the snapshot comes first
	// Beat is after how long without any event one of the kind WatchIdle comes; 0: never.
	Beat time.Duration
}

// WatchKind says what an event of a watch is.
type WatchKind string

// The kinds. A step is any number of snapshot or change events and the position after
// them: the watcher's state is that of the projection there, and not in between. One whose
// watch breaks off goes on from the last position; but after a reset or another generation
// without a position from none, for a part of these is no part of what changed since.
const (
	WatchReset      WatchKind = "reset"      // forget what you hold, every key follows: Reason
	WatchSnapshot   WatchKind = "snapshot"   // a key of the snapshot: Sequence, Key, Value
	WatchChange     WatchKind = "change"     // a key that was written or deleted: Sequence, Key, Value, Deleted
	WatchGeneration WatchKind = "generation" // another generation is read, the difference follows: Generation, Former
	WatchPosition   WatchKind = "position"   // the end of a step: Sequence, Time, Generation, Bookmark, Missed
	WatchState      WatchKind = "state"      // what the projection does: State, Reason, Hint
	WatchIdle       WatchKind = "idle"       // nothing happened
	WatchEnd        WatchKind = "end"        // of who serves a watch, and not of Watch: there is no more: Reason
)

// WatchEvent is an event of a watch. Key and Value are good until the function returns
// that it was handed to.
type WatchEvent struct {
	Kind WatchKind

	Sequence uint64 // that the step leads to
	Key      []byte
	Value    []byte
	Deleted  bool

	Time       time.Time // of the last event of the stream up to Sequence
	Bookmark   state.Bookmark
	Missed     uint64 // commits that the step passed over: it has their changes, but not each of them
	Generation string
	Former     string // generation

	State        RunnerState
	Reason, Hint string
}

// Watch hands fn the state of a projection that NAME, NAME@candidate or NAME@previous
// serves, and then what changes, in steps from one committed state to another, until ctx
// ends or fn fails. Nothing is held in memory for a watcher but the version that it is at:
// one that takes its time gets the difference between that and the newest as its next
// step. A key may come as changed whose value is what it was.
//
// It fails as Read does before the first event; with ErrWatchEnded when the projection is
// removed, or has no generation of that role any more; with ErrSlowWatcher. It must have
// ended before the engine is closed.
func (e *Engine) Watch(ctx context.Context, name string, o WatchOptions, fn func(WatchEvent) error) error {
	p, role, err := e.find(name)
	if err != nil {
		return err
	}
	w := &watch{projection: p, role: role, options: o, fn: fn, sent: time.Now()}
	defer w.close()
	if err := w.begin(ctx); err != nil {
		return err
	}
	for {
		now, err := w.look()
		if err != nil {
			return err
		}
		if err := w.step(ctx, now); err != nil {
			return err
		}
		if err := w.wait(ctx, now.changed); err != nil {
			return err
		}
	}
}

// watch is a watcher.
type watch struct {
	projection *projection
	role       Role
	options    WatchOptions
	fn         func(WatchEvent) error

	told    *Reading      // of the last position that it was told, kept readable
	checked state.Version // nothing that it watches changed between told and this
	commits uint64        // up to that
	recent  *recent       // of the generation that it watches
	state   WatchEvent    // that it was told last
	sent    time.Time     // when the last event was
	due     time.Time     // of the next position; zero: there is none to tell
}

// seen is what is there to be seen at one moment.
type seen struct {
	*Reading
	commits uint64
	state   WatchEvent
	changed <-chan struct{} // closed when there is something else
}

func (w *watch) send(e WatchEvent) error {
	w.sent = time.Now()
	return w.fn(e)
}

// begin sends the snapshot, or finds what the watcher has seen.
func (w *watch) begin(ctx context.Context) error {
	now, err := w.look()
	if err != nil {
		return err
	}
	if w.options.From == (state.Bookmark{}) {
		return w.reset(ctx, now, "the watch begins")
	}
	before, why := w.projection.readAgain(w.options.From, now.Reading)
	if before == nil {
		return w.reset(ctx, now, why)
	}
	now.Close()
	w.told, w.checked, w.commits, w.due = before, before.Version(), now.commits, time.Now()
	return nil
}

// look sees what is served.
func (w *watch) look() (now seen, err error) {
	p := w.projection
	p.mu.Lock()
	defer p.mu.Unlock()
	g, err := p.readsLocked(w.role)
	if err != nil {
		return now, w.endedLocked(err)
	}
	if r := &g.runner.recent; r != w.recent {
		w.follow(r)
	}
	now.changed, now.commits, now.state = g.runner.watched()
	now.Reading, err = p.readLocked(g)
	return now, err
}

// follow has a runner keep what its commits write for the watcher, until it follows another
// one; nil: none.
func (w *watch) follow(r *recent) {
	if w.recent != nil {
		w.recent.watch(-1)
	}
	if w.recent = r; r != nil {
		r.watch(1)
	}
}

// reset sends every key.
func (w *watch) reset(ctx context.Context, now seen, why string) error {
	if err := w.send(WatchEvent{Kind: WatchReset, Reason: why}); err != nil {
		now.Close()
		return err
	}
	s := w.startStep(ctx, now)
	err := now.Scan(w.options.Prefix, nil, func(key, value []byte) bool {
		return s.send(WatchEvent{Kind: WatchSnapshot, Key: key, Value: value})
	})
	return s.end(errors.Join(err, s.err))
}

// step brings the watcher to what is served now, if that is something else.
func (w *watch) step(ctx context.Context, now seen) error {
	if now.state.State != w.state.State || now.state.Reason != w.state.Reason {
		w.state = now.state
		if err := w.send(now.state); err != nil {
			now.Close()
			return err
		}
	}
	switch {
	case now.keyspace != w.told.keyspace:
		return w.turn(ctx, now)
	case now.Version() > w.checked:
		return w.advance(ctx, now)
	case w.isDue():
		return w.startStep(ctx, now).end(nil)
	}
	now.Close()
	return nil
}

func (w *watch) isDue() bool { return !w.due.IsZero() && !time.Now().Before(w.due) }

// endedLocked says why there is nothing to be watched any more.
func (w *watch) endedLocked(err error) error {
	switch {
	case w.told == nil:
	case w.projection.removed:
		return fmt.Errorf("%w: projection %s was removed", ErrWatchEnded, w.projection.name)
	case errors.Is(err, ErrNoGeneration):
		return fmt.Errorf("%w: %w", ErrWatchEnded, err)
	}
	return err
}

// advance sends what changed up to a newer version of the same generation.
func (w *watch) advance(ctx context.Context, now seen) error {
	s := w.startStep(ctx, now)
	s.missed = now.commits - min(now.commits, w.commits+1)
	err := w.changes(now, func(r state.Row) bool {
		if !bytes.HasPrefix(r.Key, w.options.Prefix) {
			return ctx.Err() == nil
		}
		return s.send(WatchEvent{Kind: WatchChange, Key: r.Key, Value: r.Value, Deleted: r.Deleted})
	})
	if err = errors.Join(err, s.err, ctx.Err()); err != nil || s.rows > 0 || w.isDue() {
		return s.end(err)
	}
	if w.checked, w.commits = now.Version(), now.commits; w.due.IsZero() {
		w.due = time.Now().Add(positionEvery)
	}
	now.Close()
	return nil
}

// changes calls fn for what was written or deleted since what the watcher has seen.
func (w *watch) changes(now seen, fn func(state.Row) bool) error {
	rows, ok := w.recent.changes(w.checked, now.Version(), string(w.options.Prefix))
	if !ok {
		return now.keyspace.Changes(state.OfState, w.checked, now.Version(), state.KeyRange{Prefix: w.options.Prefix}, fn)
	}
	for _, r := range rows {
		if !fn(r) {
			break
		}
	}
	return nil
}

// turn brings the watcher to another generation, by the difference of the two states.
func (w *watch) turn(ctx context.Context, now seen) error {
	a, b := w.told.Checkpoint.Position, now.Checkpoint.Position
	if a.Stream != b.Stream || !a.Created.Equal(b.Created) || a.Sequence > b.Sequence {
		return w.reset(ctx, now, fmt.Sprintf("another generation is read now: %s, at %d of stream %s; the one before was at %d of %s", now.Generation, b.Sequence, b.Stream, a.Sequence, a.Stream))
	}
	if err := w.send(WatchEvent{Kind: WatchGeneration, Generation: now.Generation, Former: w.told.Generation}); err != nil {
		now.Close()
		return err
	}
	s := w.startStep(ctx, now)
	err := state.CompareRows(w.told, now, w.options.Prefix, func(p state.Pair) bool {
		return p.Same() && ctx.Err() == nil || !p.Same() && s.send(WatchEvent{Kind: WatchChange, Key: p.Key, Value: p.B, Deleted: !p.InB})
	})
	return s.end(errors.Join(err, s.err, ctx.Err()))
}

// watchStep brings a watcher to what is seen.
type watchStep struct {
	watch  *watch
	ctx    context.Context
	to     seen
	until  time.Time
	rows   int
	missed uint64
	err    error
}

func (w *watch) startStep(ctx context.Context, to seen) *watchStep {
	return &watchStep{watch: w, ctx: ctx, to: to, until: time.Now().Add(stepTime)}
}

// send reports whether more may be sent.
func (s *watchStep) send(e WatchEvent) bool {
	s.rows++
	e.Sequence = s.to.Checkpoint.Position.Sequence
	switch s.err = s.watch.send(e); {
	case s.err != nil:
	case s.ctx.Err() != nil:
		s.err = s.ctx.Err()
	case s.watch.sent.After(s.until):
		s.err = fmt.Errorf("%w: one step took longer than %s", ErrSlowWatcher, stepTime)
	}
	return s.err == nil
}

// end tells the watcher the position that it has reached, unless the step failed.
func (s *watchStep) end(err error) error {
	w, ck := s.watch, s.to.Checkpoint
	if err == nil {
		err = w.send(WatchEvent{
			Kind: WatchPosition, Sequence: ck.Position.Sequence, Time: ck.Position.Time, Generation: s.to.Generation,
			Bookmark: state.BookmarkOf(ck, s.to.Generation), Missed: s.missed,
		})
	}
	if err != nil {
		s.to.Close()
		return err
	}
	if w.told != nil {
		w.told.Close()
	}
	w.told, w.checked, w.commits, w.due = s.to.Reading, ck.Version, s.to.commits, time.Time{}
	return nil
}

// wait waits for a change, or until the position is due.
func (w *watch) wait(ctx context.Context, changed <-chan struct{}) error {
	for !w.isDue() {
		timer, stop := w.alarm()
		select {
		case <-changed:
			stop()
			return ctx.Err()
		case <-ctx.Done():
			stop()
			return ctx.Err()
		case <-timer:
		}
		if w.isDue() {
			break
		}
		if err := w.send(WatchEvent{Kind: WatchIdle}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// alarm goes off when there is something to send though nothing changes.
func (w *watch) alarm() (<-chan time.Time, func()) {
	next := w.due
	if beat := w.sent.Add(w.options.Beat); w.options.Beat > 0 && (next.IsZero() || beat.Before(next)) {
		next = beat
	}
	if next.IsZero() {
		return nil, func() {}
	}
	t := time.NewTimer(time.Until(next))
	return t.C, func() { t.Stop() }
}

// close keeps what the watcher was told readable for a while, so that it can go on.
func (w *watch) close() {
	w.follow(nil)
	if w.told != nil {
		w.projection.keepSeen(w.told)
	}
}
