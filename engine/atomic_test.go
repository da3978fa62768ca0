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

// appendAsOne stores events as a server stores an atomic batch: one after the other, with
// the mark on the last, which one that is broken lacks. Every third one has another subject.
func (b *bench) appendAsOne(events int, broken bool) {
	for n := 1; n <= events; n++ {
		h, _ := abi.AppendHeader(nil, "Nats-Batch-Id", fmt.Sprint("b", events))
		h, _ = abi.AppendHeader(h, "Nats-Batch-Sequence", fmt.Sprint(n))
		if n == events && !broken {
			h, _ = abi.AppendHeader(h, "Nats-Batch-Commit", "1")
		}
		b.server.Store(streamName, abi.Record{Subject: []byte([]string{"e.other", "e.x", "e.x"}[n%3]), Headers: h, Data: []byte("data")})
	}
}

// No commit lies within events that were published as one, however they are read and
// applied: slowly or fast, few or many at a time, all of them or few, as other events, in
// several commits, or with a pause amid them. The state is what the events make of it.
func TestAtomicBatchesAreReadWhole(t *testing.T) {
	slow := enginetest.FuncModule("slow", func(e abi.Record, st guest.State) error {
		time.Sleep(300 * time.Millisecond) // of the bubble
		return ledger(e, st)
	})
	isX := func(subject []byte) bool { return string(subject) == "e.x" }
	tests := map[string]struct {
		change func(s *engine.Spec)
		leaves func(e abi.Record) bool // what it does not apply; nil: it applies all
	}{
		"many at a time":  {func(*engine.Spec) {}, nil},
		"seven at a time": {func(s *engine.Spec) { s.Batch.Events = 7 }, nil},
		"slowly":          {func(s *engine.Spec) { s.Module = slow }, nil},
		"slowly, seven":   {func(s *engine.Spec) { s.Module, s.Batch.Events = slow, 7 }, nil},
		"not their ends":  {func(s *engine.Spec) { s.Module, s.Filter = slow, isX }, func(e abi.Record) bool { return !isX(e.Subject) }},
		"few of them": {func(s *engine.Spec) {
			s.Upcasters = []engine.Upcaster{{Module: enginetest.Upcaster("drops most", func(e abi.Record, out func(abi.Record)) error {
				time.Sleep(300 * time.Millisecond) // of the bubble
				if e.Sequence%50 == 0 {
					out(e)
				}
				return nil
			})}}
		}, func(e abi.Record) bool { return e.Sequence%50 > 0 }},
		"upcast": {func(s *engine.Spec) {
			s.Module, s.Upcasters = slow, []engine.Upcaster{{Module: enginetest.Upcaster("drops some", func(e abi.Record, out func(abi.Record)) error {
				if e.Sequence%4 > 0 {
					out(e)
				}
				return nil
			})}}
		}, func(e abi.Record) bool { return e.Sequence%4 == 0 }},
		"with a history": {func(s *engine.Spec) { s.Batch.Events, s.History = 7, engine.HistoryPolicy{All: true, Every: 10} }, nil},
		"small commits":  {func(s *engine.Spec) { s.Batch.Events = 20 }, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				s := spec(ledgerModule, tt.change)
				if name == "small commits" {
					b.limit(s, state.TxLimit{Writes: 250, Bytes: 1 << 20})
				}
				end := b.appendInBatches(30)
				e := b.start(s)
				for range 3 {
					time.Sleep(7777 * time.Millisecond) // of the bubble
					e.pause()
					e.resume()
				}
				e.await("the end", func(s engine.Status) bool { return s.Position == end })
				var except []uint64
				for seq := uint64(1); seq <= end; seq++ {
					if ev, err := b.server.Event(t.Context(), streamName, seq); err != nil {
						t.Fatal(err)
					} else if tt.leaves != nil && tt.leaves(ev) {
						except = append(except, seq)
					}
				}
				e.wantLedger(1, end, except...)
				e.stop()
				if n := b.wantWholeBatches(s); n < 3 {
					t.Errorf("%d commits show nothing", n)
				}
			})
		})
	}
}

// appendInBatches stores events one by one and as one, and returns the last sequence.
func (b *bench) appendInBatches(batches int) uint64 {
	for i := range batches {
		if i%4 == 0 {
			b.append(1)
		}
		b.appendAsOne([]int{1, 2, 30, 3, 90}[i%5], false)
	}
	return b.last()
}

// wantWholeBatches checks that no commit lies within an atomic batch, and counts commits.
func (b *bench) wantWholeBatches(s engine.Spec) (commits int) {
	b.t.Helper()
	all := b.keyspace(s).Checkpoints()
	for _, ck := range all[1:] {
		e, err := b.server.Event(b.t.Context(), streamName, ck.Position.Sequence)
		if err != nil {
			b.t.Fatal(err)
		}
		_, member := e.Header("Nats-Batch-Id")
		_, ends := e.Header("Nats-Batch-Commit")
		if member && !ends {
			b.t.Errorf("a commit is at %d, which others follow that were published with it", e.Sequence)
		}
	}
	return len(all)
}

// What lacks its end, such as in a mirror that leaves it out, is committed once the stream
// has nothing more.
func TestBatchWithoutEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(2)
		b.appendAsOne(5, true)
		e := b.start(spec(ledgerModule))
		e.awaitLive(7)
		e.wantLedger(1, 7)
		b.appendAsOne(3, true)
		b.append(1)
		e.awaitLive(11)
		e.wantLedger(1, 11)
	})
}

// Where batches without an end follow each other and never stop to come, such as in a mirror
// of some subjects, what was read is committed all the same: the next batch ends the one
// before it, and one whose id never changes is waited for as long as it may be a batch.
func TestBatchesWithoutEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		sizes []int // whose ids differ
		each  int   // times that they come before there is a pause
		times int
		many  uint64 // events that may not be committed
	}{
		"one after the other": {[]int{1, 2, 3}, 1, 120, 5},
		"of one id":           {[]int{50}, 20, 12, 11_000},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				b.append(2)
				e := b.start(spec(enginetest.FuncModule("writes nothing", func(abi.Record, guest.State) error { return nil })))
				e.awaitLive(2)
				for i := range tt.times {
					for range tt.each {
						b.appendAsOne(tt.sizes[i%len(tt.sizes)], true)
					}
					time.Sleep(20 * time.Millisecond) // of the bubble
					if s := e.status(); s.Position+tt.many < b.last() {
						t.Fatalf("committed is %d, and the stream ends at %d", s.Position, b.last())
					}
				}
				if s := e.status(); s.Position <= 2 {
					t.Error("nothing is committed")
				}
			})
		})
	}
}

// A commit that becomes full is made between two batches, also when their ends are events that
// the projection does not take.
func TestFullCommitsBetweenAtomicBatches(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s := spec(ledgerModule, func(s *engine.Spec) {
			s.Filter = func(subject []byte) bool { return string(subject) == "e.x" }
			s.Window, s.Batch.Events = time.Hour, 1000
		})
		b.limit(s, state.TxLimit{Writes: 100, Bytes: 1 << 20})
		for range 100 {
			b.appendAsOne(6, false)
		}
		e := b.start(s)
		e.awaitLive(b.last())
		e.stop()
		if n := b.wantWholeBatches(s); n < 3 {
			t.Errorf("%d commits show nothing", n)
		}
	})
}

// An event that failed amid an atomic batch is judged anew when another module, or another
// policy, goes on before anything of the batch is committed.
func TestVerdictsEndWithTheModule(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(2)
		slow := func(fails bool) *enginetest.Module {
			return enginetest.FuncModule(fmt.Sprint("fails ", fails), func(e abi.Record, st guest.State) error {
				time.Sleep(300 * time.Millisecond) // of the bubble
				if fails && e.Sequence == 4 {
					return enginetest.Refuse("not this one")
				}
				return ledger(e, st)
			})
		}
		swapped := func(s *engine.Spec) { s.OnError, s.OnChange, s.Batch.Events = engine.Skip, engine.SwapCode, 1 }
		e := b.start(spec(slow(true), swapped))
		e.awaitLive(2)
		b.appendAsOne(20, false)
		e.await("more", func(s engine.Status) bool { return s.Applied >= 8 })
		if s := e.status(); s.Position != 2 {
			t.Fatalf("committed is %d amid a batch", s.Position)
		}
		e.declare(spec(slow(false), swapped))
		e.awaitLive(22)
		e.wantLedger(1, 22)
	})
}

// An event that fails amid an atomic batch halts right before it, with what was before it
// committed, and a window that cannot hold a batch is committed amid it: to go on is more.
func TestCommitsAmidAnAtomicBatch(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(2)
		b.appendAsOne(10, false)
		e := b.start(spec(enginetest.FuncModule("fails", func(e abi.Record, st guest.State) error {
			if e.Sequence == 7 {
				return enginetest.Refuse("not this one")
			}
			return ledger(e, st)
		})))
		e.awaitState(engine.Halted)
		e.wantLedger(1, 6)
	})
	inBubble(t, func(t *testing.T, b *bench) {
		s := spec(ledgerModule)
		b.limit(s, state.TxLimit{Writes: 20, Bytes: 1 << 20})
		b.appendAsOne(100, false)
		e := b.start(s)
		e.awaitLive(100)
		e.wantLedger(1, 100)
	})
}
