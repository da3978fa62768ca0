package engine_test

import (
	"errors"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/catalog"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/sdk/abi"
)

// byHand lets a candidate take over only when an operator says so, and keeps what was
// read before for an hour.
func byHand(s *engine.Spec) {
	s.AutoPromote, s.KeepPrevious, s.Batch.Events = engine.PromoteByHand, time.Hour, 10
}

// A candidate waits for an operator; then it is read, and the one that was read follows
// on, so that it can be gone back to with its own state, as of now. After keep_previous it
// is removed.
func TestPromoteAndRollback(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(20)
		e := b.start(spec(ledgerModule, byHand))
		first := e.awaitLive(20).Generation
		for what, err := range map[string]error{"promote": second(e.Promote(t.Context(), "p")), "rollback": second(e.Rollback(t.Context(), "p"))} {
			if !errors.Is(err, engine.ErrNoGeneration) {
				t.Errorf("%s without one: %v", what, err)
			}
		}
		changed := spec(enginetest.FuncModule("changed", func(e abi.Record, st guest.State) error {
			return errors.Join(st.Put([]byte("changed"), []byte("yes")), ledger(e, st))
		}), byHand)
		e.declare(changed)
		e.await("a candidate", func(s engine.Status) bool { return s.Candidate.State == engine.Live })
		time.Sleep(time.Hour) // of the bubble
		if s := e.status(); s.Generation != first || s.Candidate.Auto || s.Candidate.Position != 20 {
			t.Errorf("status %+v", s)
		}
		is := func(generation string, to uint64, want bool) {
			t.Helper()
			e.await("the end", func(s engine.Status) bool { return s.Position == to })
			e.wantLedger(1, to)
			if state, _ := e.content(); (state["changed"] == "yes") != want || e.status().Generation != generation {
				t.Errorf("at %d changed is %q of %s", to, state["changed"], e.status().Generation)
			}
		}
		b.append(5)
		is(first, 25, false)
		for what, err := range map[string]error{"promote": second(e.PromoteTo(t.Context(), "p", first)), "rollback": second(e.RollbackTo(t.Context(), "p", first))} {
			if want := map[string]error{"promote": engine.ErrOtherGeneration, "rollback": engine.ErrNoGeneration}[what]; !errors.Is(err, want) {
				t.Errorf("%s to the one that is read: %v, want %v", what, err, want)
			}
		}
		if err := second(e.PromoteTo(t.Context(), "p", "gone")); !errors.Is(err, engine.ErrOtherGeneration) || !strings.Contains(err.Error(), changed.Generation()) || !strings.Contains(err.Error(), "gone") {
			t.Errorf("another one: %v", err)
		}
		is(first, 25, false)
		done, err := e.PromoteTo(t.Context(), "p", changed.Generation())
		if err != nil || done.From != first || done.To != changed.Generation() || done.Sequence != 25 {
			t.Fatalf("promoted %+v, %v", done, err)
		}
		is(changed.Generation(), 25, true)
		b.append(5)
		is(changed.Generation(), 30, true)
		if err := second(e.RollbackTo(t.Context(), "p", changed.Generation())); !errors.Is(err, engine.ErrOtherGeneration) {
			t.Errorf("back to another one: %v", err)
		}
		if done, err = e.RollbackTo(t.Context(), "p", first); err != nil || done.To != first || done.Sequence != 30 {
			t.Fatalf("rolled back %+v, %v", done, err)
		}
		is(first, 30, false)
		b.append(5)
		is(first, 35, false)

		// A restart changes nothing, and the candidate follows.
		e.stop()
		b.append(5)
		e = b.start(changed)
		is(first, 40, false)
		e.await("the candidate", func(s engine.Status) bool { return s.Candidate != nil && s.Candidate.Position == 40 })
		if _, err := e.Promote(t.Context(), "p"); err != nil {
			t.Fatal(err)
		}
		is(changed.Generation(), 40, true)
		if s := e.status(); s.Previous.ID != first || !s.Previous.Until.After(time.Now()) {
			t.Errorf("previous %+v", s.Previous)
		}
		time.Sleep(2 * time.Hour) // of the bubble
		if s := e.status(); s.Previous != nil || len(b.store.Generations("p")) != 1 {
			t.Errorf("status %+v, generations %v", s, b.store.Generations("p"))
		}
		var kinds []catalog.ChangeKind
		for _, c := range b.catalog.Projection("p").Changes {
			kinds = append(kinds, c.Kind)
		}
		want := []catalog.ChangeKind{catalog.Created, catalog.Created, catalog.Promoted, catalog.RolledBack, catalog.Promoted, catalog.Discarded}
		if len(kinds) != len(want) || kinds[3] != want[3] || kinds[5] != want[5] {
			t.Errorf("history %v", kinds)
		}
	})
}

// While events come all the time, a comparison shows both generations at one sequence, and
// a promotion is one instant for readers: never a mix, never backwards.
func TestPromoteUnderLoad(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(100)
		slow := func(name string, step time.Duration) *enginetest.Module {
			return enginetest.FuncModule(name, func(e abi.Record, st guest.State) error {
				time.Sleep(step) // of the bubble
				return errors.Join(st.Put([]byte("by"), []byte(name)), ledger(e, st))
			})
		}
		e := b.start(spec(slow("one", 70*time.Millisecond), byHand))
		e.awaitLive(100)
		e.declare(spec(slow("two", 110*time.Millisecond), byHand))
		e.await("the candidate", func(s engine.Status) bool { return s.Candidate.State == engine.Live })
		var ended atomic.Bool
		over := make(chan struct{})
		defer func() {
			ended.Store(true)
			<-over
			time.Sleep(time.Second) // of the bubble
		}()
		go func() {
			defer close(over)
			for !ended.Load() {
				time.Sleep(130 * time.Millisecond) // of the bubble
				b.server.Append(streamName, "e.x", []byte("data"))
			}
		}()
		go func() {
			last := uint64(0)
			for !ended.Load() {
				state, at := e.content()
				if n := uint64(len(strings.Fields(state["ledger"]))); at < last || n != at {
					t.Errorf("at %d after %d there are %d events in it", at, last, n)
				}
				last = at
				time.Sleep(17 * time.Millisecond)
			}
		}()
		for range 4 {
			time.Sleep(time.Second) // of the bubble
			c, err := e.Compare(t.Context(), "p")
			if err != nil {
				t.Fatal(err)
			}
			live, candidate := rowsOf(t, c.Live), rowsOf(t, c.Candidate)
			if live["by"] == candidate["by"] || c.Sequence < 100 {
				t.Errorf("at %d both are by %s", c.Sequence, live["by"])
			}
			delete(live, "by")
			delete(candidate, "by")
			if !maps.Equal(live, candidate) {
				t.Errorf("at %d %v and %v", c.Sequence, live["ledger"], candidate["ledger"])
			}
			c.Close()
			if _, err := e.Promote(t.Context(), "p"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)                                                             // of the bubble
			if _, err := e.Compare(t.Context(), "p"); !errors.Is(err, engine.ErrNoGeneration) { // it is the previous one now
				t.Errorf("compared: %v", err)
			}
			if _, err := e.Rollback(t.Context(), "p"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func rowsOf(t *testing.T, r *engine.Reading) map[string]string {
	t.Helper()
	rows := map[string]string{}
	if err := r.Scan(nil, nil, func(k, v []byte) bool { rows[string(k)] = string(v); return true }); err != nil {
		t.Fatal(err)
	}
	return rows
}

// One that has not caught up is not promoted, nor compared: nothing changes.
func TestPromoteOneThatIsBehind(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(50)
		e := b.start(spec(ledgerModule, byHand))
		first := e.awaitLive(50).Generation
		gate := make(chan struct{})
		e.declare(spec(gated("changed", gate, 20), byHand))
		e.await("its first events", func(s engine.Status) bool { return s.Candidate.Position >= 10 })
		for what, err := range map[string]error{"promote": second(e.Promote(t.Context(), "p")), "compare": second(e.Compare(t.Context(), "p"))} {
			if !errors.Is(err, engine.ErrBehind) || !strings.Contains(err.Error(), "50 is read") {
				t.Errorf("%s: %v", what, err)
			}
		}
		b.append(1)
		e.awaitLive(51)
		if s := e.status(); s.Generation != first {
			t.Errorf("status %+v", s)
		}
		close(gate)
	})
}

// With "equal" a candidate takes over by itself if its state is the one that is read, and
// waits for an operator otherwise.
func TestPromoteWhenEqual(t *testing.T) {
	for name, tt := range map[string]struct {
		module *enginetest.Module
		equal  bool
	}{
		"equal":  {ledgerModuleAs("equal"), true},
		"differ": {gated("differ", nil), false},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				with := func(s *engine.Spec) { byHand(s); s.AutoPromote = engine.PromoteWhenEqual }
				b.append(20)
				e := b.start(spec(ledgerModule, with))
				e.awaitLive(20)
				s := spec(tt.module, with)
				e.declare(s)
				if err := e.AwaitEnd(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Hour / 2) // of the bubble
				if got := e.status(); (got.Generation == s.Generation()) != tt.equal || (got.Candidate == nil) != tt.equal {
					t.Errorf("status %+v", got)
				}
				if !tt.equal {
					if _, err := e.Promote(t.Context(), "p"); err != nil || e.status().Generation != s.Generation() {
						t.Errorf("promoted by hand: %v", err)
					}
				}
			})
		})
	}
}

// Reads of NAME@candidate and NAME@previous are those of the generation.
func TestReadByRole(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(5)
		e := b.start(spec(ledgerModule, byHand))
		e.awaitLive(5)
		changed := spec(gated("changed", nil), byHand)
		e.declare(changed)
		e.await("a candidate", func(s engine.Status) bool { return s.Candidate.State == engine.Live && s.Candidate.Position == 5 })
		r, err := e.Read("p@candidate")
		if err != nil {
			t.Fatal(err)
		}
		if rowsOf(t, r)["changed"] != "yes" || r.Generation != changed.Generation() {
			t.Errorf("read %s", r.Generation)
		}
		r.Close()
		for _, name := range []string{"p@previous", "p@old", "p@"} {
			if _, err := e.Read(name); !errors.Is(err, engine.ErrNoGeneration) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
