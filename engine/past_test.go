package engine_test

import (
	"errors"
	"slices"
	"testing"

	"gnomon/engine"
	"gnomon/engine/catalog"
)

// The history of a projection says what ran from when on, outlives the engine and the
// declaration, and ends with its removal.
func TestHistoryOfProjection(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(5)
		e := b.start(spec(ledgerModule, byHand))
		e.awaitLive(5)
		changed := spec(ledgerModuleAs("changed"), byHand)
		e.declare(changed)
		e.await("the candidate", func(s engine.Status) bool { return s.Candidate.State == engine.Live && s.Candidate.Position == 5 })
		if _, err := e.Promote(t.Context(), "p"); err != nil {
			t.Fatal(err)
		}
		want := []catalog.ChangeKind{catalog.Created, catalog.Created, catalog.Promoted}
		is := func(e *running) {
			t.Helper()
			changes, err := e.History("p")
			var kinds []catalog.ChangeKind
			for _, c := range changes {
				kinds = append(kinds, c.Kind)
			}
			if err != nil || !slices.Equal(kinds, want) {
				t.Errorf("history %v, %v, want %v", kinds, err, want)
			}
		}
		is(e)
		changes, _ := e.History("p")
		if c := changes[2]; c.Generation != changed.Generation() || c.Module != changed.Module.Digest() || c.Sequence != 5 {
			t.Errorf("promoted %+v", c)
		}
		e.stop()
		e = b.start() // it is not declared
		is(e)
		e.stop()
		e = b.start(changed)
		if err := e.Withdraw(t.Context(), "p", "it is no longer declared"); err != nil {
			t.Fatal(err)
		}
		want = append(want, catalog.Withdrawn)
		is(e)
		if err := e.Remove(t.Context(), "p"); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"p", "none"} {
			if _, err := e.History(name); !errors.Is(err, engine.ErrNoProjection) {
				t.Errorf("history of %s: %v", name, err)
			}
		}
	})
}
