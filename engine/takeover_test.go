package engine_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/sdk/abi"
)

// waiting is a ledger that waits before some events, and refuses one.
func waiting(name string, refuses uint64, gates map[uint64]chan struct{}) *enginetest.Module {
	return enginetest.FuncModule(name, func(e abi.Record, st guest.State) error {
		if gate := gates[e.Sequence]; gate != nil {
			<-gate
		}
		if e.Sequence == refuses {
			return enginetest.Refuse("no")
		}
		return ledger(e, st)
	})
}

// What is read does not go back, when it halts while a candidate that is a little behind
// comes to take over: the candidate goes on until it is there, or does not take over.
func TestPromotionWhileTheLiveOneHalts(t *testing.T) {
	for _, c := range []struct {
		name    string
		refuses uint64 // by the candidate
	}{{"the candidate gets there", 0}, {"the candidate halts on the way", 21}} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				live, candidate := make(chan struct{}), make(chan struct{})
				single := func(s *engine.Spec) { s.Batch.Events = 1 }
				b.append(19)
				e := b.start(spec(waiting("live", 22, map[uint64]chan struct{}{22: live}), byHand, single))
				e.awaitLive(19)
				e.declare(spec(waiting("candidate", c.refuses, map[uint64]chan struct{}{20: candidate}), byHand, single))
				e.await("the candidate", func(s engine.Status) bool { return s.Candidate != nil && s.Candidate.State == engine.Live })
				b.append(3)
				e.await("21", func(s engine.Status) bool { return s.Position == 21 })
				type answer struct {
					engine.Promotion
					err error
				}
				answers := make(chan answer, 1)
				go func() {
					p, err := e.Promote(t.Context(), "p")
					answers <- answer{p, err}
				}()
				synctest.Wait() // it waits for the candidate
				close(live)
				e.awaitState(engine.Halted)
				close(candidate)
				got := <-answers
				if c.refuses == 0 && (got.err != nil || got.Sequence != 21) || c.refuses > 0 && !errors.Is(got.err, engine.ErrBehind) {
					t.Errorf("%+v", got)
				}
				if s := e.status(); s.Position < 21 {
					t.Errorf("what is read went back to %d", s.Position)
				}
			})
		})
	}
}

// A change in place that is overtaken by a new module holds, though that one cannot be
// started: what it put in place of is given back, and is not used again.
func TestSwapFailsAfterAChangeInPlace(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		var closed atomic.Bool
		gate := make(chan struct{})
		first := waiting("ledger", 0, map[uint64]chan struct{}{21: gate})
		first.Closed = func() { closed.Store(true) }
		first.Open = func([]byte) {
			if closed.Load() {
				t.Error("an instance is made of a module that was given back")
			}
		}
		b.append(20)
		e := b.start(spec(first, swaps(1)))
		e.awaitLive(20)
		b.append(1)
		e.declare(spec(ledgerModuleAs("ledger"), swaps(1), func(s *engine.Spec) { s.Batch.Events = 7 }))
		broken := &trouble{}
		broken.begin("instance", 1)
		failed := make(chan error, 1)
		go func() {
			_, err := e.Declare(t.Context(), spec(troubledModule{ledgerModuleAs("other"), broken}, swaps(1)))
			failed <- err
		}()
		synctest.Wait() // both wait for the event under way
		close(gate)
		if err := <-failed; err == nil {
			t.Error("a module that cannot be started was taken")
		}
		b.append(4)
		e.awaitLive(25)
		e.wantLedger(1, 25)
		if !closed.Load() {
			t.Error("the first module is still held")
		}
	})
}
