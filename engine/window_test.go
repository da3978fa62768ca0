package engine_test

import (
	"fmt"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// A window whose keys are written again and again is not cut for being nearly full:
// what counts is how much it still grows.
func TestWindowIsFilled(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(5000)
		m := enginetest.FuncModule("few", func(e abi.Record, st guest.State) error {
			return st.Put(fmt.Appendf(nil, "%d", e.Sequence%35), []byte("v"))
		})
		s := spec(m, func(s *engine.Spec) { s.Batch.Events, s.Window = 2, time.Hour })
		b.limit(s, state.TxLimit{Writes: 40, Bytes: 1 << 20})
		if got := b.start(s).awaitLive(5000); got.Keys != 35 || got.Commits > 5 {
			t.Errorf("%d keys in %d commits, want 35 in a few", got.Keys, got.Commits)
		}
	})
}

// A batch that writes more than any before it outgrows the window: it is rolled back
// and gets one of its own, and nothing is lost or applied twice.
func TestWindowIsOutgrown(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(300)
		m := enginetest.FuncModule("bursts", func(e abi.Record, st guest.State) error {
			if e.Sequence%50 == 0 {
				for i := range 35 {
					if err := st.Put(fmt.Appendf(nil, "%d/%d", e.Sequence, i), []byte("v")); err != nil {
						return err
					}
				}
			}
			return ledger(e, st)
		})
		s := spec(m, func(s *engine.Spec) { s.Batch.Events, s.Window = 1, time.Hour })
		b.limit(s, state.TxLimit{Writes: 40, Bytes: 1 << 20})
		e := b.start(s)
		got := e.awaitLive(300)
		if got.Failures == 0 || got.Failures > 6 {
			t.Errorf("%d batches were rolled back, want one a burst at most", got.Failures)
		}
		e.wantLedger(1, 300)
		if state, _ := e.content(); len(state) != 1+300+6*35 {
			t.Errorf("%d keys, want %d", len(state), 1+300+6*35)
		}
	})
}

// A guest that takes long for an event gets few of them in a call, so that an order to
// stop does not wait for a whole batch.
func TestSlowGuestGetsFewEvents(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(300)
		m := enginetest.FuncModule("slow", func(e abi.Record, st guest.State) error {
			time.Sleep(time.Second) // of the bubble
			return ledger(e, st)
		})
		e := b.start(spec(m))
		e.await("a second batch", func(s engine.Status) bool { return s.Applied > 150 })
		began := time.Now()
		e.stop()
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("stopping took %s", took)
		}
	})
}
