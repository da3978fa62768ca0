package engine_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/sdk/abi"
)

// What is declared is not removed, also when its declaration is refused since the start.
func TestZZRemoveRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(5)
		e := b.start(spec(ledgerModule))
		e.awaitLive(5)
		e.stop()
		e = b.start()
		if err := e.Refuse(t.Context(), "p", errors.New("the module is broken")); err != nil {
			t.Fatal(err)
		}
		e.awaitLive(5)
		if err := e.Remove(t.Context(), "p"); !errors.Is(err, engine.ErrDeclared) {
			t.Errorf("removed: %v", err)
		}
	})
}

// What was withdrawn before the last start is removed.
func TestZZRemoveUndeclared(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(5)
		e := b.start(spec(ledgerModule))
		e.awaitLive(5)
		e.stop()
		e = b.start()
		if err := e.Remove(t.Context(), "p"); err != nil || len(b.store.Generations("p")) != 0 {
			t.Errorf("removed: %v, %v", err, b.store.Generations("p"))
		}
		if err := e.Remove(t.Context(), "p"); !errors.Is(err, engine.ErrNoProjection) {
			t.Errorf("removed again: %v", err)
		}
	})
}

// A live generation that does not come to a stop leaves the candidate behind: nothing is an error of the engine's own.
func TestZZMeetInVain(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(20)
		gate := make(chan struct{})
		one := enginetest.FuncModule("one", func(e abi.Record, st guest.State) error {
			if e.Sequence == 21 {
				<-gate
			}
			return ledger(e, st)
		})
		e := b.start(spec(one, byHand))
		e.awaitLive(20)
		e.declare(spec(ledgerModuleAs("two"), byHand))
		e.await("the candidate", func(s engine.Status) bool { return s.Candidate.State == engine.Live })
		b.append(1)
		e.await("the candidate", func(s engine.Status) bool { return s.Candidate.Position == 21 })
		if _, err := e.Promote(t.Context(), "p"); !errors.Is(err, engine.ErrBehind) {
			t.Errorf("promoted: %v", err)
		}
		close(gate)
	})
}

// The way out of a halted candidate is about the candidate.
func TestZZHint(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(5)
		e := b.start(spec(ledgerModule, byHand))
		e.awaitLive(5)
		e.declare(spec(enginetest.FuncModule("never", func(abi.Record, guest.State) error { return enginetest.Refuse("never") }), byHand))
		s := e.await("a halt", func(s engine.Status) bool { return s.Candidate.State == engine.Halted })
		if !strings.Contains(s.Candidate.Hint, "skip p@candidate 1") {
			t.Errorf("hint %q", s.Candidate.Hint)
		}
	})
}

// A reading of what is removed keeps it only until it ends.
func TestZZRemoveWhileRead(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(5)
		e := b.start(spec(ledgerModule, byHand))
		e.awaitLive(5)
		if err := e.Withdraw(t.Context(), "p", "gone"); err != nil {
			t.Fatal(err)
		}
		r, err := e.Read("p")
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Remove(t.Context(), "p"); err != nil {
			t.Fatal(err)
		}
		r.Close()
		time.Sleep(time.Minute)
		if g := b.store.Generations("p"); len(g) != 0 {
			t.Errorf("left: %v; record %+v", g, b.catalog.Projection("p"))
		}
	})
}

// Declared again while it is removed, it runs.
func TestZZDeclareWhileRemoved(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(5)
		e := b.start(spec(ledgerModule, byHand))
		e.awaitLive(5)
		for range 50 {
			if err := e.Withdraw(t.Context(), "p", "gone"); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- e.Remove(t.Context(), "p") }()
			e.declare(spec(ledgerModule, byHand))
			if err := <-done; err != nil && !errors.Is(err, engine.ErrDeclared) && !errors.Is(err, engine.ErrNoProjection) {
				t.Fatal(err)
			}
			if _, err := e.Status("p"); err != nil {
				t.Fatal(err)
			}
			e.awaitLive(5)
		}
	})
}
