package engine_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/sdk/abi"
)

// pending is an Await under way.
type pending struct {
	t     *testing.T
	began time.Time
	ended chan struct{}
	after time.Duration // how long it took
	err   error
}

// waitFor begins to await a sequence, for at most an hour.
func (r *running) waitFor(name string, sequence uint64) *pending {
	w := &pending{t: r.t, began: time.Now(), ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		ctx, cancel := context.WithTimeout(r.t.Context(), time.Hour)
		defer cancel()
		w.err = r.Await(ctx, name, sequence)
		w.after = time.Since(w.began)
	}()
	synctest.Wait()
	return w
}

// wantUnderWay checks that it goes on.
func (w *pending) wantUnderWay() {
	w.t.Helper()
	synctest.Wait()
	select {
	case <-w.ended:
		w.t.Fatalf("the wait is over: %v", w.err)
	default:
	}
}

// wantEnd checks that it ends now, without any time passing, and returns its error.
func (w *pending) wantEnd() error {
	w.t.Helper()
	synctest.Wait()
	select {
	case <-w.ended:
	default:
		w.t.Fatal("the wait goes on")
	}
	return w.err
}

// A wait for a sequence ends as soon as it is served, and neither before nor with the next
// tick of anything; what is served already is not waited for.
func TestAwait(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(20)
		e := b.start(spec(ledgerModule))
		e.awaitLive(20)
		for _, sequence := range []uint64{0, 1, 20} {
			if err := e.waitFor("p", sequence).wantEnd(); err != nil {
				t.Errorf("%d: %v", sequence, err)
			}
		}
		next, later := e.waitFor("p", 21), e.waitFor("p", 23)
		b.append(1)
		if err := next.wantEnd(); err != nil {
			t.Error(err)
		}
		e.wantLedger(1, 21)
		b.append(1)
		later.wantUnderWay()
		b.append(1)
		if err := later.wantEnd(); err != nil {
			t.Error(err)
		}
		e.wantLedger(1, 23)
	})
}

// An event that is none of the projection's counts as soon as it has been passed over.
func TestAwaitOtherEvents(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		e := b.start(spec(ledgerModule, func(s *engine.Spec) { s.Filter = func(subject []byte) bool { return subject[0] == 'a' } }))
		for n := range uint64(20) {
			w := e.waitFor("p", n+1)
			b.append(1) // to e.x
			if err := w.wantEnd(); err != nil || w.after != time.Second {
				t.Errorf("%d: %v after %s", n+1, err, w.after)
			}
		}
	})
}

// What does not come in time is an error that says how far the projection is.
func TestAwaitEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(5)
		e := b.start(spec(ledgerModule))
		e.awaitLive(5)
		w := e.waitFor("p", 9)
		time.Sleep(time.Hour) // of the bubble
		err := w.wantEnd()
		if !errors.Is(err, engine.ErrNotReached) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "projection p reflects 5, 9 is not reached") {
			t.Errorf("%v", err)
		}
		if err := e.waitFor("none", 1).wantEnd(); !errors.Is(err, engine.ErrNoProjection) {
			t.Errorf("an unknown projection: %v", err)
		}
		if err := e.waitFor("p@candidate", 1).wantEnd(); !errors.Is(err, engine.ErrNoGeneration) {
			t.Errorf("an unknown generation: %v", err)
		}
	})
}

// A projection that does not go on by itself is not waited for: neither when it stops
// before the wait, nor when it stops during it. What it serves already is served.
func TestAwaitStopped(t *testing.T) {
	for _, stop := range []struct {
		state engine.RunnerState
		stop  func(b *bench, e *running)
		way   string
	}{
		{engine.Halted, func(b *bench, _ *running) { b.server.Append(streamName, "e.x", []byte("poison")) }, "dead-letters skip"},
		{engine.Paused, func(_ *bench, e *running) { e.pause() }, "engine resume p"},
	} {
		t.Run(string(stop.state), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				b.append(5)
				e := b.start(spec(enginetest.FuncModule("poisoned", func(ev abi.Record, st guest.State) error {
					if string(ev.Data) == "poison" {
						return enginetest.Refuse("no more")
					}
					return ledger(ev, st)
				})))
				e.awaitLive(5)
				during := e.waitFor("p", 9)
				stop.stop(b, e)
				e.awaitState(stop.state)
				for name, w := range map[string]*pending{"during": during, "after": e.waitFor("p", 6)} {
					var stopped *engine.StoppedError
					err := w.wantEnd()
					if !errors.As(err, &stopped) || stopped.State != stop.state || !strings.Contains(stopped.Hint, stop.way) || !strings.Contains(err.Error(), "projection p reflects 5") {
						t.Errorf("%s: %v", name, err)
					}
				}
				if err := e.waitFor("p", 5).wantEnd(); err != nil {
					t.Errorf("what it serves: %v", err)
				}
			})
		})
	}
}

// Where the stream is another one, or that is not known yet, no sequence counts as reached:
// it may mean another event.
func TestAwaitOtherHistory(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(20)
		e := b.start(spec(ledgerModule))
		e.awaitLive(20)
		e.stop()
		b.server.Create(streamName)
		b.append(3)
		e = b.start(spec(ledgerModule))
		var stopped *engine.StoppedError
		if err := e.waitFor("p", 3).wantEnd(); !errors.As(err, &stopped) || stopped.State != engine.Diverged {
			t.Errorf("%v", err)
		}
	})
}

// A wait is for what is read: it goes over to another generation with the readers, and
// ends with the projection.
func TestAwaitOtherGeneration(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(20)
		gate := make(chan struct{})
		slow := enginetest.FuncModule("slow", func(ev abi.Record, st guest.State) error {
			if ev.Sequence == 21 {
				<-gate
			}
			return ledger(ev, st)
		})
		e := b.start(spec(slow, byHand))
		e.awaitLive(20)
		e.declare(spec(ledgerModule, byHand))
		candidate := e.waitFor("p@candidate", 22)
		e.await("a candidate", func(s engine.Status) bool { return s.Candidate.Position == 20 })
		live := e.waitFor("p", 22)
		if _, err := e.Promote(t.Context(), "p"); err != nil {
			t.Fatal(err)
		}
		if err := candidate.wantEnd(); !errors.Is(err, engine.ErrNoGeneration) {
			t.Errorf("a candidate that is none any more: %v", err)
		}
		live.wantUnderWay()
		b.append(2)
		if err := live.wantEnd(); err != nil { // though the former one stands before 21
			t.Error(err)
		}
		e.wantLedger(1, 22)
		close(gate)
	})
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(20)
		e := b.start(spec(ledgerModule, byHand))
		e.awaitLive(20)
		e.declare(spec(ledgerModuleAs("other"), byHand))
		e.await("a candidate", func(s engine.Status) bool { return s.Candidate.State == engine.Live })
		if _, err := e.Promote(t.Context(), "p"); err != nil {
			t.Fatal(err)
		}
		previous := e.waitFor("p@previous", 21)
		e.declare(spec(ledgerModule, byHand)) // which makes it the candidate
		if err := previous.wantEnd(); !errors.Is(err, engine.ErrNoGeneration) {
			t.Errorf("a previous one that is the candidate now: %v", err)
		}
	})
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(20)
		e := b.start(spec(ledgerModule))
		e.awaitLive(20)
		w := e.waitFor("p", 21)
		if err := e.Withdraw(t.Context(), "p", "it is no longer declared"); err != nil {
			t.Fatal(err)
		}
		var stopped *engine.StoppedError
		if err := w.wantEnd(); !errors.As(err, &stopped) || stopped.State != engine.Stopped {
			t.Errorf("withdrawn: %v", err)
		}
	})
}

// A reading says how its projection stands: live, behind by so many events, or stale.
func TestReadingSaysHowItStands(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(5)
		e := b.start(spec(ledgerModule))
		want := func(state engine.RunnerState, fresh engine.Freshness, behind uint64) {
			t.Helper()
			r, err := e.Read("p")
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if r.State != state || r.State.Freshness() != fresh || r.Behind != behind {
				t.Errorf("%s, %s, %d behind, want %s, %s, %d", r.State, r.State.Freshness(), r.Behind, state, fresh, behind)
			}
		}
		e.awaitLive(5)
		want(engine.Live, engine.FreshLive, 0)
		e.pause()
		e.awaitState(engine.Paused)
		b.append(3)
		e.await("the stream's end", func(s engine.Status) bool { return s.StreamLast == 8 })
		want(engine.Paused, engine.FreshStale, 3)
	})
	for state, want := range map[engine.RunnerState]engine.Freshness{
		engine.Live: engine.FreshLive, engine.CatchingUp: engine.FreshBehind, engine.Starting: engine.FreshBehind, engine.Halted: engine.FreshStale,
		engine.Diverged: engine.FreshStale, engine.Stalled: engine.FreshStale, engine.Stopped: engine.FreshStale, engine.Offline: engine.FreshStale,
	} {
		if got := state.Freshness(); got != want {
			t.Errorf("%s is %s, want %s", state, got, want)
		}
	}
}
