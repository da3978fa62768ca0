package engine_test

import (
	"errors"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/sdk/abi"
)

// A pause that comes while a promotion waits for a module that is slow over an event takes
// hold at once where it can, the promotion gives up with ErrBehind and changes nothing, and
// both generations go on when they are resumed.
func TestPauseDuringPromotion(t *testing.T) {
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
		read := e.awaitLive(20).Generation
		e.declare(spec(ledgerModuleAs("two"), byHand))
		e.await("the candidate", func(s engine.Status) bool { return s.Candidate.State == engine.Live })
		b.append(1)
		e.await("the candidate", func(s engine.Status) bool { return s.Candidate.Position == 21 })
		promoted := make(chan error, 1)
		go func() { promoted <- second(e.Promote(t.Context(), "p")) }()
		time.Sleep(time.Second) // of the bubble: the candidate stands still
		if err := e.Pause("p"); err != nil {
			t.Fatal(err)
		}
		e.await("the pause", func(s engine.Status) bool { return s.Candidate.State == engine.Paused })
		if err := <-promoted; !errors.Is(err, engine.ErrBehind) {
			t.Errorf("promote: %v, want %v", err, engine.ErrBehind)
		}
		close(gate)
		e.resume()
		s := e.awaitLive(21)
		e.wantLedger(1, 21)
		if s.Generation != read {
			t.Errorf("%s is read, and not %s", s.Generation, read)
		}
		e.await("the candidate", func(s engine.Status) bool { return s.Candidate.State == engine.Live })
	})
}

// A candidate that takes no more events amid an atomic batch, for it has emitted as much as
// may wait, takes over from one that has stopped: it stands still where it is.
func TestPromoteAmidAnAtomicBatch(t *testing.T) {
	inEmitBubble(t, func(t *testing.T, b *bench) {
		b.append(5)
		halts := func(e abi.Record, st guest.State) error {
			if e.Sequence == 6 {
				return enginetest.Refuse("not this one")
			}
			return herald(e, st)
		}
		e := b.start(emitting("halts", halts, byHand))
		e.drained(5)
		b.append(1)
		e.awaitState(engine.Halted)
		e.declare(emitting("goes on", herald, byHand, func(s *engine.Spec) { s.Outbox.Rows = 30 }))
		e.await("the candidate", func(s engine.Status) bool { return s.Candidate.State == engine.Live })
		for range 58 {
			b.appendAsOne(1, true)
			time.Sleep(10 * time.Millisecond) // of the bubble: it reads them one by one
		}
		b.appendAsOne(1, false)
		e.await("the candidate", func(s engine.Status) bool { return s.Candidate.State == engine.Stalled })
		if done, err := e.Promote(t.Context(), "p"); err != nil || done.Sequence <= 5 || done.Sequence >= 65 {
			t.Fatalf("promoted %+v, %v", done, err)
		}
		e.awaitLive(65)
		e.wantLedger(1, 65)
	})
}

// Two generations stand still for each other at the end of an atomic batch, also when that is
// an event that they do not take, with many more that were read behind it.
func TestCompareBetweenAtomicBatches(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		slow := func(name string) engine.Spec {
			m := enginetest.FuncModule(name, func(e abi.Record, st guest.State) error {
				time.Sleep(300 * time.Millisecond) // of the bubble
				return ledger(e, st)
			})
			return spec(m, byHand, func(s *engine.Spec) {
				s.Filter = func(subject []byte) bool { return string(subject) == "e.x" }
				s.Batch.Events, s.Window = 1000, time.Hour // no commit is due before
			})
		}
		b.appendAsOne(3, false)
		e := b.start(slow("one"))
		e.awaitLive(3)
		e.declare(slow("two"))
		e.await("the candidate", func(s engine.Status) bool { return s.Candidate.State == engine.Live })
		for range 100 {
			b.appendAsOne(3, false)
		}
		time.Sleep(time.Second) // of the bubble
		c, err := e.Compare(t.Context(), "p")
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		if c.Sequence%3 != 0 || c.Sequence >= b.last() {
			t.Errorf("they stand at %d", c.Sequence)
		}
		e.awaitLive(b.last())
	})
}
