package engine_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/catalog"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// swaps lets code take over the state that there is.
func swaps(schema int) func(*engine.Spec) {
	return func(s *engine.Spec) { s.OnChange, s.Schema, s.Batch.Events = engine.SwapCode, schema, 10 }
}

// What a declaration asks for follows from what changed, and the plan says why.
func TestPlans(t *testing.T) {
	other := ledgerModuleAs("other")
	migrates := *other
	migrates.Migrate = func(int, guest.State) error { return nil }
	for name, tt := range map[string]struct {
		first, then engine.Spec
		want        engine.Action
		why         string
	}{
		"nothing":          {spec(ledgerModule), spec(ledgerModule), engine.ActNothing, ""},
		"another limit":    {spec(ledgerModule), spec(ledgerModule, func(s *engine.Spec) { s.Batch.Events = 3 }), engine.ActAdjust, "are the same"},
		"another module":   {spec(ledgerModule), spec(other), engine.ActRebuild, "the module changed, from"},
		"other settings":   {spec(ledgerModule), spec(ledgerModule, func(s *engine.Spec) { s.Settings = []byte(`{"a":1}`) }), engine.ActRebuild, "the settings changed"},
		"another source":   {spec(ledgerModule), spec(ledgerModule, func(s *engine.Spec) { s.Subjects = []string{"e.>"} }), engine.ActRebuild, "subjects"},
		"swap":             {spec(ledgerModule, swaps(1)), spec(other, swaps(1)), engine.ActSwap, "the module changed"},
		"swap of settings": {spec(ledgerModule, swaps(1)), spec(ledgerModule, swaps(1), func(s *engine.Spec) { s.Settings = []byte(`{"a":1}`) }), engine.ActSwap, "the settings changed"},
		"another source, though it swaps": {spec(ledgerModule, swaps(1)), spec(other, swaps(1), func(s *engine.Spec) { s.Key = "subject:1" }),
			engine.ActRebuild, "no swap: it reads other events"},
		"a higher schema":                  {spec(ledgerModule, swaps(1)), spec(&migrates, swaps(2)), engine.ActSwap, "from schema 1 to 2"},
		"a higher schema, without migrate": {spec(ledgerModule, swaps(1)), spec(other, swaps(2)), engine.ActRebuild, "does not export migrate"},
		"a lower schema":                   {spec(ledgerModule, swaps(2)), spec(other, swaps(1)), engine.ActRebuild, "is of schema 2, and the module declares 1"},
		"memory instead of keys":           {spec(ledgerModule, swaps(1)), spec(remembers(), swaps(1)), engine.ActRebuild, "in its own memory"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				b.append(5)
				e := b.start(tt.first)
				e.awaitLive(5)
				if plan := e.declare(tt.then); plan.Action != tt.want || !strings.Contains(plan.Why, tt.why) {
					t.Errorf("plan %+v, want %s: %s", plan, tt.want, tt.why)
				}
				e.await("the end", func(s engine.Status) bool { return s.Candidate == nil && s.State == engine.Live && s.Position == 5 })
			})
		})
	}
}

// Limits and policies change in place: the same state, no event twice or left out.
func TestAdjusted(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		e := b.start(spec(ledgerModule))
		for i := range 20 {
			b.append(7)
			e.declare(spec(ledgerModule, func(s *engine.Spec) { s.Batch.Events = i + 1 }))
		}
		e.awaitLive(140)
		e.wantLedger(1, 140)
		if n := len(b.store.Generations("p")); n != 1 {
			t.Errorf("%d generations", n)
		}
	})
}

// Code is exchanged between two events: each event is seen by exactly one version, state
// and position stay, readers never see it go back, and modules that nobody uses are given
// back. After a restart the newest runs.
func TestSwap(t *testing.T) {
	for _, memory := range []bool{false, true} {
		t.Run(fmt.Sprintf("memory %v", memory), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				var open atomic.Int32
				version := func(n int) *enginetest.Module {
					open.Add(1)
					rule := func(e abi.Record, st guest.State) error {
						return st.Put(fmt.Appendf(nil, "by/%d", e.Sequence), fmt.Appendf(nil, "%d", n))
					}
					m := enginetest.FuncModule(fmt.Sprint("version ", n), func(e abi.Record, st guest.State) error {
						return errors.Join(rule(e, st), ledger(e, st))
					})
					if memory {
						m.New = func() enginetest.Guest { return &remembersToo{rule: rule} }
					}
					m.Closed = func() { open.Add(-1) }
					return m
				}
				b.append(5)
				e := b.start(spec(version(0), swaps(1)))
				first := e.awaitLive(5).Generation
				for n := 1; n <= 30; n++ {
					if plan := e.declare(spec(version(n), swaps(1))); plan.Action != engine.ActSwap {
						t.Fatalf("plan %+v", plan)
					}
					b.append(3)
					if n%10 == 0 {
						e.stop()
						b.append(1)
						e = b.start(spec(version(n), swaps(1)))
					}
				}
				e.awaitLive(98)
				e.wantLedger(1, 98)
				if memory {
					e.wantCounts(98)
				}
				state, _ := e.content()
				last := "0"
				for seq := 1; seq <= 98; seq++ {
					by := state[fmt.Sprintf("by/%d", seq)]
					if len(by) < len(last) || len(by) == len(last) && by < last {
						t.Fatalf("event %d was seen by version %s, the one before by %s", seq, by, last)
					}
					last = by
				}
				if s := e.status(); s.Generation != first || last != "30" || s.Module != version(30).Digest() {
					t.Errorf("the last was seen by %s; status %+v", last, s)
				}
				if n := open.Load(); n > 4 { // the running one, the one above, and those of engines that were stopped
					t.Errorf("%d modules are still open", n)
				}
			})
		})
	}
}

// remembersToo is a guest that counts its events in its own memory, beside a rule.
type remembersToo struct {
	rememberer
	rule enginetest.Func
}

func (g *remembersToo) Event(e abi.Record, st guest.State) error {
	return errors.Join(g.rememberer.Event(e, st), g.rule(e, st))
}

// A module that declares a higher schema rewrites the state first, in one commit; one that
// fails at that, or writes more than one commit takes, changes nothing, and what ran goes on.
func TestMigrate(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(20)
		first := spec(ledgerModule, swaps(1))
		b.limit(first, state.TxLimit{Writes: 60, Bytes: 1 << 20})
		e := b.start(first)
		e.awaitLive(20)
		rewrite := func(fails bool) func(int, guest.State) error {
			return func(from int, st guest.State) error {
				if from != 1 {
					return enginetest.Refuse("from schema %d", from)
				}
				var keys [][]byte
				err := st.Scan([]byte("event/"), nil, func(k, _ []byte) bool { keys = append(keys, append([]byte{}, k...)); return true })
				for _, k := range keys {
					err = errors.Join(err, st.Delete(k), st.Put(append([]byte("v2/"), k...), []byte("moved")))
				}
				if fails {
					return enginetest.Refuse("no")
				}
				return err
			}
		}
		bad, good := ledgerModuleAs("bad"), ledgerModuleAs("good")
		bad.Migrate, good.Migrate = rewrite(true), rewrite(false)
		before, _ := e.content()
		if _, err := e.Declare(t.Context(), spec(bad, swaps(2))); err == nil || !strings.Contains(err.Error(), "what ran goes on") || !strings.Contains(err.Error(), "from schema 1 to 2") {
			t.Errorf("declared: %v", err)
		}
		large := ledgerModuleAs("large")
		large.Migrate = func(_ int, st guest.State) error {
			for i := range 61 {
				if err := st.Put(fmt.Appendf(nil, "large/%d", i), []byte("v")); err != nil {
					return err
				}
			}
			return nil
		}
		if _, err := e.Declare(t.Context(), spec(large, swaps(2))); err == nil || !strings.Contains(err.Error(), "the limit is 60 keys or 1048576 bytes; have the state built anew") {
			t.Errorf("declared: %v", err)
		}
		if after, _ := e.content(); len(after) != len(before) || e.status().Module != ledgerModule.Digest() {
			t.Errorf("after migrations that failed: %v", after)
		}
		b.append(1)
		e.awaitLive(21)
		e.wantLedger(1, 21)
		e.declare(spec(good, swaps(2)))
		state, at := e.content()
		if at != 21 || state["v2/event/7"] != "moved" || state["event/7"] != "" {
			t.Errorf("at %d: %v", at, state)
		}
		b.append(1)
		e.awaitLive(22)
		e.stop()
		e = b.start(spec(good, swaps(2)))
		e.awaitLive(22)
		e.wantLedger(1, 22)
		changes := b.catalog.Projection("p").Changes
		if last := changes[len(changes)-1]; last.Kind != catalog.Migrated || last.Sequence != 21 {
			t.Errorf("history %+v", changes)
		}
	})
}

// A module that was exchanged at the event where its projection was halted lets it go on.
func TestSwapMendsAHalt(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(20)
		e := b.start(spec(enginetest.FuncModule("bad", func(e abi.Record, st guest.State) error {
			if e.Sequence == 12 {
				return enginetest.Refuse("no")
			}
			return ledger(e, st)
		}), swaps(1)))
		e.awaitState(engine.Halted)
		e.declare(spec(ledgerModuleAs("mended"), swaps(1)))
		e.awaitLive(20)
		e.wantLedger(1, 20)
	})
}

// A projection that is no longer declared stops and is still read; declared again it goes
// on. Its data goes only when it is removed, which it cannot be while it is declared.
func TestWithdrawAndRemove(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(5)
		e := b.start(spec(ledgerModule))
		e.awaitLive(5)
		if err := e.Remove(t.Context(), "p"); !errors.Is(err, engine.ErrDeclared) {
			t.Errorf("removed while it is declared: %v", err)
		}
		if err := e.Withdraw(t.Context(), "p", "it is no longer declared"); err != nil {
			t.Fatal(err)
		}
		b.append(5)
		time.Sleep(time.Minute) // of the bubble
		if s := e.status(); s.State != engine.Stopped || !strings.Contains(s.Hint, "engine remove p") {
			t.Errorf("status %+v", s)
		}
		e.wantLedger(1, 5)
		e.declare(spec(ledgerModule))
		e.awaitLive(10)
		e.wantLedger(1, 10)
		if err := errors.Join(e.Withdraw(t.Context(), "p", "it is no longer declared"), e.Withdraw(t.Context(), "p", "it is no longer declared"), e.Remove(t.Context(), "p")); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Status("p"); !errors.Is(err, engine.ErrNoProjection) {
			t.Errorf("status: %v", err)
		}
		if all := b.store.Generations("p"); len(all) > 0 {
			t.Errorf("generations %v", all)
		}
		e.declare(spec(ledgerModule))
		e.awaitLive(10)
		e.wantLedger(1, 10)
	})
}

// What was refused is in the status, and what ran before goes on, also after a restart.
func TestRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(5)
		e := b.start(spec(ledgerModule))
		e.awaitLive(5)
		refuse := func() {
			t.Helper()
			if err := e.Refuse(t.Context(), "p", errors.New("module p.wasm is cut off")); err != nil {
				t.Fatal(err)
			}
		}
		refuse()
		b.append(5)
		if s := e.awaitLive(10); s.Refused != "module p.wasm is cut off" {
			t.Errorf("status %+v", s)
		}
		e.stop()
		e = b.start()
		refuse()
		b.append(5)
		e.awaitLive(15)
		e.wantLedger(1, 15)
		e.declare(spec(ledgerModule))
		if s := e.awaitLive(15); s.Refused != "" {
			t.Errorf("status %+v", s)
		}
		if err := e.Refuse(t.Context(), "q", errors.New("never")); err != nil {
			t.Fatal(err)
		}
		if s, err := e.Status("q"); err != nil || s.State != engine.Halted || s.Reason != "never" {
			t.Errorf("one that never ran: %+v, %v", s, err)
		}
		if _, err := e.Read("q"); !errors.Is(err, engine.ErrNotReady) {
			t.Errorf("read: %v", err)
		}
	})
}

// A process that is killed between a migration and the note of it does not have the older
// module run on the state that was migrated: it is read, and the newer module goes on.
func TestKilledBetweenMigrationAndItsNote(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(10)
		e := b.start(spec(ledgerModule, swaps(1)))
		e.awaitLive(10)
		before := b.catalog.Projection("p")
		newer := ledgerModuleAs("newer")
		newer.Migrate = func(int, guest.State) error { return nil }
		e.declare(spec(newer, swaps(2)))
		e.awaitLive(10)
		e.stop()
		err := b.catalog.Update("p", func(r *catalog.Record) error { *r = before; return nil })
		if err != nil {
			t.Fatal(err)
		}
		b.append(5)
		e = b.start()
		if err := e.Refuse(t.Context(), "p", errors.New("cut off")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // of the bubble
		if s := e.status(); s.State != engine.Stopped || s.Position != 10 || !strings.Contains(s.Reason, "migrated to schema 2") {
			t.Errorf("status %+v", s)
		}
		e.declare(spec(newer, swaps(2)))
		e.awaitLive(15)
		e.wantLedger(1, 15)
	})
}
