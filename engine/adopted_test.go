package engine_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/catalog"
	"gnomon/engine/state"
)

// A snapshot keeps also the memory that its guest goes on from, which is older, so that it can
// be read with it whenever it is exported; and lets both go when it is dropped.
func TestSnapshotKeepsItsMemory(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(10)
		sp := spec(remembers())
		sp.MemorySnapshots = engine.MemoryPolicy{Events: 1000, Every: time.Hour, Keep: 1}
		sp.Pins = engine.PinPolicy{Max: 3, MaxAge: 24 * time.Hour}
		e := b.start(sp)
		e.awaitLive(10)
		s, err := e.CreateSnapshot(t.Context(), "p", "first")
		if err != nil {
			t.Fatal(err)
		}
		r, err := e.ReadSnapshot("p", "first")
		if err != nil {
			t.Fatal(err)
		}
		memory := r.Checkpoint.Memories[0].Version
		if r.Checkpoint.Version != s.Version || memory >= s.Version || r.Keyspace() == nil {
			t.Errorf("the snapshot of %d has its memory of %d", s.Version, memory)
		}
		r.Close()
		for _, v := range []state.Version{s.Version, memory} {
			if pins := b.keyspace(sp).Pins(); !slices.Contains(pins, v) {
				t.Errorf("pinned are %d, and not %d", pins, v)
			}
		}
		if _, err := e.ReadSnapshot("p", "second"); !errors.Is(err, catalog.ErrNoSnapshot) {
			t.Errorf("one that there is not: %v", err)
		}
		time.Sleep(25 * time.Hour) // of the bubble
		if pins := b.keyspace(sp).Pins(); len(pins) != 0 {
			t.Errorf("pinned are %d still", pins)
		}
	})
}
