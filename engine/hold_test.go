package engine_test

import (
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/sdk/abi"
)

func TestZZPauseWhileHeld(t *testing.T) {
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
		done := make(chan error, 1)
		go func() { _, err := e.Promote(t.Context(), "p"); done <- err }()
		time.Sleep(time.Second)
		if err := e.Pause("p"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		t.Log(e.status().Candidate)
		t.Log(<-done)
		close(gate)
		if err := e.Resume("p"); err != nil {
			t.Fatal(err)
		}
		e.awaitLive(21)
	})
}
