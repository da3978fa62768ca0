package engine_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/state"
	"gnomon/engine/streams"
)

// A projection that is halted before an event goes on when an operator skips it, and
// the event stays on record. No other event can be skipped so.
func TestSkipOfHalted(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.twoAccounts(3)
		p := &picky{refuses: map[uint64]bool{4: true}}
		e := b.start(setsAside(p.module("picky"), engine.Halt))
		e.awaitState(engine.Halted)
		if _, err := e.Order(t.Context(), "p", engine.SkipLetters, engine.Letters{Sequence: 5}); !errors.Is(err, engine.ErrNoLetter) {
			t.Errorf("skip of another event: %v", err)
		}
		e.awaitState(engine.Halted)
		e.order(engine.SkipLetters, engine.Letters{Sequence: 4})
		s := e.awaitLive(6)
		e.wantLetters("4 skipped b apply returned an error: not 4")
		if s.Aside != (state.Aside{Skipped: 1, Letters: 1}) {
			t.Errorf("%+v", s.Aside)
		}
		if state := e.applied(); state["a"] != "1 3 5 " || state["b"] != "2 6 " {
			t.Errorf("applied %v", state)
		}
	})
}

// A skip that was answered is committed: it is on record after a restart, also when the
// next event halts the projection at once, in the same batch or in one of its own.
func TestSkipIsCommitted(t *testing.T) {
	for _, batch := range []int{1, 100} {
		inBubble(t, func(t *testing.T, b *bench) {
			b.twoAccounts(3)
			p := &picky{refuses: map[uint64]bool{4: true, 5: true}}
			s := setsAside(p.module("picky"), engine.Halt, func(s *engine.Spec) { s.Batch.Events = batch })
			e := b.start(s)
			e.awaitState(engine.Halted)
			if done := e.order(engine.SkipLetters, engine.Letters{Sequence: 4}); done.Done != 1 || done.Left != 1 {
				t.Errorf("%+v", done)
			}
			ck, err := b.keyspace(s).Latest()
			if err != nil || ck.Position.Sequence != 4 || ck.Aside != (state.Aside{Skipped: 1, Letters: 1}) {
				t.Errorf("when the order is answered the newest commit is %+v, %v", ck, err)
			}
			check := func() {
				t.Helper()
				if s := e.await("the second halt", func(s engine.Status) bool { return s.Failing == 5 }); s.Position != 4 {
					t.Errorf("%+v", s)
				}
				e.wantLetters("4 skipped b apply returned an error: not 4")
				if state := e.applied(); state["a"] != "1 3 " || state["b"] != "2 " {
					t.Errorf("applied %v", state)
				}
			}
			check()
			e.stop()
			e = b.start(s)
			check()
			e.order(engine.SkipLetters, engine.Letters{Sequence: 5})
			e.awaitLive(6)
			e.wantLetters("4 skipped b apply returned an error: not 4", "5 skipped a apply returned an error: not 5")
		})
	}
}

// A skip takes nothing with it: what comes before the event, and is not applied because
// it is set aside or none of the projection's, is committed with the halt.
func TestSkipAfterParked(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		for _, subject := range []string{"a.a", "a.a", "x.a", "a.a", "a.b"} {
			b.server.Append(streamName, subject, nil)
		}
		mine := func(s *engine.Spec) { s.Filter = func(subject []byte) bool { return subject[0] == 'a' } }
		p := &picky{refuses: map[uint64]bool{1: true, 5: true}}
		e := b.start(setsAside(p.module("picky"), engine.Quarantine, mine, func(s *engine.Spec) { s.Batch.Events = 1 }))
		e.awaitLive(5)
		e.order(engine.RetryLetters, engine.Letters{Sequence: 5})
		e.stop()

		b.server.Append(streamName, "a.a", nil) // 6: waits behind 1
		b.server.Append(streamName, "x.c", nil) // 7: of another projection
		b.server.Append(streamName, "a.c", nil) // 8: fails
		p.refuses[8] = true
		halts := setsAside(p.module("picky"), engine.Halt, mine)
		e = b.start(halts)
		s := e.awaitState(engine.Halted)
		if s.Failing != 8 || s.Position != 7 {
			t.Errorf("%+v", s)
		}
		e.order(engine.SkipLetters, engine.Letters{Sequence: 8})
		e.awaitLive(8)
		const not = "apply returned an error: not "
		e.wantLetters("1 failed a "+not+"1", "2 parked a", "4 parked a", "5 failed b "+not+"5", "6 parked a", "8 skipped c "+not+"8")
	})
}

// A guest with memory that is halted can have the event skipped, though its newest
// memory is older and events are applied again first; and that stays so for the next
// engine.
func TestSkipWithMemory(t *testing.T) {
	for _, batch := range []int{1, 4, 100} {
		inBubble(t, func(t *testing.T, b *bench) {
			mended := &atomic.Bool{}
			s := spec(&enginetest.Module{Name: "remembers", New: func() enginetest.Guest { return &refuser{mended: mended} }}, func(s *engine.Spec) {
				s.Letters, s.Batch.Events = 10, batch
				s.MemorySnapshots = engine.MemoryPolicy{Events: 1000, Every: 1000 * time.Hour, Keep: 2}
			})
			b.append(25)
			e := b.start(s)
			for _, seq := range []uint64{7, 14, 21} {
				e.await("a halt", func(s engine.Status) bool { return s.Failing == seq })
				e.order(engine.SkipLetters, engine.Letters{Sequence: seq})
				if seq == 14 {
					e.stop()
					e = b.start(s)
				}
			}
			check := func(last uint64, remembered string) {
				t.Helper()
				e.awaitLive(last)
				const not = " skipped  apply returned an error: not now"
				e.wantLetters("7"+not, "14"+not, "21"+not)
				e.wantLedger(1, last, 7, 14, 21)
				if state, _ := e.content(); state["count/25"] != remembered {
					t.Errorf("at 25 the guest remembers %s events, want %s", state["count/25"], remembered)
				}
			}
			check(25, "22")
			e.stop()
			ks := b.keyspace(s)
			ck, err := ks.Latest()
			if err != nil {
				t.Fatal(err)
			}
			ks.DamageMemory(ck.Memories[0].Version)
			b.append(1)
			e = b.start(s)
			check(26, "22")
		})
	}
}

// A skip that cannot be carried out is refused, and changes nothing: the projection is
// halted where it was.
func TestSkipRefused(t *testing.T) {
	halted := func(t *testing.T, b *bench, change ...func(*engine.Spec)) *running {
		b.twoAccounts(3)
		p := &picky{refuses: map[uint64]bool{4: true}}
		e := b.start(setsAside(p.module("picky"), engine.Halt, change...))
		e.awaitState(engine.Halted)
		return e
	}
	refused := func(e *running, want string) {
		e.t.Helper()
		if _, err := e.Order(e.t.Context(), "p", engine.SkipLetters, engine.Letters{Sequence: 4}); err == nil || !strings.Contains(err.Error(), want) {
			e.t.Errorf("%v, want %s", err, want)
		}
	}
	t.Run("the server is away", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *bench) {
			e := halted(t, b)
			b.server.SetDown(true)
			refused(e, streams.ErrSourceDown.Error())
			b.server.SetDown(false)
			if s := e.awaitState(engine.Halted); s.Failing != 4 || s.Position != 3 || s.Aside != (state.Aside{}) {
				t.Errorf("%+v", s)
			}
			e.order(engine.SkipLetters, engine.Letters{Sequence: 4})
			e.awaitLive(6)
		})
	})
	t.Run("too many are set aside", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *bench) {
			e := halted(t, b, func(s *engine.Spec) { s.Letters = 0 })
			refused(e, "event 4 cannot be set aside: 0 are, and the limit is 0 (projection.limits.dead_letters)")
			if s := e.awaitState(engine.Halted); s.Failing != 4 || s.Position != 3 {
				t.Errorf("%+v", s)
			}
		})
	})
	t.Run("the event is gone", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *bench) {
			e := halted(t, b)
			b.server.Delete(streamName, 4)
			refused(e, "event 4 is no longer in the stream: "+engine.ErrNoLetter.Error())
			e.awaitLive(6)
			e.wantLetters()
		})
	})
	t.Run("there is another event", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *bench) {
			e := halted(t, b)
			b.server.Rewind(streamName, 3)
			time.Sleep(time.Minute) // of the bubble
			b.twoAccounts(3)
			refused(e, "event 4 is not the one that failed")
			e.await("another halt", func(s engine.Status) bool { return s.Failing == 4 })
		})
	})
	t.Run("the history is another", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *bench) {
			e := halted(t, b)
			b.server.Rewind(streamName, 2)
			time.Sleep(time.Minute) // of the bubble
			b.twoAccounts(3)
			refused(e, "holds another event at sequence 3")
			e.awaitState(engine.Diverged)
		})
	})
	t.Run("the commit fails", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *bench) {
			b.twoAccounts(3)
			p := &picky{refuses: map[uint64]bool{4: true}}
			s := setsAside(p.module("picky"), engine.Halt)
			var full atomic.Bool
			b.keyspace(s).Refuse = func(state.Commit) error {
				if full.Load() {
					return errors.New("no space left on device")
				}
				return nil
			}
			e := b.start(s)
			e.awaitState(engine.Halted)
			full.Store(true)
			refused(e, "no space left on device")
			full.Store(false)
			e.await("the halt", func(s engine.Status) bool { return s.Failing == 4 })
			e.wantLetters()
			e.order(engine.SkipLetters, engine.Letters{Sequence: 4})
			e.awaitLive(6)
		})
	})
}
