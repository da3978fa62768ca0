package engine_test

import (
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/sdk/abi"
)

// slowly is a guest that takes a while for each event; a bubble's clock passes it.
func slowly(each time.Duration) *enginetest.Module {
	return enginetest.FuncModule("slowly", func(e abi.Record, st guest.State) error {
		time.Sleep(each)
		return ledger(e, st)
	})
}

// wantLeft holds what a status says is left against what is, to a tenth.
func wantLeft(t *testing.T, s engine.Status, each time.Duration) {
	t.Helper()
	got := time.Duration(s.LeftMs) * time.Millisecond
	want := time.Duration(s.StreamLast-s.Applied) * each
	if d := (got - want).Abs(); d > want/10+each {
		t.Errorf("at %d of %d: %v left, want about %v", s.Applied, s.StreamLast, got, want)
	}
}

// While a projection catches up its status says how long that still takes, however
// long a call of the guest is: what is behind, at the present pace.
func TestTimeLeft(t *testing.T) {
	for _, c := range []struct {
		name  string
		each  time.Duration
		batch int
	}{
		{"single events", 50 * time.Millisecond, 1},
		{"batches", 50 * time.Millisecond, 10},
		{"batches that take longer than is averaged over", time.Second, 20},
		{"batches that take so long that it counts as stalled", time.Second, 50},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				b.append(200)
				e := b.start(spec(slowly(c.each), func(s *engine.Spec) { s.Batch.Events = c.batch }))
				var known int
				e.await("live", func(s engine.Status) bool {
					if s.LeftMs > 0 {
						known++
						wantLeft(t, s, c.each)
						if s.State != engine.CatchingUp {
							t.Errorf("%s, and %d ms left", s.State, s.LeftMs)
						}
					}
					return s.State == engine.Live
				})
				if known == 0 {
					t.Error("it was never known")
				}
				if s := e.status(); s.LeftMs != 0 {
					t.Errorf("live, and %d ms left", s.LeftMs)
				}
			})
		})
	}
}

// What a projection passes over, because it is not its own, is no work that is left.
func TestTimeLeftOfFewSubjects(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(1000)
		with := func(s *engine.Spec) {
			s.Batch.Events = 40
			s.Filter = tenth()
		}
		e := b.start(spec(slowly(time.Second), with))
		s := e.await("a time left", func(s engine.Status) bool { return s.LeftMs > 0 })
		wantLeft(t, s, time.Second/10)
	})
}

// tenth picks every tenth event, whatever its subject.
func tenth() func([]byte) bool {
	n := 0
	return func([]byte) bool { n++; return n%10 == 0 }
}

// Only a projection that catches up has time left, and only once its pace is known and
// as long as the source answers.
func TestTimeLeftUnknown(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		large := make([]byte, 1<<20) // so that not all of them are read ahead
		for range 60 {
			b.server.Append(streamName, "e.x", large)
		}
		m := enginetest.FuncModule("slow", func(abi.Record, guest.State) error { time.Sleep(time.Second); return nil })
		e := b.start(spec(m))
		if s := e.awaitState(engine.CatchingUp); s.LeftMs != 0 {
			t.Errorf("before the first event: %d ms left", s.LeftMs)
		}
		e.await("a time left", func(s engine.Status) bool { return s.LeftMs > 0 })
		b.server.SetDown(true)
		s := e.await("a reason", func(s engine.Status) bool { return s.Reason != "" })
		if s.LeftMs != 0 || s.State != engine.CatchingUp || s.Behind == 0 {
			t.Errorf("%s, %d behind because of %q, and %d ms left", s.State, s.Behind, s.Reason, s.LeftMs)
		}
		b.server.SetDown(false)
		e.await("a time left", func(s engine.Status) bool { return s.LeftMs > 0 })
		if err := e.Pause("p"); err != nil {
			t.Fatal(err)
		}
		if s := e.awaitState(engine.Paused); s.LeftMs != 0 || s.Behind == 0 {
			t.Errorf("paused, %d behind, and %d ms left", s.Behind, s.LeftMs)
		}
	})
}

// What a trimmed stream no longer holds is passed over at once, and says nothing of
// the pace.
func TestTimeLeftOfTrimmedStream(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(5000)
		b.server.Purge(streamName, 4900)
		e := b.start(spec(slowly(time.Second), func(s *engine.Spec) { s.Batch.Events = 2 }))
		s := e.await("a time left", func(s engine.Status) bool { return s.LeftMs > 0 })
		wantLeft(t, s, time.Second)
	})
}
