package store

import (
	"maps"
	"testing"

	"gnomon/engine/state"
)

// History is what it was after tables were compacted, and Badger has dropped what is not
// kept: as far back as it is said to go, and not further.
func TestHistoryIsCompacted(t *testing.T) {
	dir := t.TempDir()
	d := openDir(t, dir)
	ks := openKeyspaceOf(t, d)
	ks.Keep(1)
	m, at := model{}, map[uint64]model{}
	commit := func(from, to uint64) {
		for i := from; i <= to; i++ {
			m.commit(t, ks, i, historyAt(i))
			at[i] = maps.Clone(m)
		}
	}
	check := func(from, to uint64) {
		t.Helper()
		for seq := from; seq <= to; seq++ {
			requireState(t, ks, state.VersionAt(seq), at[seq])
		}
		if _, err := ks.View(state.VersionAt(from - 1)); err == nil && from > 1 {
			t.Errorf("a view at %d, with all from %d on kept: %v", from-1, from, err)
		}
	}
	compact := func() {
		t.Helper()
		if _, err := ks.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := ks.Close(); err != nil { // writes a table
			t.Fatal(err)
		}
		keep := ks.kept
		ks = openKeyspaceOf(t, d)
		ks.Keep(keep)
		if err := ks.db.Flatten(2); err != nil {
			t.Fatal(err)
		}
	}
	commit(1, 60)
	compact()
	check(1, 60)
	commit(61, 120)
	ks.Keep(state.VersionAt(50))
	compact()
	compact()
	check(50, 120)
	ks.Keep(state.VersionAt(110))
	commit(121, 130)
	compact()
	check(110, 130)
	if err := ks.Close(); err != nil {
		t.Fatal(err)
	}
}
