package engine_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// rememberer counts its events in its own memory, and writes the count down for
// each of them: an event that is missing, or counted twice, shows.
type rememberer struct{ count int }

func (r *rememberer) Event(e abi.Record, st guest.State) error {
	r.count++
	if err := st.Put(fmt.Appendf(nil, "count/%d", e.Sequence), []byte(strconv.Itoa(r.count))); err != nil {
		return err
	}
	return ledger(e, st)
}

func (r *rememberer) Snapshot() [][]byte { return [][]byte{[]byte(strconv.Itoa(r.count)), {}} }

func (r *rememberer) Restore(blobs [][]byte) (err error) {
	if len(blobs) != 2 {
		return fmt.Errorf("%d blobs", len(blobs))
	}
	r.count, err = strconv.Atoi(string(blobs[0]))
	return err
}

func remembers() *enginetest.Module {
	return &enginetest.Module{Name: "remembers", New: func() enginetest.Guest { return new(rememberer) }}
}

// wantCounts checks the ledger and what the guest remembered at each event.
func (r *running) wantCounts(to uint64) {
	r.t.Helper()
	r.wantLedger(1, to)
	state, _ := r.content()
	for seq := uint64(1); seq <= to; seq++ {
		if got := state[fmt.Sprintf("count/%d", seq)]; got != fmt.Sprint(seq) {
			r.t.Fatalf("at event %d the guest remembered %s", seq, got)
		}
	}
}

// A guest's memory survives restarts: those in good order, and those that find only
// an older snapshot of it, after which the events since then are applied again.
func TestMemorySurvives(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(25)
		e := b.start(spec(remembers()))
		e.awaitLive(25)
		e.stop()
		e = b.start(spec(remembers()))
		s := e.awaitLive(25)
		if s.Start != 25 || s.Events != 0 {
			t.Errorf("after a restart in good order it went on at %d and applied %d", s.Start, s.Events)
		}
		e.wantCounts(25)
		b.append(5)
		e.awaitLive(30)
		e.wantCounts(30)
	})
}

// A failed batch leaves the memory half changed: the newest snapshot is restored
// and the events since then are applied again, while what is read never goes back.
func TestMemoryAfterFailure(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		poison := remembers()
		broken := true
		var e *running
		var seen uint64
		poison.New = func() enginetest.Guest {
			return &moody{broken: &broken, look: func() {
				time.Sleep(2 * time.Second) // of the bubble: there is a commit after each event
				if at := e.status().Position; at < seen {
					t.Errorf("what is read went back from %d to %d", seen, at)
				} else {
					seen = at
				}
			}}
		}
		e = b.start(spec(poison, func(s *engine.Spec) { s.Batch.Events, s.MemorySnapshots.Events = 1, 1000 }))
		b.append(27)
		s := e.awaitState(engine.Halted)
		if s.Position != 20 || !strings.HasPrefix(s.Reason, "event 21: ") {
			t.Errorf("status %+v", s)
		}
		e.wantCounts(20)
		broken = false
		e.pause()
		e.awaitState(engine.Paused)
		e.resume()
		s = e.awaitLive(27)
		if s.Events <= 27 {
			t.Errorf("applied %d in all: none of them twice, so nothing was restored", s.Events)
		}
		e.wantCounts(27)
	})
}

// moody refuses event 21 while it is broken.
type moody struct {
	rememberer
	broken *bool
	look   func()
}

func (m *moody) Event(e abi.Record, st guest.State) error {
	m.look()
	if err := m.rememberer.Event(e, st); err != nil || e.Sequence != 21 || !*m.broken {
		return err
	}
	return enginetest.Refuse("not in the mood")
}

// When the newest snapshot of a memory is damaged an older one is used; when none
// can be read the projection halts and says so.
func TestMemoryDamaged(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s := spec(remembers())
		e := b.start(s)
		for n := uint64(1); n <= 4; n++ {
			b.append(12)
			e.awaitLive(12 * n)
		}
		e.stop()
		ks := b.keyspace(s)
		ck, err := ks.Latest()
		if err != nil || len(ck.Memories) != 2 {
			t.Fatalf("%+v, %v: want two memory snapshots", ck.Memories, err)
		}
		ks.DamageMemory(ck.Memories[0].Version)
		e = b.start(s)
		e.awaitLive(48)
		if s := e.status(); s.Events != 48-ck.Memories[1].Version.Sequence() {
			t.Errorf("applied %d again, from %d on", s.Events, ck.Memories[1].Version.Sequence())
		}
		e.wantCounts(48)
		e.stop()

		if ck, err = ks.Latest(); err != nil {
			t.Fatal(err)
		}
		for _, m := range ck.Memories {
			ks.DamageMemory(m.Version)
		}
		e = b.start(s)
		got := e.awaitState(engine.Halted)
		if !strings.Contains(got.Reason, state.ErrCorrupt.Error()) || !strings.Contains(got.Hint, "inspect --verify") {
			t.Errorf("status %+v", got)
		}
		e.wantLedger(1, 48)
	})
}

// A memory snapshot that was dropped is not listed again when the newest one is damaged:
// the state that it belongs to is gone. The damaged one is listed, for a check to find,
// until a new one takes its place; the sound ones are kept then.
func TestMemoryDroppedStaysDropped(t *testing.T) {
	for _, c := range []struct {
		keep                  int
		before, behind, after string
	}{
		{2, "[20 15]", "[20 15]", "[22 15]"},
		{3, "[20 15 10]", "[20 15 10]", "[22 15 10]"},
		{9, "[20 15 10 5 0]", "[20 15 10 5 0]", "[22 15 10 5 0]"},
	} {
		inBubble(t, func(t *testing.T, b *bench) {
			s := spec(remembers(), func(s *engine.Spec) {
				s.MemorySnapshots = engine.MemoryPolicy{Events: 1000, Every: time.Hour, Keep: c.keep}
			})
			e := b.start(s)
			for range 4 {
				b.server.SetSilent(true)
				b.append(5)
				b.server.SetSilent(false)
				time.Sleep(2 * time.Hour) // of the bubble
			}
			b.wantMemories(s, c.before)
			e.stop()
			ck, _ := b.keyspace(s).Latest()
			b.keyspace(s).DamageMemory(ck.Memories[0].Version)
			e = b.start(s)
			b.append(2)
			e.awaitLive(22)
			b.wantMemories(s, c.behind)
			time.Sleep(2 * time.Hour) // of the bubble
			b.wantMemories(s, c.after)
			e.wantCounts(22)
		})
	}
}

// wantMemories checks which memory snapshots the newest commit lists.
func (b *bench) wantMemories(s engine.Spec, want string) {
	b.t.Helper()
	ck, err := b.keyspace(s).Latest()
	if err != nil {
		b.t.Fatal(err)
	}
	sequences := []uint64{}
	for _, m := range ck.Memories {
		sequences = append(sequences, m.Version.Sequence())
	}
	if got := fmt.Sprint(sequences); got != want {
		b.t.Errorf("kept are the memories at %s, want %s", got, want)
	}
}

// behindMemory is a stopped projection of 48 events whose newest memory snapshot is an
// older one, as after a crash.
func behindMemory(t *testing.T, b *bench) (s engine.Spec, memory uint64) {
	t.Helper()
	s = spec(remembers())
	e := b.start(s)
	for n := uint64(1); n <= 4; n++ {
		b.append(12)
		e.awaitLive(12 * n)
	}
	e.stop()
	ck, err := b.keyspace(s).Latest()
	if err != nil || len(ck.Memories) != 2 {
		t.Fatalf("%+v, %v: want two memory snapshots", ck.Memories, err)
	}
	b.keyspace(s).DamageMemory(ck.Memories[0].Version)
	return s, ck.Memories[1].Version.Sequence()
}

// When events were deleted that have to be applied again the state becomes the one
// without them: all of it, with its totals, and from one moment to the next.
func TestDeletedBeforeAppliedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s, memory := behindMemory(t, b)
		b.server.Delete(streamName, memory+2)
		e := b.start(s)
		e.await("applied", func(s engine.Status) bool { return s.State == engine.Live && s.Applied == 48 })
		e.wantLedger(1, 48, memory+2)
		b.append(2)
		e.awaitLive(50)
		e.wantLedger(1, 50, memory+2)
	})
}

// When events were trimmed that have to be applied again, the projection says so, and
// what it served before is still there.
func TestTrimmedBeforeAppliedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s, memory := behindMemory(t, b)
		b.server.Purge(streamName, memory+3)
		e := b.start(s)
		got := e.awaitState(engine.Diverged)
		if want := fmt.Sprintf("stream S begins at sequence %d, but %d is the next to apply", memory+3, memory+1); !strings.HasPrefix(got.Reason, want) {
			t.Errorf("reason %q, want %q", got.Reason, want)
		}
		e.wantCounts(48)
	})
}

// When the stream lost its tail, that is noticed before its events are applied again.
func TestTailLostBeforeAppliedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s, _ := behindMemory(t, b)
		b.server.Rewind(streamName, 47)
		e := b.start(s)
		if got := e.awaitState(engine.Diverged); !strings.Contains(got.Reason, "ends at sequence 47, but events up to 48 were applied") {
			t.Errorf("reason %q", got.Reason)
		}
		e.wantCounts(48)
	})
}

// What is applied again may be more than a transaction holds.
func TestAppliedAgainIsLarge(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s := spec(remembers(), func(s *engine.Spec) { s.MemorySnapshots = engine.MemoryPolicy{Events: 1000, Every: time.Hour, Keep: 2} })
		b.keyspace(s).Max = state.TxLimit{Writes: 20, Bytes: 1 << 20}
		b.append(100)
		e := b.start(s)
		e.awaitLive(100)
		e.stop()
		ck, err := b.keyspace(s).Latest()
		if err != nil {
			t.Fatal(err)
		}
		b.keyspace(s).DamageMemory(ck.Memories[0].Version)
		b.append(50)
		e = b.start(s)
		e.awaitLive(150)
		e.wantCounts(150)
	})
}

// Memory is stored as often as the policy asks for, by events and by time, but not
// when nothing happened.
func TestMemoryPolicy(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s := spec(remembers(), func(s *engine.Spec) {
			s.MemorySnapshots = engine.MemoryPolicy{Events: 10, Every: time.Hour, Keep: 100}
		})
		e := b.start(s)
		e.awaitLive(0)
		for n := uint64(1); n <= 25; n++ { // one by one, as they come to a live one
			b.append(1)
			e.awaitLive(n)
		}
		b.wantMemories(s, "[20 10 0]")
		time.Sleep(3 * time.Hour) // of the bubble
		b.wantMemories(s, "[25 20 10 0]")
	})
}

// An error of the state that the guest runs into is not the guest's.
func TestStateFails(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(3)
		e := b.start(spec(enginetest.FuncModule("unlucky", func(e abi.Record, st guest.State) error {
			return errors.New("read key: input/output error")
		})))
		s := e.awaitState(engine.Halted)
		if !strings.Contains(s.Reason, "input/output error") || strings.Contains(s.Reason, "apply") {
			t.Errorf("reason %q", s.Reason)
		}
	})
}
