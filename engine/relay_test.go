package engine_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// A call that was not answered is settled by what the target stream holds, however long
// after the server has forgotten the IDs: what it stored is not published again, and what it
// did not store is.
func TestDoubtIsSettled(t *testing.T) {
	for _, fault := range []enginetest.Fault{enginetest.Lost, enginetest.AckLost, enginetest.Torn} {
		for _, window := range []time.Duration{0, 2 * time.Minute} {
			inEmitBubble(t, func(t *testing.T, b *bench) {
				b.outlet.Window = window
				n := 0
				b.outlet.Break(func([]streams.Message) enginetest.Fault {
					if n++; n%5 == 3 {
						return fault
					}
					return enginetest.NoFault
				})
				b.append(20)
				e := b.start(emitting("herald", herald))
				e.drained(20)
				b.append(20)
				e.drained(40)
				b.wantHerald(1, 40)
			})
		}
	}
}

// A process that ends after the server stored events, and before it learned that, finds them
// there: nothing is emitted twice, though the server has forgotten the IDs.
func TestRestartSettles(t *testing.T) {
	inEmitBubble(t, func(t *testing.T, b *bench) {
		b.outlet.Window = 0
		b.append(10)
		e := b.start(emitting("herald", herald))
		e.drained(10)
		b.outlet.Break(func([]streams.Message) enginetest.Fault { return enginetest.AckLost })
		b.append(1)
		e.await("trouble", func(s engine.Status) bool { return s.Emits.Trouble != "" })
		b.append(4)
		e.awaitLive(15)
		e.stop()
		b.outlet.Break(nil)
		b.append(5)
		e = b.start(emitting("herald", herald))
		e.drained(20)
		b.wantHerald(1, 20)
	})
}

// Nothing is published before what caused it would survive a crash of the machine.
func TestDurableFirst(t *testing.T) {
	inEmitBubble(t, func(t *testing.T, b *bench) {
		b.append(1)
		e := b.start(emitting("herald", herald))
		e.drained(1)
		ks := b.keyspace(emitting("herald", herald))
		b.outlet.Break(func(group []streams.Message) enginetest.Fault {
			if last := group[len(group)-1].Group; ks.Durable().Sequence() < last {
				t.Errorf("event %d is published, and durable is %d", last, ks.Durable().Sequence())
			}
			return enginetest.NoFault
		})
		for range 20 {
			b.append(1)
		}
		e.drained(21)
	})
}

// While nothing can be published the outbox fills up, and then no more events are taken: the
// status says why, nothing is lost, and it goes on by itself.
func TestOutboxFull(t *testing.T) {
	for _, c := range []struct {
		what   string
		limit  engine.OutboxLimit
		break_ func(b *bench)
		mend   func(b *bench)
		says   []string
	}{
		{"the server does not answer", engine.OutboxLimit{Rows: 20}, func(b *bench) {
			b.outlet.Break(func([]streams.Message) enginetest.Fault { return enginetest.Lost })
		}, func(b *bench) { b.outlet.Break(nil) }, []string{"20 events may be emitted and not published (projection.limits.outbox)", "no answer"}},
		{"the stream takes no more", engine.OutboxLimit{Bytes: 2000}, func(b *bench) {
			b.outlet.Break(func([]streams.Message) enginetest.Fault { return enginetest.Refused })
		}, func(b *bench) { b.outlet.Break(nil) }, []string{"2000 bytes may be emitted and not published (projection.limits.outbox_bytes)", "message refused"}},
		{"no stream stores the subject", engine.OutboxLimit{Rows: 20}, func(b *bench) { b.server.CreateFor(targetStream, "gone.>") },
			func(b *bench) { b.server.CreateFor(targetStream, "out.>") }, []string{"stream not found"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			inEmitBubble(t, func(t *testing.T, b *bench) {
				c.break_(b)
				b.append(100)
				e := b.start(emitting("herald", herald, func(s *engine.Spec) { s.Outbox, s.Batch.Events = c.limit, 3 }))
				s := e.await("full", func(s engine.Status) bool { return s.State == engine.Stalled && s.Emits.Trouble != "" })
				time.Sleep(10 * time.Minute) // of the bubble
				s = e.status()
				for _, want := range c.says {
					if !strings.Contains(s.Reason, want) {
						t.Errorf("the reason is %s, want %s", s.Reason, want)
					}
				}
				if s.State != engine.Stalled || s.Hint == "" || s.Emits.Hint == "" || s.Position > 30 || s.Emits.Waiting > 60 {
					t.Errorf("status %+v, %+v", s, s.Emits)
				}
				if ready, reasons := e.Ready(); ready || !strings.Contains(reasons[0], "emitted and not published") {
					t.Errorf("ready %v: %v", ready, reasons)
				}
				c.mend(b)
				s = e.drained(100)
				b.wantHerald(1, 100)
				if s.Emits.Trouble != "" || s.Reason != "" {
					t.Errorf("status %+v, %+v", s, s.Emits)
				}
			})
		})
	}
}

// A projection that is paused publishes nothing; one that is halted publishes what it has
// emitted before the event that it halted before.
func TestEmitsOfStopped(t *testing.T) {
	inEmitBubble(t, func(t *testing.T, b *bench) {
		b.outlet.Break(func([]streams.Message) enginetest.Fault { return enginetest.Lost })
		b.append(5)
		e := b.start(emitting("herald", herald))
		e.await("trouble", func(s engine.Status) bool { return s.Position == 5 && s.Emits.Trouble != "" })
		if err := e.Pause("p"); err != nil {
			t.Fatal(err)
		}
		e.awaitState(engine.Paused)
		b.outlet.Break(nil)
		time.Sleep(time.Minute) // of the bubble
		if n := len(b.emitted()); n > 0 {
			t.Errorf("%d are published of what is paused", n)
		}
		if err := e.Resume("p"); err != nil {
			t.Fatal(err)
		}
		e.drained(5)
		b.wantHerald(1, 5)
	})
	inEmitBubble(t, func(t *testing.T, b *bench) {
		b.append(30)
		e := b.start(emitting("herald", enginetest.Func(func(e abi.Record, st guest.State) error {
			if err := herald(e, st); err != nil || e.Sequence != 21 {
				return err
			}
			return enginetest.Refuse("no")
		})))
		e.await("halted", func(s engine.Status) bool { return s.State == engine.Halted && s.Emits.Waiting == 0 })
		b.wantHerald(1, 20)
	})
}

// The right to emit passes with the readers: a candidate emits nothing for what was read
// before, and everything after that; so does the one that is gone back to.
func TestEmitsPassOver(t *testing.T) {
	for _, stuck := range []bool{false, true} { // the candidate goes on where the live one halts
		inEmitBubble(t, func(t *testing.T, b *bench) {
			b.outlet.Window = 0
			var poison atomic.Uint64
			first := emitting("first", func(e abi.Record, st guest.State) error {
				if n := poison.Load(); n > 0 && e.Sequence >= n {
					return enginetest.Refuse("no")
				}
				return herald(e, st)
			}, byHand)
			b.append(20)
			e := b.start(first)
			e.drained(20)
			second := emitting("second", herald, byHand)
			e.declare(second)
			e.await("a candidate", func(s engine.Status) bool { return s.Candidate.State == engine.Live && s.Candidate.Position == 20 })
			b.append(5)
			e.drained(25)
			at := 25
			if stuck {
				poison.Store(26)
				b.append(10)
				at = 35
				e.awaitState(engine.Halted)
				e.await("the candidate", func(s engine.Status) bool { return s.Candidate.Position == 35 })
			}
			b.wantHerald(1, 25)
			if _, err := e.Promote(t.Context(), "p"); err != nil {
				t.Fatal(err)
			}
			poison.Store(0)
			b.append(5)
			e.drained(uint64(at + 5))
			b.wantHerald(1, at+5)
			if stuck {
				return // what was read before is halted still
			}
			if _, err := e.Rollback(t.Context(), "p"); err != nil {
				t.Fatal(err)
			}
			b.append(5)
			e.drained(35)
			e.stop()
			b.append(5)
			e = b.start(second)
			e.drained(40)
			b.wantHerald(1, 40)
		})
	}
}

// Another generation takes over when what was emitted is published; until then it is refused,
// with the reason, and nobody stands still.
func TestPromoteDrains(t *testing.T) {
	inEmitBubble(t, func(t *testing.T, b *bench) {
		b.append(5)
		e := b.start(emitting("first", herald, byHand))
		e.drained(5)
		e.declare(emitting("second", herald, byHand))
		e.await("a candidate", func(s engine.Status) bool { return s.Candidate.State == engine.Live && s.Candidate.Position == 5 })
		b.outlet.Break(func([]streams.Message) enginetest.Fault { return enginetest.Lost })
		b.append(1)
		e.await("trouble", func(s engine.Status) bool { return s.Emits.Trouble != "" })
		_, err := e.Promote(t.Context(), "p")
		if !errors.Is(err, engine.ErrUnpublished) || !strings.Contains(err.Error(), "2 events") {
			t.Errorf("promote: %v", err)
		}
		b.outlet.Break(nil)
		e.drained(6)
		if _, err := e.Promote(t.Context(), "p"); err != nil {
			t.Error(err)
		}
		b.append(2)
		e.drained(8)
		b.wantHerald(1, 8)
	})
}

// What is being published when another generation takes over is published before.
func TestPromoteAwaitsPublishing(t *testing.T) {
	inEmitBubble(t, func(t *testing.T, b *bench) {
		b.append(5)
		e := b.start(emitting("first", herald, byHand))
		e.drained(5)
		e.declare(emitting("second", herald, byHand))
		e.await("a candidate", func(s engine.Status) bool { return s.Candidate.State == engine.Live && s.Candidate.Position == 5 })
		b.outlet.Break(func([]streams.Message) enginetest.Fault {
			time.Sleep(2 * time.Second) // of the bubble
			return enginetest.NoFault
		})
		b.append(1)
		time.Sleep(100 * time.Millisecond)
		if n := e.status().Emits.Waiting; n != 2 {
			t.Errorf("%d wait", n)
		}
		if _, err := e.Promote(t.Context(), "p"); err != nil {
			t.Fatal(err)
		}
		b.wantHerald(1, 6)
		b.append(2)
		e.drained(8)
		b.wantHerald(1, 8)
	})
}

// A candidate that is ahead of what is read keeps what it emits, up to the limit, and takes
// over from there.
func TestCandidateWaits(t *testing.T) {
	inEmitBubble(t, func(t *testing.T, b *bench) {
		first := emitting("first", func(e abi.Record, st guest.State) error {
			if e.Sequence == 6 {
				return enginetest.Refuse("no")
			}
			return herald(e, st)
		}, byHand)
		b.append(10)
		e := b.start(first)
		e.awaitState(engine.Halted)
		e.declare(emitting("second", herald, byHand, func(s *engine.Spec) { s.Outbox.Rows, s.Batch.Events = 20, 1 }))
		b.append(100)
		s := e.await("full", func(s engine.Status) bool { return s.Candidate.State == engine.Stalled })
		if s.Candidate.Position < 10 || s.Candidate.Position > 20 || !strings.Contains(s.Candidate.Reason, "has not come that far") {
			t.Errorf("candidate %+v", s.Candidate)
		}
		if _, err := e.Promote(t.Context(), "p"); err != nil {
			t.Fatal(err)
		}
		e.drained(110)
		b.wantHerald(1, 110)
	})
}

// An event that is retried emits, with its own sequence; it does so once, whichever
// generation retries it.
func TestRetriedEmits(t *testing.T) {
	inEmitBubble(t, func(t *testing.T, b *bench) {
		b.outlet.Window = 0
		var mended atomic.Bool
		picky := func(e abi.Record, st guest.State) error {
			if err := herald(e, st); err != nil || mended.Load() || e.Sequence != 3 && e.Sequence != 5 {
				return err
			}
			return enginetest.Refuse("no")
		}
		aside := func(s *engine.Spec) { byHand(s); s.OnError, s.Letters = engine.DeadLetter, 10 }
		b.append(10)
		e := b.start(emitting("first", picky, aside))
		e.drained(10)
		e.declare(emitting("second", picky, aside))
		e.await("a candidate", func(s engine.Status) bool { return s.Candidate.State == engine.Live && s.Candidate.Position == 10 })
		mended.Store(true)
		retry := func(seq uint64) {
			t.Helper()
			if o, err := e.Order(t.Context(), "p", engine.RetryLetters, engine.Letters{Sequence: seq}); err != nil || o.Done != 1 {
				t.Fatalf("retry %d: %+v, %v", seq, o, err)
			}
		}
		retry(3) // in the first
		e.drained(10)
		if _, err := e.Promote(t.Context(), "p"); err != nil {
			t.Fatal(err)
		}
		retry(3) // in the second, and 3 was emitted
		retry(5) // and 5 was not
		e.drained(10)
		if _, err := e.Rollback(t.Context(), "p"); err != nil {
			t.Fatal(err)
		}
		retry(5) // in the first, and 5 was emitted
		b.append(1)
		e.drained(11)
		var got []string
		for _, m := range b.emitted() {
			got = append(got, string(m.Data))
		}
		want := []string{}
		for _, seq := range []int{1, 2, 4, 6, 7, 8, 9, 10, 3, 5, 11} {
			want = append(want, fmt.Sprint("seen ", seq), fmt.Sprint("done ", seq))
		}
		if !slices.Equal(got, want) {
			t.Errorf("emitted are %v", got)
		}
	})
}

// heraldOfMemory is a herald that counts in its own memory.
type heraldOfMemory struct {
	count byte
	fails *atomic.Bool
}

func (r *heraldOfMemory) Event(e abi.Record, st guest.State) error {
	r.count++
	if r.fails.Swap(false) {
		return enginetest.Refuse("once")
	}
	return herald(e, st)
}
func (r *heraldOfMemory) Snapshot() [][]byte           { return [][]byte{{r.count}} }
func (r *heraldOfMemory) Restore(blobs [][]byte) error { r.count = blobs[0][0]; return nil }

// A guest with memory that goes back to an older one, and applies events again, does not
// emit again what was committed.
func TestRepeatedEventsEmitOnce(t *testing.T) {
	inEmitBubble(t, func(t *testing.T, b *bench) {
		b.outlet.Window = 0
		var fails atomic.Bool
		m := &enginetest.Module{Name: "remembers", Emits: true, New: func() enginetest.Guest { return &heraldOfMemory{fails: &fails} }}
		s := spec(m, func(s *engine.Spec) { s.Emit = engine.EmitRules{Subjects: []string{"out.>"}, History: true} })
		s.MemorySnapshots.Events = 1000
		b.append(10)
		e := b.start(s)
		e.drained(10)
		b.append(3)
		e.drained(13)
		fails.Store(true) // and the event is tried again, by an instance with the memory from the beginning
		for range 4 {
			b.server.Append(streamName, "e.x", []byte("data"))
		}
		e.drained(17)
		if n := e.status().Failures; n != 1 {
			t.Errorf("%d failures", n)
		}
		b.wantHerald(1, 17)
		e.wantLedger(1, 17)
	})
}

// Where the sequences of the stream mean other events, what they cause is emitted under
// another lineage, so that it is not taken for what was emitted before.
func TestLineageEnds(t *testing.T) {
	inEmitBubble(t, func(t *testing.T, b *bench) {
		b.append(5)
		e := b.start(emitting("herald", herald))
		e.drained(5)
		before := e.status().Emits.Lineage
		b.server.Create(streamName)
		b.append(7)
		e.awaitState(engine.Diverged)
		if _, err := e.Accept(t.Context(), "p", "a test"); err != nil {
			t.Fatal(err)
		}
		e.await("live", func(s engine.Status) bool { return s.Position == 7 && s.Emits.Waiting == 0 })
		if s := e.status(); s.Emits.Lineage == before || s.Emits.SilentThrough != 5 || s.Emits.Published != 14 {
			t.Errorf("status %+v", s.Emits)
		}
	})
}

// A target stream that was made anew, or lost its end, is named; what waits is published.
func TestTargetChanges(t *testing.T) {
	for _, c := range []struct {
		what   string
		change func(b *bench)
		says   string
	}{
		{"made anew", func(b *bench) { time.Sleep(time.Second); b.server.CreateFor(targetStream, "out.>") }, "was created at"},
		{"lost its tail", func(b *bench) { b.server.Rewind(targetStream, 4) }, "it lost its tail"},
		{"lost its beginning", func(b *bench) {
			for range 9 {
				b.server.Append(targetStream, "out.other", nil)
			}
			b.server.Purge(targetStream, 18)
		}, "begins at 18"},
	} {
		t.Run(c.what, func(t *testing.T) {
			inEmitBubble(t, func(t *testing.T, b *bench) {
				b.append(5)
				e := b.start(emitting("herald", herald))
				e.drained(5)
				time.Sleep(5 * time.Second) // of the bubble
				e.stop()
				c.change(b)
				b.append(1)
				e = b.start(emitting("herald", herald))
				if s := e.drained(6); !strings.Contains(s.Emits.Warning, c.says) {
					t.Errorf("warning %q", s.Emits.Warning)
				}
				all := b.emitted()
				if last := all[len(all)-2:]; string(last[0].Data) != "seen 6" || string(last[1].Data) != "done 6" {
					t.Errorf("the last are %s, %s", last[0].Data, last[1].Data)
				}
			})
		})
	}
}

// Several partitions emit in the order, and with the numbers, of one instance: also where
// upcasters make of one event records for several of them.
func TestPartitionsEmitInOrder(t *testing.T) {
	lists := map[int][]string{}
	for _, n := range []int{1, 3} {
		inEmitBubble(t, func(t *testing.T, b *bench) {
			b.append(20)
			m := enginetest.FuncModule("each", func(e abi.Record, st guest.State) error {
				for i := range 2 {
					if err := st.Emit(state.Emit{Subject: "out.x", Data: fmt.Appendf(nil, "%d %s %d", e.Sequence, e.Subject, i)}); err != nil {
						return err
					}
				}
				return st.Put(e.Subject, e.Data)
			})
			m.Emits = true
			split := enginetest.Upcaster("split", func(e abi.Record, out func(abi.Record)) error {
				for i := range e.Sequence % 5 {
					out(abi.Record{Subject: fmt.Appendf(nil, "e.%d", (e.Sequence+i*3)%7), Data: e.Data})
				}
				return nil
			})
			e := b.start(spec(m, func(s *engine.Spec) {
				s.Emit = engine.EmitRules{Subjects: []string{"out.>"}, History: true}
				s.Partitions, s.Key, s.KeyOf = n, "subject:2", func(e abi.Record) []byte { return e.Subject[2:] }
				s.Upcasters = []engine.Upcaster{{Name: "split", Module: split}}
			}))
			e.drained(20)
			for _, m := range b.emitted() {
				id, _ := m.Header("Nats-Msg-Id")
				_, place, _ := strings.Cut(strings.TrimPrefix(string(id), "p/"), "/")
				lists[n] = append(lists[n], place+": "+string(m.Data))
			}
		})
	}
	if len(lists[1]) != 80 || !slices.Equal(lists[1], lists[3]) {
		t.Errorf("of one instance are %v, and of three %v", lists[1], lists[3])
	}
}
