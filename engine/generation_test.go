package engine_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// A changed projection is built beside the one that is read, which goes on and never
// goes back; when the new one has caught up it takes over, and stays.
func TestChangedProjectionTakesOver(t *testing.T) {
	for _, keep := range []time.Duration{0, time.Hour} {
		t.Run(keep.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				with := func(s *engine.Spec) { s.Batch.Events, s.KeepPrevious = 10, keep }
				b.append(50)
				e := b.start(spec(ledgerModule, with))
				former := e.awaitLive(50).Generation
				gate := make(chan struct{})
				s := spec(gated("changed", gate, 30, 80), with)
				if plan := e.declare(s); plan.Action != engine.ActRebuild || !strings.Contains(plan.Why, "the module changed") {
					t.Errorf("plan %+v", plan)
				}
				b.append(50)
				for _, applied := range []uint64{20, 70} {
					got := e.await("events applied", func(s engine.Status) bool { return s.Candidate.Position >= applied })
					if got.State != engine.Live || got.Position != 100 || got.Generation != former || got.Building != s.Generation() || !got.Candidate.Auto {
						t.Errorf("while the new one is built: %+v", got)
					}
					e.wantLedger(1, 100)
					gate <- struct{}{}
				}
				e.await("the new one", func(s engine.Status) bool {
					if s.Position < 100 {
						t.Errorf("what is read went back to %d", s.Position)
					}
					return s.Building == ""
				})
				e.wantLedger(1, 100)
				if state, _ := e.content(); state["changed"] != "yes" {
					t.Error("the new generation is not read")
				}
				e.stop()
				e = b.start(s)
				if got := e.awaitLive(100); got.Generation != s.Generation() || got.Events != 0 {
					t.Errorf("after a restart: %+v", got)
				}
				time.Sleep(time.Minute) // of the bubble
				want := []string{s.Generation()}
				if keep > 0 {
					want = append(want, former)
				}
				slices.Sort(want)
				if got := b.store.Generations("p"); !slices.Equal(got, want) {
					t.Errorf("generations %v, want %v", got, want)
				}
			})
		})
	}
}

// gated is a ledger that also writes the key "changed" and waits before some events, as
// often as the gate is passed.
func gated(name string, gate chan struct{}, before ...uint64) *enginetest.Module {
	return enginetest.FuncModule(name, func(e abi.Record, st guest.State) error {
		time.Sleep(time.Second) // of the bubble: there is a commit after each batch
		if slices.Contains(before, e.Sequence) {
			<-gate
		}
		if err := st.Put([]byte("changed"), []byte("yes")); err != nil {
			return err
		}
		return ledger(e, st)
	})
}

// Live is not enough: what is read does not go back while commits are under way.
func TestTakesOverWhatIsCommitted(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(50)
		e := b.start(spec(ledgerModule))
		e.awaitLive(50)
		e.stop()
		s := spec(ledgerModuleAs("changed"))
		gate := make(chan struct{})
		b.keyspace(s).Refuse = func(c state.Commit) error {
			if c.Checkpoint.Position.Sequence > 0 {
				<-gate
			}
			return nil
		}
		e = b.start(s)
		e.awaitState(engine.Live)
		time.Sleep(time.Minute) // of the bubble
		if got := e.status(); got.Building == "" || got.Candidate.Position != 0 {
			t.Errorf("status %+v", got)
		}
		e.wantLedger(1, 50)
		close(gate)
		e.await("the new one", func(s engine.Status) bool { return s.Building == "" })
		e.wantLedger(1, 50)
	})
}

// One that is taken back before it took over leaves nothing behind for readers.
func TestChangeTakenBack(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(20)
		e := b.start(spec(ledgerModule))
		e.awaitLive(20)
		e.stop()
		never := enginetest.FuncModule("never", func(abi.Record, guest.State) error { return enginetest.Refuse("never") })
		e = b.start(spec(never))
		s := e.await("a halt", func(s engine.Status) bool { return s.Candidate.State == engine.Halted })
		if s.State != engine.Live || s.Position != 20 || s.Candidate.Failing != 1 {
			t.Errorf("status %+v", s)
		}
		e.wantLedger(1, 20)
		e.stop()
		b.append(5)
		e = b.start(spec(ledgerModule))
		if s := e.awaitLive(25); s.Events != 5 || s.Building != "" {
			t.Errorf("status %+v", s)
		}
		e.wantLedger(1, 25)
	})
}

// A changed projection begins where its first generation did: "new" does not mean
// today what it meant then.
func TestChangedProjectionKeepsItsOrigin(t *testing.T) {
	for name, start := range map[string]func() engine.Start{
		"new":  func() engine.Start { return engine.Start{New: true} },
		"time": func() engine.Start { return engine.Start{Time: time.Date(2000, 1, 1, 0, 0, 10, 0, time.UTC)} },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				b.append(9)
				with := func(s *engine.Spec) { s.Start = start() }
				e := b.start(spec(ledgerModule, with))
				e.awaitLive(9)
				b.append(20)
				e.awaitLive(29)
				e.wantLedger(10, 29)
				e.stop()
				e = b.start(spec(ledgerModuleAs("changed"), with))
				e.await("the new one", func(s engine.Status) bool { return s.Building == "" && s.State == engine.Live })
				e.wantLedger(10, 29)
				e.stop()
				// Of another stream it begins anew.
				b.server.Create("T")
				e = b.start(spec(ledgerModuleAs("changed"), with, func(s *engine.Spec) { s.Stream = "T" }))
				b.server.Append("T", "e.x", nil)
				e.await("the new one", func(s engine.Status) bool { return s.Building == "" && s.State == engine.Live })
			})
		})
	}
}

// AwaitEnd waits until the new generation is read, so that a run that ends then has
// done what it was for.
func TestAwaitEndOfChangedProjection(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(20)
		e := b.start(spec(ledgerModule))
		e.awaitLive(20)
		e.stop()
		s := spec(ledgerModuleAs("changed"))
		e = b.start(s)
		if err := e.AwaitEnd(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := e.status(); got.Generation != s.Generation() || got.Building != "" {
			t.Errorf("status %+v", got)
		}
	})
}

// A reading that was opened before a hand-over is good until it is closed.
func TestReadingSurvivesHandOver(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(20)
		former := spec(ledgerModule)
		e := b.start(former)
		e.awaitLive(20)
		e.stop()
		gone := b.keyspace(former)
		gate := make(chan struct{})
		e = b.start(spec(enginetest.FuncModule("changed", func(e abi.Record, st guest.State) error {
			<-gate
			return ledger(e, st)
		})))
		reading, err := e.Read("p")
		if err != nil {
			t.Fatal(err)
		}
		close(gate)
		e.await("the new one", func(s engine.Status) bool { return s.Building == "" })
		if n := gone.Closed(); n != 1 { // by the first engine
			t.Errorf("the former keyspace was closed %d times while it is read", n)
		}
		if _, ok, err := reading.Get([]byte("ledger")); !ok || err != nil {
			t.Errorf("the reading: %v, %v", ok, err)
		}
		reading.Close()
		reading.Close()
		if n := gone.Closed(); n != 2 {
			t.Errorf("the former keyspace was closed %d times", n)
		}
	})
}

// A keyspace that is damaged halts its projection; the others run.
func TestDamagedKeyspace(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(5)
		b.store.Damage("p")
		e := b.start(spec(ledgerModule), spec(ledgerModule, func(s *engine.Spec) { s.Name = "q" }))
		s := e.awaitState(engine.Halted)
		if !strings.Contains(s.Reason, state.ErrCorrupt.Error()) || !strings.Contains(s.Hint, "inspect --verify") {
			t.Errorf("status %+v", s)
		}
		if _, err := e.Read("p"); !errors.Is(err, state.ErrCorrupt) {
			t.Errorf("Read: %v", err)
		}
		if err := e.Pause("p"); !errors.Is(err, state.ErrCorrupt) {
			t.Errorf("Pause: %v", err)
		}
		err := e.AwaitEnd(t.Context())
		var stopped *engine.StoppedError
		if !errors.As(err, &stopped) || strings.Contains(err.Error(), "projection q") {
			t.Errorf("AwaitEnd: %v", err)
		}
		if s, err := e.Status("q"); err != nil || s.State != engine.Live || s.Position != 5 {
			t.Errorf("the other one: %+v, %v", s, err)
		}
	})
}

// What a projection's state is a function of makes its generation; bounds and
// policies do not.
func TestGenerationIdentity(t *testing.T) {
	base := spec(ledgerModule)
	same := spec(ledgerModuleAs("ledger"), func(s *engine.Spec) { s.Batch.Events, s.Window, s.Cache = 1, time.Minute, 7 })
	if base.Generation() != same.Generation() {
		t.Error("bounds make another generation")
	}
	for what, change := range map[string]func(s *engine.Spec){
		"module":   func(s *engine.Spec) { s.Module = ledgerModuleAs("other") },
		"settings": func(s *engine.Spec) { s.Settings = []byte(`{"a":1}`) },
		"stream":   func(s *engine.Spec) { s.Stream = "T" },
		"subjects": func(s *engine.Spec) { s.Subjects = []string{"a.>"} },
		"key":      func(s *engine.Spec) { s.Key = "subject:1" },
		"start":    func(s *engine.Spec) { s.Start = engine.Start{New: true} },
	} {
		changed := spec(ledgerModule, change)
		if changed.Generation() == base.Generation() {
			t.Errorf("another %s makes no other generation", what)
		}
	}
}

// A projection whose lease is lost stops, committed, and goes on when it has the
// lease again.
func TestLease(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		leases := &turnstile{free: make(chan chan struct{})}
		b.leaser = leases
		e := b.start(spec(ledgerModule))
		b.append(5)
		if s := e.status(); s.Applied != 0 {
			t.Errorf("applied %d without a lease", s.Applied)
		}
		lost := make(chan struct{})
		leases.free <- lost
		e.awaitLive(5)
		close(lost)
		time.Sleep(time.Minute) // of the bubble
		b.append(5)
		time.Sleep(time.Minute)
		e.wantLedger(1, 5)
		leases.free <- make(chan struct{})
		e.awaitLive(10)
		e.wantLedger(1, 10)
	})
}

// turnstile gives a lease for each channel that it gets, and takes it back when
// the channel is closed.
type turnstile struct{ free chan chan struct{} }

func (l *turnstile) Acquire(ctx context.Context, _ string) (engine.Lease, error) {
	select {
	case lost := <-l.free:
		return lease(lost), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type lease chan struct{}

func (l lease) Token() uint64         { return 1 }
func (l lease) Lost() <-chan struct{} { return l }
func (l lease) Release()              {}

// A rebuild begins anew in a keyspace of its own while what was there is read, follows
// the stream, and takes over; also after a restart in between, and a second time.
func TestRebuild(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(50)
		gate := make(chan struct{})
		var hold atomic.Bool
		m := enginetest.FuncModule("ledger", func(e abi.Record, st guest.State) error {
			if hold.Load() {
				time.Sleep(time.Second) // of the bubble: there is a commit after each batch
				if e.Sequence == 20 {
					<-gate
				}
			}
			return ledger(e, st)
		})
		small := func(s *engine.Spec) { s.Batch.Events = 10 }
		e := b.start(spec(m, small))
		first := e.awaitLive(50).Generation
		hold.Store(true)
		if err := e.Rebuild(t.Context(), "p"); err != nil {
			t.Fatal(err)
		}
		s := e.await("events applied", func(s engine.Status) bool { return s.Candidate.Position >= 10 && s.Candidate.Position < 50 })
		if s.Generation != first || s.Building == "" || s.Building == first || s.Position != 50 {
			t.Errorf("status %+v", s)
		}
		e.wantLedger(1, 50)
		second := s.Building
		gate <- struct{}{}
		hold.Store(false)
		if s := e.await("the new one", func(s engine.Status) bool { return s.Building == "" }); s.Generation != second {
			t.Errorf("status %+v", s)
		}
		e.awaitLive(50)
		e.wantLedger(1, 50)
		e.stop()

		b.append(5)
		e = b.start(spec(m, small))
		if s := e.awaitLive(55); s.Generation != second || s.Start != 50 {
			t.Errorf("after a restart: %+v", s)
		}
		for range 2 { // the first of them is overtaken by the second
			if err := e.Rebuild(t.Context(), "p"); err != nil {
				t.Fatal(err)
			}
		}
		e.wantLedger(1, 55)
		e.await("the new one", func(s engine.Status) bool { return s.Building == "" && s.Generation != second })
		b.append(1)
		e.awaitLive(56)
		e.wantLedger(1, 56)
	})
}

// A rebuild begins with what is left of the stream, also where a projection was to begin
// with an event that is gone.
func TestRebuildFromWhatIsLeft(t *testing.T) {
	for _, start := range []uint64{0, 4, 20} {
		inBubble(t, func(t *testing.T, b *bench) {
			b.append(20)
			with := func(s *engine.Spec) { s.Start = engine.Start{Sequence: start} }
			e := b.start(spec(ledgerModule, with))
			e.awaitLive(20)
			e.stop()
			b.append(20)
			b.server.Purge(streamName, 31)
			e = b.start(spec(ledgerModule, with))
			e.awaitState(engine.Diverged)
			if err := e.Rebuild(t.Context(), "p"); err != nil {
				t.Fatal(err)
			}
			e.await("the new one", func(s engine.Status) bool { return s.Building == "" && s.State == engine.Live })
			e.wantLedger(31, 40)
		})
	}
}

// A paused projection that is rebuilt stays paused, and one that cannot be found is not.
func TestRebuildPaused(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(5)
		e := b.start(spec(ledgerModule))
		e.awaitLive(5)
		if err := e.Pause("p"); err != nil {
			t.Fatal(err)
		}
		if err := e.Rebuild(t.Context(), "p"); err != nil {
			t.Fatal(err)
		}
		e.awaitState(engine.Paused)
		e.wantLedger(1, 5)
		if err := e.Resume("p"); err != nil {
			t.Fatal(err)
		}
		e.await("the new one", func(s engine.Status) bool { return s.Building == "" && s.State == engine.Live })
		e.wantLedger(1, 5)
		if err := e.Rebuild(t.Context(), "none"); !errors.Is(err, engine.ErrNoProjection) {
			t.Error(err)
		}
	})
}
