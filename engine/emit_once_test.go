package engine_test

import (
	"sync/atomic"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// What waits to be published when another history of the stream is accepted is published:
// it was caused by events that were applied.
func TestWaitingOutlivesAcceptance(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		inEmitBubble(t, func(t *testing.T, b *bench) {
			b.append(2)
			e := b.start(emitting("herald", herald))
			e.drained(2)
			b.outlet.Break(func([]streams.Message) enginetest.Fault { return enginetest.Lost })
			b.append(3)
			e.await("trouble", func(s engine.Status) bool { return s.Position == 5 && s.Emits.Trouble != "" })
			b.server.Create(streamName)
			b.append(7)
			e.awaitState(engine.Diverged)
			if _, err := e.Accept(t.Context(), "p", "a test"); err != nil {
				t.Fatal(err)
			}
			e.awaitLive(7)
			if restarts {
				e.stop()
				e = b.start(emitting("herald", herald))
			}
			b.outlet.Break(nil)
			e.drained(7)
			b.wantHerald(1, 7)
		})
	}
}

// What is known to be published is not published again after a stop, though the target stream
// has passed it on and forgotten it: however the projection stood.
func TestPublishedIsDone(t *testing.T) {
	for _, c := range []struct {
		what string
		end  func(e *running)
	}{
		{"a stop right after it", func(*running) {}},
		{"a halt", func(e *running) {
			e.bench.server.Append(streamName, "e.bad", nil)
			e.awaitState(engine.Halted)
		}},
		{"a pause", func(e *running) {
			if err := e.Pause("p"); err != nil {
				e.t.Fatal(err)
			}
			e.awaitState(engine.Paused)
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			inEmitBubble(t, func(t *testing.T, b *bench) {
				b.outlet.Window = 0
				f := func(e abi.Record, st guest.State) error {
					if string(e.Subject) == "e.bad" {
						return enginetest.Refuse("no")
					}
					return herald(e, st)
				}
				b.append(3)
				e := b.start(emitting("herald", f))
				e.await("published", func(s engine.Status) bool { return s.Position == 3 && s.Emits.Published == 6 })
				c.end(e)
				e.stop()
				b.server.Purge(targetStream, 7)
				e = b.start(emitting("herald", f))
				if err := e.Resume("p"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute) // of the bubble
				for _, m := range b.emitted() {
					t.Errorf("published again is %s", m.Data)
				}
			})
		})
	}
}

// A relay that is slower than the module holds it up, and no more: the projection does not stand
// aside, its instance goes on, and everything is emitted in order.
func TestSlowRelay(t *testing.T) {
	inEmitBubble(t, func(t *testing.T, b *bench) {
		b.append(200)
		instances := 0
		s := emitting("herald", herald, func(s *engine.Spec) { s.Outbox.Rows, s.Batch.Events = 20, 7 })
		s.Module.(*enginetest.Module).Open = func([]byte) { instances++ }
		var e atomic.Pointer[running]
		b.outlet.Break(func([]streams.Message) enginetest.Fault {
			time.Sleep(10 * time.Millisecond) // of the bubble
			if r := e.Load(); r != nil && r.status().State == engine.Stalled {
				t.Errorf("stalled: %s", r.status().Reason)
			}
			return enginetest.NoFault
		})
		e.Store(b.start(s))
		e.Load().drained(200)
		b.wantHerald(1, 200)
		if instances > 1 {
			t.Errorf("%d instances were made", instances)
		}
	})
}
