package engine_test

import (
	"errors"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/sdk/abi"
)

// slow is a ledger whose calls take 20 ms for each event.
func slow(name string) *enginetest.Module {
	return enginetest.FuncModule(name, func(e abi.Record, st guest.State) error {
		time.Sleep(20 * time.Millisecond) // of the bubble
		return ledger(e, st)
	})
}

// Calls and commits are measured always; how old an event is when it can be read only of those
// that are stored once the projection has caught up: its long history does not count as delay.
func TestMeasures(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(10)
		time.Sleep(time.Hour) // of the bubble: these are old
		e := b.start(spec(slow("slow"), func(s *engine.Spec) { s.Batch.Events = 5 }))
		e.awaitLive(10)
		m := e.Measures().Projections["p"]
		if m.Apply.Sum != 10*20*time.Millisecond || m.Apply.Count() == 0 || m.Apply.Count() > 10 || m.Commit.Count() == 0 || m.Age.Count() != 0 || m.Sessions != 1 {
			t.Errorf("after catching up: %+v", m)
		}
		b.append(1)
		e.awaitLive(11)
		if m := e.Measures().Projections["p"]; m.Age.Count() != 1 || m.Age.Sum < 20*time.Millisecond || m.Age.Sum > 10*time.Second {
			t.Errorf("the age of an event that came while it was live: %+v", m.Age)
		}
		if all := e.Measures().Streams; len(all) != 1 || all[0].Name != "S" || all[0].First != 1 {
			t.Errorf("streams %+v", all)
		}
	})
}

// What is measured is of the generation that is read: a candidate adds nothing to it, and
// when it takes over, the counts go on: none of them goes back, or counts what it did before.
func TestMeasuresArePromoted(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(10)
		e := b.start(spec(ledgerModule, byHand))
		e.awaitLive(10)
		before := e.Measures().Projections["p"].Commit.Count()
		e.declare(spec(slow("changed"), byHand))
		e.await("a candidate", func(s engine.Status) bool { return s.Candidate.State == engine.Live })
		if m := e.Measures().Projections["p"]; m.Commit.Count() != before || m.Apply.Sum != 0 || m.Events != 10 {
			t.Errorf("with a candidate: %+v, %d commits before", m, before)
		}
		if _, err := e.Promote(t.Context(), "p"); err != nil {
			t.Fatal(err)
		}
		b.append(1)
		e.awaitLive(11)
		if m := e.Measures().Projections["p"]; m.Commit.Count() <= before || m.Apply.Sum != 20*time.Millisecond || m.Events != 11 {
			t.Errorf("after the promotion: %+v, %d commits before", m, before)
		}
	})
}

// A call that fails is counted as such, once, and none of its events as applied.
func TestFailuresAreMeasured(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(10)
		e := b.start(spec(enginetest.FuncModule("fifth", func(e abi.Record, st guest.State) error {
			if e.Sequence == 5 {
				return enginetest.Refuse("not this one")
			}
			return ledger(e, st)
		})))
		e.awaitState(engine.Halted)
		m, s := e.Measures().Projections["p"], e.status()
		if m.Events != 4 || m.Failures == 0 || m.Failures != s.Failures {
			t.Errorf("%d events, %d failures; the status has %d and %d: %s", m.Events, m.Failures, s.Events, s.Failures, s.Reason)
		}
	})
}

// How long commits have not been durable grows while the store cannot sync, and is over with
// the next sync.
func TestUnsyncedIsMeasured(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		s := spec(ledgerModule)
		b.append(1)
		e := b.start(s)
		e.awaitLive(1)
		time.Sleep(time.Minute) // of the bubble
		unsynced := func() time.Duration { return e.Measures().Projections["p"].Unsynced }
		if got := unsynced(); got != 0 {
			t.Errorf("unsynced for %s", got)
		}
		b.keyspace(s).FailSync(errors.New("the disk is gone"))
		b.append(1)
		e.awaitLive(2)
		time.Sleep(time.Minute) // of the bubble
		if got := unsynced(); got < time.Minute || got > 2*time.Minute {
			t.Errorf("unsynced for %s, after a minute without a sync", got)
		}
		b.keyspace(s).FailSync(nil)
		time.Sleep(time.Second) // of the bubble
		if got := unsynced(); got != 0 {
			t.Errorf("unsynced for %s", got)
		}
	})
}

// Queries are measured, and those that failed are counted; one that the module refuses is
// answered.
func TestQueriesAreMeasured(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		var fails error
		b.append(1)
		e := b.start(spec(librarian("librarian", func() error {
			time.Sleep(20 * time.Millisecond) // of the bubble
			return fails
		})))
		e.awaitLive(1)
		for _, err := range []error{nil, enginetest.Refuse("no"), errors.New("broken")} {
			fails = err
			_, _ = e.query("p", "events")
		}
		if m := e.Measures().Projections["p"]; m.Query.Count() != 3 || m.Query.Sum != 60*time.Millisecond || m.Failed != 1 {
			t.Errorf("measured %+v", m)
		}
	})
}
