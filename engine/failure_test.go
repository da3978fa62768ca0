package engine_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/internal/testutil"
	"gnomon/sdk/abi"
)

// A guest that fails at an event halts its projection right there: everything
// before is committed and read, whatever batch the event came in.
func TestHaltsAtTheEvent(t *testing.T) {
	for _, events := range []int{1, 3, 100} {
		t.Run(fmt.Sprint(events, " events in a batch"), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				b.append(20)
				poison := enginetest.FuncModule("poison", func(e abi.Record, st guest.State) error {
					if err := ledger(e, st); err != nil || e.Sequence != 13 {
						return err
					}
					return enginetest.Refuse("thirteen is unlucky")
				})
				e := b.start(spec(poison, func(s *engine.Spec) { s.Batch.Events = events }))
				s := e.awaitState(engine.Halted)
				if want := "event 13: apply returned an error: thirteen is unlucky"; s.Reason != want || s.Hint == "" {
					t.Errorf("reason %q, want %q; hint %q", s.Reason, want, s.Hint)
				}
				if s.Position != 12 || s.Failures == 0 {
					t.Errorf("status %+v", s)
				}
				e.wantLedger(1, 12)
				if ready, reasons := e.Ready(); ready || !strings.Contains(reasons[0], "halted at 12 of 20") {
					t.Errorf("ready %v, %v", ready, reasons)
				}
			})
		})
	}
}

// A halted projection is tried anew after a pause, and a mended one goes on from
// the state before.
func TestTriesAgainAfterAPause(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(10)
		broken := true
		e := b.start(spec(enginetest.FuncModule("mended", func(e abi.Record, st guest.State) error {
			if broken && e.Sequence == 4 {
				return enginetest.Refuse("not yet")
			}
			return ledger(e, st)
		})))
		e.awaitState(engine.Halted)
		e.pause()
		e.awaitState(engine.Paused)
		broken = false
		e.resume()
		e.awaitLive(10)
		e.wantLedger(1, 10)
	})
}

func (r *running) pause() {
	r.t.Helper()
	if err := r.Pause("p"); err != nil {
		r.t.Fatal(err)
	}
}

func (r *running) resume() {
	r.t.Helper()
	if err := r.Resume("p"); err != nil {
		r.t.Fatal(err)
	}
}

// A paused projection stands still, is read, stays paused across a restart, and
// goes on when it is resumed.
func TestPause(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(5)
		e := b.start(spec(ledgerModule))
		e.awaitLive(5)
		e.pause()
		e.pause()
		s := e.awaitState(engine.Paused)
		if s.Reason == "" || s.Hint == "" {
			t.Errorf("status %+v", s)
		}
		b.append(5)
		e.wantLedger(1, 5)
		s = e.await("the stream's end", func(s engine.Status) bool { return s.StreamLast == 10 })
		if s.Behind != 5 {
			t.Errorf("behind %d", s.Behind)
		}
		e.stop()

		e = b.start(spec(ledgerModule))
		s = e.awaitState(engine.Paused)
		if s.Position != 5 || s.Hint != "resume it with: engine resume p" {
			t.Errorf("after a restart: %+v", s)
		}
		e.wantLedger(1, 5)
		if err := e.AwaitEnd(t.Context()); err == nil || !strings.Contains(err.Error(), "paused") {
			t.Errorf("AwaitEnd: %v", err)
		}
		e.resume()
		e.awaitLive(10)
		e.wantLedger(1, 10)
	})
}

// wide is a guest that writes some keys for each event.
func wide(keys int) *enginetest.Module {
	return enginetest.FuncModule(fmt.Sprint("wide", keys), func(e abi.Record, st guest.State) error {
		for i := range keys {
			if err := st.Put(fmt.Appendf(nil, "%d/%d", e.Sequence, i), []byte("v")); err != nil {
				return err
			}
		}
		return nil
	})
}

// Events whose writes do not fit one commit together are committed in parts; one
// that does not fit alone halts, and the limit is named.
func TestCommitLimit(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(50)
		s := spec(wide(7))
		b.limit(s, state.TxLimit{Writes: 40, Bytes: 1 << 20})
		e := b.start(s)
		e.awaitLive(50)
		if state, _ := e.content(); len(state) != 350 {
			t.Errorf("%d keys, want 350", len(state))
		}
	})
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(3)
		s := spec(wide(41))
		b.limit(s, state.TxLimit{Writes: 40, Bytes: 1 << 20})
		e := b.start(s)
		got := e.awaitState(engine.Halted)
		if !strings.HasPrefix(got.Reason, "event 1: ") || !strings.Contains(got.Reason, "the limit is 40 keys or 1048576 bytes") {
			t.Errorf("reason %q", got.Reason)
		}
		if got.Position != 0 || got.Keys != 0 {
			t.Errorf("status %+v", got)
		}
	})
}

// limit sets what a commit of a projection's keyspace can hold.
func (b *bench) limit(s engine.Spec, limit state.TxLimit) { b.keyspace(s).Max = limit }

func (b *bench) keyspace(s engine.Spec) *enginetest.Keyspace {
	b.t.Helper()
	ks, err := b.store.Open(b.t.Context(), s.Name, s.Generation(), true)
	if err != nil {
		b.t.Fatal(err)
	}
	return ks.(*enginetest.Keyspace)
}

// A guest with a small buffer gets its batches cut to it; an event that is larger
// than the buffer halts, with both sizes.
func TestSmallBuffer(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(100)
		small := ledgerModuleAs("small")
		small.Buffer = 143 // one byte short of three records
		e := b.start(spec(small))
		e.awaitLive(100)
		e.wantLedger(1, 100)
		if s := e.status(); s.Failures != 1 {
			t.Errorf("%d batches were rolled back to learn the size, want 1", s.Failures)
		}
		b.server.Append(streamName, "e.large", make([]byte, 500))
		s := e.awaitState(engine.Halted)
		if !strings.HasPrefix(s.Reason, "event 101: ") || !strings.Contains(s.Reason, "143 bytes for ") {
			t.Errorf("reason %q", s.Reason)
		}
		e.wantLedger(1, 100)
	})
}

// A commit that fails is tried again, and the projection stalled meanwhile; nothing that
// was applied after it is committed either, though it could be, and nothing is lost.
func TestCommitFails(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(10)
		applied, once := make(chan struct{}), sync.Once{}
		m := enginetest.FuncModule("ahead", func(e abi.Record, st guest.State) error {
			if e.Sequence == 15 {
				once.Do(func() { close(applied) })
			}
			return ledger(e, st)
		})
		s := spec(m)
		var room atomic.Bool
		b.keyspace(s).Refuse = func(c state.Commit) error {
			if c.Checkpoint.Position.Sequence != 11 || room.Load() {
				return nil
			}
			<-applied
			return errors.New("no space left on device")
		}
		e := b.start(s)
		e.awaitLive(10)
		b.append(5)
		got := e.awaitState(engine.Stalled)
		if got.Reason != "commit at 11: no space left on device" || !strings.Contains(got.Hint, "room") || got.Position != 10 {
			t.Errorf("status %+v", got)
		}
		e.wantLedger(1, 10)
		room.Store(true)
		e.awaitLive(15)
		e.wantLedger(1, 15)
		if state, _ := e.content(); len(state) != 16 {
			t.Errorf("%d keys, want 16", len(state))
		}
	})
}

// An engine that starts while the server is away waits for it, serves what it has,
// and goes on when the server is back.
func TestServerAway(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.server.SetDown(true)
		e := b.start(spec(ledgerModule))
		s := e.await("a reason", func(s engine.Status) bool { return s.Reason != "" })
		if s.State != engine.Starting || !strings.Contains(s.Reason, "unreachable") {
			t.Errorf("status %+v", s)
		}
		if _, err := e.Read("p"); !errors.Is(err, engine.ErrNotReady) {
			t.Errorf("Read: %v", err)
		}
		b.server.SetDown(false)
		b.append(10)
		e.awaitLive(10)

		b.server.SetDown(true)
		s = e.await("not live", func(s engine.Status) bool { return s.State != engine.Live })
		if s.State != engine.CatchingUp || !strings.Contains(s.Reason, "unreachable") && !strings.Contains(s.Reason, "connection lost") {
			t.Errorf("status %+v", s)
		}
		e.wantLedger(1, 10)
		b.append(10)
		time.Sleep(10 * time.Minute) // of the bubble
		b.server.SetDown(false)
		s = e.awaitLive(20)
		if s.Reason != "" {
			t.Errorf("reason %q stays", s.Reason)
		}
		e.wantLedger(1, 20)
	})
}

// What was applied is committed when the server goes away, however long the window.
func TestOutageCommits(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(500)
		gate := make(chan struct{})
		m := enginetest.FuncModule("ledger", func(e abi.Record, st guest.State) error {
			if e.Sequence == 250 {
				<-gate
			}
			return ledger(e, st)
		})
		e := b.start(spec(m, func(s *engine.Spec) { s.Batch.Events, s.Window = 10, 1000*time.Hour }))
		e.await("the gate", func(s engine.Status) bool { return s.Applied >= 240 })
		b.server.SetDown(true)
		close(gate)
		s := e.await("a commit", func(s engine.Status) bool { return s.Position >= 250 })
		e.wantLedger(1, s.Position)
		b.server.SetDown(false)
		e.awaitLive(500)
		e.wantLedger(1, 500)
	})
}

// A call of the guest that does not come to an end is called stalled, with its events.
func TestEndlessCall(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		gate := make(chan struct{})
		e := b.start(spec(enginetest.FuncModule("endless", func(e abi.Record, st guest.State) error {
			<-gate
			return nil
		})))
		e.awaitLive(0)
		b.append(3)
		s := e.awaitState(engine.Stalled)
		if !strings.HasPrefix(s.Reason, "the module has been at work on events 1 to ") || !strings.Contains(s.Hint, "loops") {
			t.Errorf("status %+v", s)
		}
		if ready, _ := e.Ready(); ready {
			t.Error("ready")
		}
		close(gate)
		e.awaitLive(3)
	})
}

// What a slow guest has done with a part of a large batch is committed as time goes by.
func TestSlowGuestCommits(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		for range 1000 {
			b.server.Append(streamName, "e.x", nil)
		}
		slow := enginetest.FuncModule("slow", func(e abi.Record, st guest.State) error {
			time.Sleep(time.Second) // of the bubble
			return ledger(e, st)
		})
		e := b.start(spec(slow, func(s *engine.Spec) { s.Batch.Events = 10 }))
		s := e.await("a commit", func(s engine.Status) bool { return s.Position > 0 })
		if s.Applied > 50 || s.State != engine.CatchingUp {
			t.Errorf("the first commit came at %+v", s)
		}
		began := time.Now()
		e.stop()
		if took := time.Since(began); took > time.Minute {
			t.Errorf("it took %s to stop", took)
		}
	})
}

// A stream that does not exist yet is waited for.
func TestStreamMissing(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		e := b.start(spec(ledgerModule, func(s *engine.Spec) { s.Stream = "LATER" }))
		s := e.await("a reason", func(s engine.Status) bool { return s.Reason != "" })
		if s.State != engine.Starting || !strings.Contains(s.Reason, "stream not found: LATER") {
			t.Errorf("status %+v", s)
		}
		b.server.Create("LATER")
		b.server.Append("LATER", "e.x", nil)
		e.awaitLive(1)
	})
}

// A reader that is lost is made anew at the next event, as often as it takes.
func TestReaderLost(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(100)
		e := b.start(spec(ledgerModule, func(s *engine.Spec) { s.Batch.Events = 3 }))
		for n := uint64(100); n < 200; n += 10 {
			b.server.LoseReaders()
			b.append(10)
			e.awaitLive(n + 10)
		}
		e.wantLedger(1, 200)
	})
}

// A reader that is silent although there is more is called stalled, and replaced.
func TestStalled(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(10)
		e := b.start(spec(ledgerModule))
		e.awaitLive(10)
		b.server.SetSilent(true)
		b.append(1)
		began := time.Now()
		s := e.awaitState(engine.Stalled)
		if waited := time.Since(began); waited > 2*time.Minute {
			t.Errorf("noticed after %s", waited)
		}
		if !strings.Contains(s.Reason, "after 10") || s.Hint == "" || s.Behind != 1 {
			t.Errorf("status %+v", s)
		}
		if ready, _ := e.Ready(); ready {
			t.Error("ready while stalled")
		}
		b.server.SetSilent(false)
		e.awaitLive(11)
		e.wantLedger(1, 11)
	})
}

// With nothing to read a projection is live, for as long as it lasts.
func TestNothingToRead(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		e := b.start(spec(ledgerModule))
		e.awaitLive(0)
		for range 60 {
			time.Sleep(time.Minute) // of the bubble
			if s := e.status(); s.State != engine.Live {
				t.Fatalf("status %+v", s)
			}
		}
		b.append(1)
		e.awaitLive(1)
	})
}

// Events that were deleted are passed over, at the end of the stream too.
func TestDeletedEvents(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(20)
		for _, seq := range []uint64{3, 4, 19, 20} {
			b.server.Delete(streamName, seq)
		}
		e := b.start(spec(ledgerModule))
		s := e.awaitLive(20)
		if s.Behind != 0 {
			t.Errorf("behind %d", s.Behind)
		}
		e.wantLedger(1, 20, 3, 4, 19, 20)
		if err := e.AwaitEnd(t.Context()); err != nil {
			t.Error(err)
		}
		// The anchor of what was read last may be deleted too.
		b.server.Delete(streamName, 18)
		b.server.LoseReaders()
		b.append(1)
		e.awaitLive(21)
		e.wantLedger(1, 21, 3, 4, 19, 20)
	})
}

// A state that would grow past its quota halts the projection with limit, value and
// setting; what was committed before stays, and a raised limit lets it go on.
func TestQuota(t *testing.T) {
	for want, quota := range map[string]state.Quota{
		"12 keys: the limit is 10 (projection.limits.keys)":     {Keys: 10},
		"120 bytes: the limit is 100 (projection.limits.state)": {Bytes: 100},
	} {
		inBubble(t, func(t *testing.T, b *bench) {
			b.append(9)
			m := enginetest.FuncModule("grows", func(e abi.Record, st guest.State) error {
				return st.Put(fmt.Appendf(nil, "%04d", e.Sequence), []byte("123456"))
			})
			s := spec(m, func(s *engine.Spec) { s.Quota = quota })
			e := b.start(s)
			e.awaitLive(9)
			e.stop()
			b.append(3)
			e = b.start(s)
			got := e.awaitState(engine.Halted)
			if !strings.Contains(got.Reason, "events 10 to 12 would make the state "+want) || !strings.Contains(got.Hint, "raise the limit") || got.Keys != 9 {
				t.Errorf("%+v, want %s", got, want)
			}
			e.stop()
			s.Quota = state.Quota{Keys: 12, Bytes: 120}
			e = b.start(s)
			if got := e.awaitLive(12); got.Keys != 12 {
				t.Errorf("%+v", got)
			}
		})
	}
}

// A call that runs out of fuel with several events is run again event by event: an event
// that never ends is found when the budget was used up twice.
func TestOutOfFuel(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(100)
		m := ledgerModuleAs("fuelled")
		m.Fuel = 15
		e := b.start(spec(m))
		s := e.awaitLive(100)
		e.wantLedger(1, 100)
		if s.Failures != 1 {
			t.Errorf("%d batches were rolled back, want 1", s.Failures)
		}
	})
}

// The log warns of each event that failed once: that its batch was halved to find it is for
// those who look closer.
func TestWarnsOncePerEvent(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(40)
		odd := enginetest.FuncModule("odd", func(e abi.Record, st guest.State) error {
			if e.Sequence%10 == 3 {
				return enginetest.Refuse("ends in three")
			}
			return ledger(e, st)
		})
		var log testutil.Log
		b.log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		e := b.start(spec(odd, func(s *engine.Spec) { s.OnError = engine.Skip }))
		e.awaitLive(40)
		warnings, rolledBack := strings.Count(log.String(), "level=WARN"), strings.Count(log.String(), "batch rolled back")
		for _, seq := range []int{3, 13, 23, 33} {
			if n := strings.Count(log.String(), fmt.Sprintf(`msg="event failed" projection=p generation=%s sequence=%d `, e.status().Generation, seq)); n != 1 {
				t.Errorf("%d warnings of event %d", n, seq)
			}
		}
		if warnings != 4 || rolledBack == 0 {
			t.Errorf("%d warnings and %d batches rolled back, of 4 events that fail:\n%s", warnings, rolledBack, log.String())
		}
	})
}
