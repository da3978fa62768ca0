package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"gnomon/engine/measure"
	"gnomon/engine/state"
	"gnomon/engine/streams"
)

// errPaused ends a session that an operator paused.
var errPaused = errors.New("paused")

// monitor is what is known of a runner, and what may be asked of it, from any
// goroutine.
type monitor struct {
	mu      sync.Mutex
	changed chan struct{} // closed, and made anew, at every change that someone may wait for

	state        RunnerState
	reason, hint string
	since        time.Time
	lived        time.Time // when it was live for the first time; zero: never yet
	failing      uint64    // while halted: the event that it is halted before, 0: none

	published state.Checkpoint // the newest committed; zero before the first
	applied   uint64
	last      uint64 // sequence of the stream
	started   *uint64
	told      bool      // the server said what last is
	level     time.Time // when the served state last was all that the stream held

	events, commits, failures uint64
	passed                    streams.Passed
	apply                     time.Duration
	fuel                      uint64
	memory                    uint64
	call                      callMark
	rate                      measure.Rate
	catchUp                   catchUp
	approach                  measure.Approach // while it catches up

	orders  []*order
	ordered chan struct{}        // of capacity 1: there may be some, or a hold
	held    atomic.Pointer[hold] // nil: none

	arrivals []arrival // waits for sequences to be served

	adoption *adoption // of another spec; nil: none is due
	paused   bool
	cancel   context.CancelCauseFunc // of the session under way
}

func newMonitor() monitor {
	return monitor{state: Starting, since: time.Now(), changed: make(chan struct{}), ordered: make(chan struct{}, 1)}
}

// notifyLocked wakes those who wait for a change.
func (m *monitor) notifyLocked() { m.notifyUpToLocked(everySequence) }

// notifyUpToLocked wakes those who wait for a change, but for those who wait for a later
// sequence than one that is served now.
func (m *monitor) notifyUpToLocked(sequence uint64) {
	close(m.changed)
	m.changed = make(chan struct{})
	m.wakeLocked(sequence)
}

// changes wakes those who wait for a change.
func (m *monitor) changes() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.notifyLocked()
}

// enter changes the state.
func (m *monitor) enter(s RunnerState, reason, hint string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.enterLocked(s, reason, hint)
}

func (m *monitor) enterLocked(s RunnerState, reason, hint string) {
	if m.state == s && m.reason == reason {
		return
	}
	if m.state != s {
		m.since = time.Now()
		m.catchUp.enter(s, m.events)
		m.approach = measure.Approach{}
		if s == Live && m.lived.IsZero() {
			m.lived = m.since
		}
	}
	m.state, m.reason, m.hint, m.failing = s, reason, hint, 0
	m.notifyLocked()
}

// end notes that the runner does not run any more, and answers what waits for it.
func (m *monitor) end(reason, hint string) {
	m.enter(Stopped, reason, hint)
	m.refuseOrders(m.stopped())
}

// stop enters a state that the projection does not leave by itself, before the event that
// is failing (0: there is none), and answers the orders that waited. One that is given as
// soon as the state can be read is not among them.
func (m *monitor) stop(s RunnerState, reason, hint string, failing uint64) {
	m.mu.Lock()
	m.enterLocked(s, reason, hint)
	m.failing = failing
	waited, err := m.orders, m.stoppedLocked()
	m.orders = nil
	m.notifyLocked()
	m.mu.Unlock()
	for _, o := range waited {
		o.done <- err
	}
}

// troubled notes an error of the source: the state stays what it was, unless it
// was live, for what is new cannot be known. Where a stream was that was read and
// is no longer there, nothing can be caught up with.
func (m *monitor) troubled(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at := m.published.Position.Sequence; at > 0 && errors.Is(err, streams.ErrNoStream) {
		m.enterLocked(Stalled, fmt.Sprintf("%v, though its events were applied up to %d", err, at),
			"restore it, and the projection goes on by itself; when another one takes its name, the projection says how it differs, and what to do")
		return
	}
	switch m.state {
	case Live, Halted, Diverged: // it is under way again
		m.state, m.since, m.failing = CatchingUp, time.Now(), 0
	}
	if m.state != Stalled {
		m.reason, m.hint = err.Error(), "it is tried again by itself, every few seconds"
		if errors.Is(err, streams.ErrForbidden) {
			m.hint = streams.HintOfForbidden
		}
	}
	m.notifyLocked()
}

// State returns the present state.
func (m *monitor) State() RunnerState {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state
}

// Published returns the newest committed checkpoint, the zero one before the first.
func (m *monitor) Published() state.Checkpoint {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.published
}

// publish makes a checkpoint the one that is read. Events that are applied again
// after a restart never move it back.
func (m *monitor) publish(c state.Checkpoint) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.started == nil {
		m.started = &c.Position.Sequence
	}
	if c.Version > m.published.Version {
		m.published = c
		m.atEndLocked()
		m.notifyUpToLocked(c.Position.Sequence)
	}
}

func (m *monitor) countCommit(c state.Checkpoint) {
	m.mu.Lock()
	m.commits++
	m.mu.Unlock()
	m.publish(c)
}

// isFresh reports whether a position, which is about to be published, is that of an event
// that was stored after the runner had caught up for the first time: what is older waited
// for it to be started, and not on its way.
func (m *monitor) isFresh(p state.Position) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.lived.IsZero() && p.Time.After(m.lived) && p.Sequence > m.published.Position.Sequence
}

// watched returns what a watcher is told of a runner. The channel is closed when there is
// something else to tell.
func (m *monitor) watched() (changed <-chan struct{}, commits uint64, state WatchEvent) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed, m.commits, WatchEvent{Kind: WatchState, State: m.state, Reason: m.reason, Hint: m.hint}
}

// callMark is a call of the guest under way.
type callMark struct {
	began       time.Time // zero: none is
	first, last uint64    // sequences of its events
}

// calls notes that the guest is called.
func (m *monitor) calls(first, last uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.call = callMark{time.Now(), first, last}
}

func (m *monitor) countBatch(events int, took time.Duration, failed bool, fuel, memory uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.apply += took
	m.memory = memory
	m.call = callMark{}
	if failed {
		m.failures++
		return
	}
	m.fuel += fuel
	m.events += uint64(events)
	m.rate.Add(events, time.Now())
}

// progress notes how far the runner has applied.
func (m *monitor) progress(applied uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state == CatchingUp {
		m.approach.Step(m.applied, applied, time.Now())
	}
	m.applied = applied
	m.last = max(m.last, applied)
}

// streamLast notes the last sequence of the stream, as far as the runner knows.
func (m *monitor) streamLast(last uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last, m.told = max(m.last, last), true
	m.atEndLocked()
}

// knownEnd is the last sequence of the stream, as far as the runner knows.
func (m *monitor) knownEnd() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last
}

// Pause ends the session under way, after what was applied is committed, and
// keeps the runner from opening another one until Resume.
func (m *monitor) Pause() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.paused = true
	if m.cancel != nil {
		m.cancel(errPaused)
	}
	m.notifyLocked()
}

// Resume undoes Pause.
func (m *monitor) Resume() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.paused = false
	m.notifyLocked()
}

// pausable returns a context that Pause ends.
func (m *monitor) pausable(ctx context.Context) (_ context.Context, release func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.paused:
		cancel(errPaused)
	case m.adoption != nil:
		cancel(errAdopt)
	}
	m.cancel = cancel
	return ctx, func() { cancel(nil) }
}

// awaitResume returns at once when the runner is not paused, or is to adopt another spec;
// otherwise it waits, and returns false when ctx ended first. Hint says how it is resumed.
func (m *monitor) awaitResume(ctx context.Context, hint string) bool {
	for {
		m.mu.Lock()
		paused, adopts, changed := m.paused, m.adoption != nil, m.changed
		m.mu.Unlock()
		if !paused {
			m.leavePaused()
		}
		if !paused || adopts {
			return true
		}
		m.enter(Paused, "an operator paused it", hint)
		m.heedStopped(ctx)
		if !wait(ctx, changed) {
			return false
		}
	}
}

func (m *monitor) leavePaused() {
	if m.State() == Paused {
		m.enter(Starting, "", "")
	}
}

// awaitPause waits for Pause, for an order, for another spec or for the end of ctx.
func (m *monitor) awaitPause(ctx context.Context) {
	for {
		m.heedStopped(ctx)
		m.mu.Lock()
		leave, changed := m.paused || len(m.orders) > 0 || m.adoption != nil, m.changed
		m.mu.Unlock()
		if leave || !wait(ctx, changed) {
			return
		}
	}
}

func wait(ctx context.Context, changed <-chan struct{}) bool {
	select {
	case <-changed:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// await waits until done returns true, which it is asked after every change.
func (m *monitor) await(ctx context.Context, done func() bool) error {
	for {
		m.mu.Lock()
		changed := m.changed
		m.mu.Unlock()
		if done() {
			return nil
		}
		if !wait(ctx, changed) {
			return ctx.Err()
		}
	}
}

// isStuckLocked reports whether the guest is called, and does not come back.
func (m *monitor) isStuckLocked() bool {
	return !m.call.began.IsZero() && time.Since(m.call.began) > stallAfter
}

// standing is the state, as report tells it, and the last sequence of the stream, as far as
// the runner knows.
func (m *monitor) standing() (RunnerState, uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.isStuckLocked() {
		return Stalled, m.last
	}
	return m.state, m.last
}

// report fills in what the monitor knows of a status.
func (m *monitor) report(s *Status) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.State, s.Reason, s.Hint, s.Since, s.Failing = m.state, m.reason, m.hint, m.since, m.failing
	if c := m.call; m.isStuckLocked() {
		s.State, s.Since = Stalled, c.began
		s.Reason = fmt.Sprintf("the module has been at work on events %d to %d for %s", c.first, c.last, time.Since(c.began).Round(time.Second))
		s.Hint = "if it does not come to an end by itself it loops: kill the engine, and mend the module"
	}
	s.Applied, s.Committed = m.applied, m.published.Position.Sequence
	s.StreamLast = max(s.StreamLast, m.last)
	s.Events, s.Commits, s.Failures, s.Passed = m.events, m.commits, m.failures, m.passed
	s.Rate, s.CatchUpRate = m.rate.PerSecond(time.Now()), m.catchUp.rate
	s.Apply, s.Memory, s.FuelUsed = m.apply, m.memory, m.fuel
	if m.events > 0 {
		s.Fuel = m.fuel / m.events
	}
	if s.State == CatchingUp && m.reason == "" { // which would be a source that does not answer
		s.LeftMs = m.approach.Left(s.StreamLast - min(s.StreamLast, m.applied)).Milliseconds()
	}
	if m.started != nil {
		s.Start = *m.started
	}
}

// stopped returns why the runner does not go on by itself, or nil when it does.
func (m *monitor) stopped() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stoppedLocked()
}

func (m *monitor) stoppedLocked() error {
	switch m.state {
	case Halted, Diverged, Paused, Stopped:
		return &StoppedError{State: m.state, Reason: m.reason, Hint: m.hint}
	}
	return nil
}

// reached reports whether a sequence is committed, the stream's history was
// checked, and the runner stands there: with memory to restore, it may stand behind
// what was published before.
func (m *monitor) reached(sequence uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := m.published.Position.Sequence
	return m.state != Starting && m.published.Version > 0 && at >= sequence && m.applied >= at
}

// StoppedError says that a projection does not go on by itself.
type StoppedError struct {
	State        RunnerState
	Reason, Hint string
}

func (e *StoppedError) Error() string { return string(e.State) + ": " + e.Reason }

// catchUp measures how fast a runner was while it last caught up.
type catchUp struct {
	began time.Time
	from  uint64 // events applied before
	rate  float64
}

// enter notes that the runner enters a state with so many events applied.
func (c *catchUp) enter(s RunnerState, events uint64) {
	switch {
	case s == CatchingUp:
		c.began, c.from = time.Now(), events
	case s == Live && !c.began.IsZero():
		c.rate = float64(events-c.from) / max(time.Since(c.began).Seconds(), 1e-3)
		c.began = time.Time{}
	}
}
