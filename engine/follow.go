package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gnomon/engine/streams"
)

const (
	// longestWindow is how long slow commits may keep a window open.
	longestWindow = 10 * time.Second
	// headDistance is how many events a live projection may be behind for a moment
	// before it counts as catching up again.
	headDistance = 10_000
	// stallAfter is how long a projection may be behind without getting an event.
	stallAfter = 30 * time.Second
	// Without events the source is asked how far the reader is, ever less often.
	firstIdle = 100 * time.Millisecond
	lastIdle  = 2 * time.Second
)

// run follows the stream until something fails or ctx ends. A reader that is lost
// is made anew at the next event, after the history was checked again; instance
// and overlay live on.
func (s *session) run(ctx context.Context) error {
	wait := firstBackOff
	for {
		before := s.applied.Sequence
		if err := s.obeyAll(ctx); err != nil && !errors.Is(err, streams.ErrMoved) {
			return err
		}
		err := s.follow(ctx)
		var unpublished *outboxError
		if errors.As(err, &unpublished) {
			if err = s.awaitOutbox(ctx); err == nil {
				continue
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var full *roomError
		if errors.As(err, &full) {
			if err := s.awaitRoom(ctx, full); err != nil {
				return err
			}
			continue
		}
		if !isSource(err) {
			return err
		}
		if s.applied.Sequence > before {
			wait = firstBackOff
		}
		if errors.Is(err, streams.ErrMoved) {
			continue
		}
		if !s.postponed() {
			if err := s.commitAll(ctx); err != nil {
				return err
			}
		}
		s.troubled(err)
		wait = s.backOff(ctx, wait)
	}
}

// follow checks the history, opens a reader and pumps its events.
func (s *session) follow(ctx context.Context) error {
	h := s.history()
	info, err := h.verify(ctx, s.source)
	if err == nil && s.repeats() {
		_, err = history{position: s.newest.Position, anchors: s.newest.Anchors}.verify(ctx, s.source)
	}
	if err != nil {
		return asSource(err)
	}
	from := s.applied.Sequence + 1
	if h.fresh {
		from = max(from, info.First)
	}
	reader, err := s.source.Read(ctx, s.spec.Stream, from, s.spec.Batch)
	if err != nil {
		return asSource(fmt.Errorf("read stream %s from %d: %w", s.spec.Stream, from, err))
	}
	defer reader.Close()
	s.readFrom = from
	s.streamLast(info.Last)
	switch {
	case s.applied.Sequence >= info.Last:
		s.enter(Live, "", "")
	case s.State() != Stalled: // which ends with the next event
		s.enter(CatchingUp, "", "")
	}
	return s.pump(ctx, reader)
}

// checkLost tells a stream that lost events before they were read, by its limits or a
// purge, from one that had single events deleted: the first begins after what is
// missing. What the server had sent before it lost them hides that from a reader.
func (s *session) checkLost(ctx context.Context, missing uint64) error {
	h := s.history()
	if h.fresh {
		return nil
	}
	info, err := s.source.Stream(ctx, s.spec.Stream)
	if err != nil {
		return err
	}
	h.position.Sequence = missing - 1
	return h.compare(info)
}

// history is what was read. It is fresh when nothing ever was, whatever memory was
// restored: a stream that is trimmed all the time may lose its first event before a new
// projection gets it.
func (s *session) history() history {
	fresh := len(s.anchors) == 0 && len(s.newest.Anchors) == 0 && s.failed.event.Sequence == 0 && s.spec.Start.Sequence <= 1 && !s.isAccepted()
	return history{position: s.applied, anchors: s.anchors, fresh: fresh}
}

// asSource marks an error as one of the source, unless it says that the history
// changed.
func asSource(err error) error {
	if _, ok := err.(*HistoryError); ok {
		return err
	}
	return &sourceError{err}
}

// pump applies what the reader yields and cuts windows as they are due.
func (s *session) pump(ctx context.Context, reader streams.Reader) error {
	idle := &idleTimer{timer: time.NewTimer(firstIdle), wait: firstIdle, last: time.Now()}
	defer idle.timer.Stop()
	for {
		if err := s.room.full(); err != nil {
			return err
		}
		if err := s.obeyAll(ctx); err != nil {
			return err
		}
		if err := s.commitIfDue(ctx); err != nil {
			return err
		}
		if !s.repeats() {
			if err := s.awaitRelay(ctx); err != nil {
				return err
			}
		}
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case r := <-s.landing():
			err = s.landed(r)
		case <-reader.Ready():
			err = s.take(ctx, reader, idle)
		case <-s.ordered:
		case <-idle.timer.C:
			err = s.idle(ctx, reader, idle)
		}
		if err != nil {
			return err
		}
	}
}

// commitIfDue cuts a window: at the head of the stream as soon as the last one is
// committed, behind it when the window has been open long enough, and when the
// guest's memory is to be stored.
func (s *session) commitIfDue(ctx context.Context) error {
	if s.repeats() || s.commitsNothing() {
		return nil
	}
	if s.inFlight {
		if !s.historyDue() {
			return nil
		}
		if err := s.settle(); err != nil { // or the window would grow beyond what may be replayed
			return err
		}
	}
	memory := s.memoryDue()
	fresh := s.applied.Sequence > s.cutAt && (s.unread == 0 || s.since != 0 || time.Since(s.cutTime) >= s.window() || s.historyDue() || s.relayWaits() || s.outboxFull() != nil)
	if !fresh && !memory && !s.trimDue() || s.outboxFull() == nil && !s.historyOverdue() && s.postponed() {
		return nil
	}
	return s.cut(ctx, memory)
}

// commitAll commits what was applied, before a wait that may be long.
func (s *session) commitAll(ctx context.Context) error {
	if err := s.settle(); err != nil {
		return err
	}
	if s.repeats() || s.applied.Sequence <= s.cutAt && s.since == 0 && !s.trimDue() {
		return nil
	}
	if err := s.cut(ctx, false); err != nil {
		return err
	}
	return s.settle()
}

// window is how long a window stays open behind the head: longer when commits are
// slow, so that they take a twentieth of the time and not all of it.
func (s *session) window() time.Duration {
	return max(s.spec.Window, min(20*s.took, longestWindow))
}

func (s *session) take(ctx context.Context, reader streams.Reader, idle *idleTimer) error {
	b, err := reader.Take()
	if err != nil {
		return &sourceError{err}
	}
	if b == nil {
		return nil
	}
	defer reader.Release(b)
	s.streamLast(b.Through + b.Pending)
	if missing := b.Missing(s.applied.Sequence); missing > 0 {
		if err := s.checkLost(ctx, missing); err != nil {
			return asSource(err)
		}
	}
	after := max(s.applied.Sequence, s.readFrom-1)
	if err := s.begin(ctx, b.First()); err != nil {
		return err
	}
	if err := s.applyMending(ctx, b); err != nil {
		return err
	}
	s.countPassed(b.Passed(after))
	switch {
	case s.unread == 0:
		s.enter(Live, "", "")
	case s.unread > headDistance || s.State() == Stalled:
		s.enter(CatchingUp, "", "")
	}
	idle.restart()
	return nil
}

// begin moves the position of a projection that has read nothing to where its events
// begin, if that is not what comes next: what was there before is gone, and not to be
// asked for. Memory that nothing was written to belongs there too.
func (s *session) begin(ctx context.Context, first uint64) error {
	if first <= s.applied.Sequence+1 || !s.history().fresh {
		return nil
	}
	if err := s.commitAll(ctx); err != nil {
		return err
	}
	s.advance(first - 1)
	if !s.spec.Module.Traits().Memory {
		return nil
	}
	return s.commitAlone(ctx)
}

// idle asks the source where the reader stands when it yields nothing: at the
// end, though events at the end may have been deleted, or stalled.
func (s *session) idle(ctx context.Context, reader streams.Reader, idle *idleTimer) error {
	through, ok, err := reader.CaughtUp(ctx)
	if err != nil {
		return &sourceError{err}
	}
	if ok {
		if through > s.applied.Sequence {
			if err := s.checkLost(ctx, s.applied.Sequence+1); err != nil {
				return asSource(err)
			}
		}
		if err := s.begin(ctx, through+1); err != nil {
			return err
		}
		s.unread, s.place = 0, apart // an atomic batch that is not whole is here to stay
		if err := s.heed(ctx, through); err != nil {
			return err
		}
		s.countPassed(streams.Passed{Absent: through - min(through, max(s.applied.Sequence, s.readFrom-1))})
		s.advance(through)
		s.streamLast(through)
		s.enter(Live, "", "")
		idle.last = time.Now()
	} else if time.Since(idle.last) > stallAfter {
		s.enter(Stalled, fmt.Sprintf("no event came for %s, though the stream holds more after %d", stallAfter, s.applied.Sequence),
			"the reader is made anew by itself; if that does not help, look at the server's log and its consumers")
		err := fmt.Errorf("%w: no event for %s", streams.ErrReaderLost, stallAfter)
		streams.Condemn(reader, err)
		return &sourceError{err}
	}
	idle.longer()
	return nil
}

// idleTimer fires when no event came for a while, ever later.
type idleTimer struct {
	timer *time.Timer
	wait  time.Duration
	last  time.Time // of the last event, or of the last word that there is none
}

func (t *idleTimer) restart() {
	t.last, t.wait = time.Now(), firstIdle
	t.timer.Reset(t.wait)
}

func (t *idleTimer) longer() {
	t.wait = min(2*t.wait, lastIdle)
	t.timer.Reset(t.wait)
}
