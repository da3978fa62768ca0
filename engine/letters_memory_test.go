package engine_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// A guest with memory goes on, after a restart, with what was set aside, retried and
// dropped as it was.
func TestLettersAndMemory(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		mended := &atomic.Bool{}
		module := func() *enginetest.Module {
			return &enginetest.Module{Name: "remembers", New: func() enginetest.Guest { return &refuser{mended: mended} }}
		}
		b.append(25)
		s := spec(module(), func(s *engine.Spec) {
			s.OnError, s.Letters, s.Batch.Events = engine.DeadLetter, 10, 1
			s.MemorySnapshots = engine.MemoryPolicy{Events: 1000, Every: 1000 * time.Hour, Keep: 2}
		})
		e := b.start(s)
		e.awaitLive(25)
		e.wantLetters("7 dead  apply returned an error: not now", "14 dead  apply returned an error: not now", "21 dead  apply returned an error: not now")
		mended.Store(true)
		e.order(engine.RetryLetters, engine.Letters{Sequence: 14})
		e.order(engine.DropLetters, engine.Letters{Sequence: 21})
		e.stop()
		// No older memory is left, from which a replay would not know what was ordered.
		if ck, err := b.keyspace(s).Latest(); err != nil || len(ck.Memories) != 1 || ck.Memories[0].Version.Sequence() != 25 {
			t.Errorf("%+v, %v", ck.Memories, err)
		}
		b.append(1)
		e = b.start(s)
		e.awaitLive(26)
		e.wantLetters("7 dead  apply returned an error: not now")
		state, _ := e.content()
		if got := state["count/26"]; got != "24" { // without 7 and 21
			t.Errorf("the guest remembers %s events, want 24", got)
		}
	})
}

// refuser remembers as rememberer does, and refuses every seventh event.
type refuser struct {
	rememberer
	mended *atomic.Bool
}

func (r *refuser) Event(e abi.Record, st guest.State) error {
	if e.Sequence%7 == 0 && !r.mended.Load() {
		return enginetest.Refuse("not now")
	}
	return r.rememberer.Event(e, st)
}

// What an order did for a guest with memory is committed with its memory or not at all:
// the guest could not be brought back to it. When it fails to write that the order fails,
// and what was committed before it stays done.
func TestOrderWhoseSnapshotFails(t *testing.T) {
	for _, c := range []struct {
		verb  engine.Verb
		fails int64    // the snapshot after so many
		left  []string // letters afterwards
	}{
		{engine.RetryLetters, 0, []string{"7 dead", "14 dead", "21 dead"}},
		{engine.RetryLetters, 1, []string{"14 dead", "21 dead"}},
		{engine.RetryLetters, 3, []string{}}, // the last one of the order is of what is committed already
		{engine.DropLetters, 0, []string{"7 dead", "14 dead", "21 dead"}},
	} {
		inBubble(t, func(t *testing.T, b *bench) {
			mended, fails := &atomic.Bool{}, &atomic.Int64{}
			fails.Store(1000)
			m := shaky{&enginetest.Module{Name: "remembers", New: func() enginetest.Guest { return &refuser{mended: mended} }}, fails}
			s := spec(m, func(s *engine.Spec) {
				s.OnError, s.Letters = engine.DeadLetter, 10
				s.MemorySnapshots = engine.MemoryPolicy{Events: 1000, Every: 1000 * time.Hour, Keep: 2}
			})
			b.append(25)
			e := b.start(s)
			e.awaitLive(25)
			mended.Store(true)
			fails.Store(c.fails)
			if done, err := e.Order(t.Context(), "p", c.verb, engine.Letters{}); err == nil {
				t.Errorf("%s: %+v", c.verb, done)
			}
			e.awaitState(engine.Halted)
			e.stop()
			e = b.start(s)
			e.awaitLive(25)
			left := []string{}
			for _, l := range e.setAside() {
				left = append(left, fmt.Sprintf("%d %s", l.Sequence, l.Status))
			}
			if !slices.Equal(left, c.left) || e.status().Aside.Letters != int64(len(left)) {
				t.Errorf("%s, %d: %v are left, want %v; %+v", c.verb, c.fails, left, c.left, e.status().Aside)
			}
			b.append(1)
			e.awaitLive(26)
			if state, _ := e.content(); state["count/26"] != fmt.Sprint(26-len(left)) {
				t.Errorf("%s, %d: the guest remembers %s events, want %d", c.verb, c.fails, state["count/26"], 26-len(left))
			}
		})
	}
}

// A letter holds its event: that the stream deletes the event changes nothing about the
// letter, or about the queue behind it, though a guest with memory goes back to before it.
func TestLettersOfDeletedEvents(t *testing.T) {
	for _, name := range []string{"others come before it starts", "others come later"} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				mended := &atomic.Bool{}
				module := &enginetest.Module{Name: "remembers", New: func() enginetest.Guest { return &refuser{mended: mended} }}
				s := spec(module, func(s *engine.Spec) {
					s.OnError, s.Letters = engine.Quarantine, 10
					s.KeyOf = func(e abi.Record) []byte { return e.Subject[2:] }
					s.MemorySnapshots = engine.MemoryPolicy{Events: 1000, Every: 1000 * time.Hour, Keep: 2}
				})
				b.twoAccounts(5) // 7 fails, 9 waits behind it
				b.server.Append(streamName, "a.a", nil)
				e := b.start(s)
				e.awaitLive(11)
				letters := []string{"7 failed a apply returned an error: not now", "9 parked a", "11 parked a"}
				e.wantLetters(letters...)
				e.stop()
				ck, _ := b.keyspace(s).Latest()
				b.keyspace(s).DamageMemory(ck.Memories[0].Version)
				for _, seq := range []uint64{7, 9, 11} {
					b.server.Delete(streamName, seq)
				}
				if name == "others come later" {
					e = b.start(s)
					e.awaitLive(11)
					e.wantLetters(letters...)
					e.wantLedger(1, 11, 7, 9, 11)
				}
				b.server.Append(streamName, "a.b", nil)
				b.server.Append(streamName, "a.a", nil)
				if name == "others come before it starts" {
					e = b.start(s)
				}
				if s := e.awaitLive(13); s.Aside != (state.Aside{Letters: 4, Waiting: 4}) {
					t.Errorf("%+v", s.Aside)
				}
				e.wantLetters(append(letters, "13 parked a")...)
				e.wantLedger(1, 13, 7, 9, 11, 13)
				mended.Store(true)
				e.order(engine.RetryLetters, engine.Letters{})
				e.wantLetters()
			})
		})
	}
}
