package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

const (
	// maxReplays is how many replays of what came after a commit run at once; others wait. One
	// of everything has a place of its own.
	maxReplays = 2
	// replayTime bounds a replay of what came after a commit. One of everything takes the time
	// that its request has.
	replayTime = time.Minute
	// replayWrites and replayBytes bound what a replay holds in memory.
	replayWrites = 1 << 20
	replayBytes  = 256 << 20
	// pastBytes bounds what all readings hold together of what replays came to. They are open
	// for as long as a client takes its rows.
	pastBytes = 512 << 20
	// replayIdle is how long a replay waits for events before it asks whether there are any.
	replayIdle = 50 * time.Millisecond
	// replayAttempts is how often a replay is begun anew whose guest has memory, because calls
	// were too large for it.
	replayAttempts = 32
)

// replay applies events again that were applied before, on the state as it was then, in an
// instance of its own, and commits nothing. It does what was done: with the code that did it,
// and what was set aside or skipped is so again.
type replay struct {
	*session
	span
	start   state.Checkpoint // from, or the memory snapshot before it
	letters []state.Letter   // that were set aside by next, of events after start
	missing uint64           // the first sequence that the stream does not hold; 0: none
	seen    int              // events after start, so far

	// watch, when not nil, is called after each event, which are applied one by one then.
	watch func(r *replay, e abi.Record) error
}

// replayTo reads the state as of a sequence within a span, whose base becomes the reading's.
func (p *projection) replayTo(ctx context.Context, g *generation, w span, sequence uint64) (_ *Reading, err error) {
	defer func() {
		if err != nil {
			w.base.Close()
			err = fmt.Errorf("read %s as of %d: %w", p.name, sequence, err)
		}
	}()
	ctx, cancel := context.WithTimeoutCause(ctx, replayTime, fmt.Errorf("%w: it takes more than %s from %d on", ErrReplayLimit, replayTime, w.from.Position.Sequence))
	defer cancel()
	r, err := p.replayed(ctx, g, w, sequence)
	if err != nil {
		return nil, err
	}
	v, ck, err := r.view(sequence)
	if err == nil {
		err = p.engine.past.hold(v)
	}
	if err != nil {
		r.closeView()
		return nil, err
	}
	return p.reading(g, v, ck), nil
}

// replayed replays the events of a span up to a sequence. Its instances are gone when it
// returns.
func (p *projection) replayed(ctx context.Context, g *generation, w span, sequence uint64) (*replay, error) {
	return p.watched(ctx, g, w, sequence, nil)
}

// watched is replayed with somebody who watches each event.
func (p *projection) watched(ctx context.Context, g *generation, w span, sequence uint64, watch func(*replay, abi.Record) error) (r *replay, err error) {
	places := p.engine.replays
	if w.from.Version == 0 {
		places = p.engine.whole
	}
	select {
	case places <- struct{}{}:
		defer func() { <-places }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if !w.follows() {
		return nil, fmt.Errorf("%w: between %d and %d there were commits that are not here", ErrNotRepeatable, w.from.Position.Sequence, w.next.Position.Sequence)
	}
	spec, release, err := p.specOf(ctx, g, w.next.Runs)
	if err != nil {
		return nil, err
	}
	defer release()
	runner := p.scratchRunner(g, spec)
	for range replayAttempts {
		r = &replay{span: w, watch: watch}
		err = r.run(ctx, runner, sequence)
		var failed *batchError
		if errors.Is(err, errWindowFull) || !errors.As(err, &failed) || !runner.retry(failed) {
			break
		}
	}
	if err != nil {
		return nil, r.reason(ctx, err)
	}
	return r, nil
}

// reason is the error of a replay in the words of who asked for it.
func (r *replay) reason(ctx context.Context, err error) error {
	var failed *batchError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, errWindowFull):
		return fmt.Errorf("%w: it changes more than %d keys or %d MiB from %d on", ErrReplayLimit, replayWrites, replayBytes>>20, r.start.Position.Sequence)
	case errors.As(err, &failed) && r.from.Version == 0:
		return fmt.Errorf("%w: %w, and what was done about that is no longer known", ErrNotRepeatable, failed)
	case errors.As(err, &failed):
		return fmt.Errorf("%w: %w, which did not fail when it was applied", ErrNotRepeatable, failed)
	}
	return err
}

// scratchRunner is a runner for a session that nobody sees.
func (p *projection) scratchRunner(g *generation, spec *Spec) *Runner {
	s := *spec
	s.Partitions, s.OnError, s.Log = 1, Halt, noLog{}
	s.Window, s.MemorySnapshots = math.MaxInt64, MemoryPolicy{Events: math.MaxUint64, Every: math.MaxInt64}
	s.History = HistoryPolicy{}
	s.Upcasters = slices.Clone(s.Upcasters)
	for i := range s.Upcasters {
		s.Upcasters[i].Log = noLog{}
	}
	r := newRunner(&s, g.id, p.engine, g.keyspace, slog.New(slog.DiscardHandler))
	r.source = p.engine.source.Source // those who share a reader do not wait for it
	r.background.Store(true)
	return r
}

// noLog is a guest.Log that nobody reads.
type noLog struct{}

func (noLog) Enabled(int) bool { return false }
func (noLog) Line(guest.Line)  {}

// specOf returns the spec of a generation that has, or had, an identity. It must be released.
func (p *projection) specOf(ctx context.Context, g *generation, identity string) (*Spec, func(), error) {
	p.mu.Lock()
	if s := g.spec; s != nil && s.Generation() == identity {
		s.uses++
		p.mu.Unlock()
		return s, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.release(s)
		}, nil
	}
	p.mu.Unlock()
	record := p.record()
	declared, ok := record.PastOf(g.id, identity)
	if !ok {
		return nil, nil, fmt.Errorf("%w: what applied the events, %q, is not recorded any more", ErrNotRepeatable, identity)
	}
	s, err := p.engine.respec(ctx, p.name, declared)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: module %.12s, which applied the events, cannot be had any more: %w", ErrNotRepeatable, declared.Module, err)
	}
	return s, func() { p.report(s.closeModules(context.WithoutCancel(ctx)), "close module") }, nil
}
