package engine_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/sdk/abi"
)

// wantOtherHistory checks that an error says that the stream is not the one that was read.
func wantOtherHistory(t *testing.T, what string, err error) {
	t.Helper()
	if changed := (*engine.HistoryError)(nil); !errors.As(err, &changed) {
		t.Errorf("%s: %v, want an error of the history", what, err)
	}
}

// Where the stream lost its tail, and gave the numbers to other events, nothing is replayed
// over the place where that happened, although the beginning of the replay is what was read:
// neither before the projection notices, nor after that was accepted. What was committed is
// read as it was, and events are not taken for the cause of what they did not change.
func TestReadAtLostTail(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(60)
		e := b.start(spec(ledgerModule, func(s *engine.Spec) { s.History = engine.HistoryPolicy{All: true} }))
		e.awaitLive(60)
		b.append(1)
		e.awaitLive(61)
		b.server.Rewind(streamName, 30)
		b.append(40)
		for _, when := range []string{"unnoticed", "accepted"} {
			for _, seq := range []uint64{31, 45, 59} {
				_, _, err := e.at(engine.At{Sequence: seq})
				wantOtherHistory(t, when, err)
			}
			for _, seq := range []uint64{0, 60, 61} {
				e.wantAt(seq)
			}
			for _, seq := range []uint64{45, 60, 61} { // of the other events
				if _, ck, err := e.at(engine.At{Time: b.timeOf(seq)}); when == "unnoticed" || seq < 61 {
					wantOtherHistory(t, when+", a time", err)
				} else if err != nil || ck.Position.Sequence != 61 {
					t.Errorf("the time of what was accepted: %d, %v", ck.Position.Sequence, err)
				}
			}
			x, err := e.Explain(t.Context(), "p", engine.Question{Key: []byte("event/45")})
			if err != nil || explained(x) != "60 unknown ->data" {
				t.Errorf("%s: explained as %s, %v", when, explained(x), err)
			}
			if when == "accepted" {
				return
			}
			b.server.LoseReaders()
			e.awaitState(engine.Diverged)
			if _, err := e.Accept(t.Context(), "p", "a test"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A time is one of the stream that there is: it does not stand for a state that was made of
// another one, which had other events by then.
func TestReadAtTimeOfOtherStream(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		e := b.start(spec(ledgerModule, everything))
		for range 6 { // a commit each
			b.append(10)
			e.awaitLive(b.last())
		}
		before := b.timeOf(20)
		b.server.Create(streamName)
		b.append(70)
		b.server.LoseReaders()
		e.awaitState(engine.Diverged)
		if _, err := e.Accept(t.Context(), "p", "a test"); err != nil {
			t.Fatal(err)
		}
		e.awaitLive(70)
		_, _, err := e.at(engine.At{Time: before})
		wantOtherHistory(t, "before there was the stream", err)
		_, _, err = e.at(engine.At{Time: b.timeOf(20)})
		wantOtherHistory(t, "before it was accepted", err)
		_, err = e.Explain(t.Context(), "p", engine.Question{Key: []byte("ledger"), At: engine.At{Time: b.timeOf(20)}})
		wantOtherHistory(t, "explained", err)
		e.wantAt(20) // of the stream that was read
		for _, seq := range []uint64{60, 65} {
			if _, ck, err := e.at(engine.At{Time: b.timeOf(seq)}); err != nil || ck.Position.Sequence != seq {
				t.Errorf("at the time of %d: %d, %v", seq, ck.Position.Sequence, err)
			}
		}
	})
}

// What changed a key up to the middle of a commit is not known where its events cannot be
// applied again: that is an error, and not an explanation without changes.
func TestExplainPartOfCommit(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(60)
		e := b.start(spec(ledgerModule, func(s *engine.Spec) { s.History = engine.HistoryPolicy{All: true} }))
		e.awaitLive(60)
		b.server.Delete(streamName, 30)
		if x, err := e.Explain(t.Context(), "p", engine.Question{Key: []byte("event/45"), At: engine.At{Sequence: 50}}); !errors.Is(err, engine.ErrEventsGone) || len(x.Changes) > 0 {
			t.Errorf("as of 50: %s, %v", explained(x), err)
		}
		if x, err := e.Explain(t.Context(), "p", engine.Question{Key: []byte("event/45")}); err != nil || explained(x) != "60 unknown ->data" {
			t.Errorf("now: %s, %v", explained(x), err)
		}
	})
}

// An explanation holds the newest changes of a key, and of large values only as many as there
// is room for, however many there are within a commit; it says that there are others.
func TestExplainIsBounded(t *testing.T) {
	large := enginetest.FuncModule("large", func(e abi.Record, st guest.State) error {
		return st.Put([]byte("k"), bytes.Repeat([]byte{byte(e.Sequence)}, 512<<10))
	})
	for _, every := range []uint64{0, 1} {
		inBubble(t, func(t *testing.T, b *bench) {
			b.append(30)
			e := b.start(spec(large, func(s *engine.Spec) { s.History = engine.HistoryPolicy{All: true, Every: every} }))
			e.awaitLive(30)
			x, err := e.Explain(t.Context(), "p", engine.Question{Key: []byte("k"), Limit: 1000})
			if err != nil || len(x.Changes) != 8 || x.Changes[7].Sequence != 23 || x.Changes[7].After[0] != 23 || x.Changes[7].Before[0] != 22 || x.Oldest > 23 || !strings.Contains(x.Ended, "4 MiB") {
				t.Errorf("every %d: %d changes down to %d, %q, %v", every, len(x.Changes), x.Oldest, x.Ended, err)
			}
			x, err = e.Explain(t.Context(), "p", engine.Question{Key: []byte("k"), Limit: 2})
			if err != nil || len(x.Changes) != 2 || x.Oldest != 29 || !strings.Contains(x.Ended, "the limit of 2") {
				t.Errorf("every %d: %d changes down to %d, %q, %v", every, len(x.Changes), x.Oldest, x.Ended, err)
			}
		})
	}
}

// A replay of everything, which may take very long, does not keep others from reading what
// lies between two commits.
func TestReplaysOfEverythingWaitForThemselves(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		var gate chan struct{} // closed, that an event may be applied again; nil: it need not be
		m := enginetest.FuncModule("gated", func(e abi.Record, st guest.State) error {
			if gate != nil && e.Sequence == 1 {
				<-gate
			}
			return ledger(e, st)
		})
		b.append(500)
		e := b.start(spec(m, func(s *engine.Spec) {
			s.History, s.Batch.Events = engine.HistoryPolicy{Events: 100, Every: 20}, 10
		}))
		e.awaitLive(500)
		e.await("durable", func(s engine.Status) bool { return s.Durable == 500 })
		gate = make(chan struct{})
		done := make(chan error)
		for range 3 {
			go func() {
				reading, err := e.ReadAt(t.Context(), "p", engine.At{Sequence: 10, Replay: true})
				if err == nil {
					reading.Close()
				}
				done <- err
			}()
		}
		synctest.Wait()
		e.wantAt(445)
		close(gate)
		for range 3 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

// Readings that hold what a replay came to are bounded together; those that are closed leave
// their room to others.
func TestReadingsOfThePastAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(60)
		e := b.start(spec(ledgerModule, func(s *engine.Spec) { s.History = engine.HistoryPolicy{All: true} }))
		e.awaitLive(60)
		first, err := e.ReadAt(t.Context(), "p", engine.At{Sequence: 30})
		if err != nil {
			t.Fatal(err)
		}
		e.BoundPast(e.PastHeld() + 100)
		if _, _, err := e.at(engine.At{Sequence: 30}); !errors.Is(err, engine.ErrReplayLimit) {
			t.Errorf("beside another one: %v", err)
		}
		first.Close()
		first.Close()
		e.wantAt(30)
		if n := e.PastHeld(); n != 0 {
			t.Errorf("%d bytes are held for nobody", n)
		}
	})
}
