package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"gnomon/engine/state"
)

// rebooted makes this process see another run of the machine until the test ends.
func rebooted(t *testing.T, id string) {
	t.Helper()
	before := bootID
	bootID = func() string { return id }
	t.Cleanup(func() { bootID = before })
}

// crashed makes a data directory with n commits of the history, the first ones
// of them synced, and returns it as it was after the last sync and at the end.
func crashed(t *testing.T, synced, n uint64) (atSync, atEnd string) {
	t.Helper()
	dir := t.TempDir()
	ks := openKeyspaceOf(t, openDir(t, dir))
	m := model{}
	for i := uint64(1); i <= n; i++ {
		m.commit(t, ks, i, historyAt(i))
		if i == synced {
			if v, err := ks.Sync(t.Context()); err != nil || v.Sequence() != synced {
				t.Fatalf("sync: %d, %v", v.Sequence(), err)
			}
			atSync = copyTree(t, dir)
		}
	}
	return atSync, copyTree(t, dir)
}

// After a crash of the machine, work goes on from the durable version, whose state
// is exact, although newer commits may have reached the disk; commits after it
// pass over what was left, and are found again after further restarts.
func TestMachineCrash(t *testing.T) {
	const durable, left = 20, 33
	_, dir := crashed(t, durable, left)
	rebooted(t, "second")

	d := openDir(t, dir)
	ks := openKeyspaceOf(t, d)
	ck := requireLatest(t, ks, durable)
	requireState(t, ks, ck.Version, history(durable))

	// Other batches than before: versions between those left, and beyond.
	m := history(durable)
	for _, cut := range []struct{ from, to uint64 }{{21, 27}, {28, 29}, {30, 31}, {32, 40}} {
		ck := m.commit(t, ks, cut.to, between(cut.from, cut.to))
		requireState(t, ks, ck.Version, m)
	}
	if _, err := Verify(ks); err != nil {
		t.Fatal(err)
	}
	killed, crashedAgain := copyTree(t, dir), copyTree(t, dir)

	t.Run("killed", func(t *testing.T) {
		ks := openKeyspaceOf(t, openDir(t, killed))
		requireState(t, ks, requireLatest(t, ks, 40).Version, m)
	})
	t.Run("crashed again", func(t *testing.T) {
		rebooted(t, "third")
		ks := openKeyspaceOf(t, openDir(t, crashedAgain))
		requireState(t, ks, requireLatest(t, ks, durable).Version, history(durable))
	})
	t.Run("closed", func(t *testing.T) {
		if err := errors.Join(ks.Close(), d.Close()); err != nil {
			t.Fatal(err)
		}
		rebooted(t, "third") // a clean end needs no machine that ran on
		ks := openKeyspaceOf(t, openDir(t, dir))
		requireState(t, ks, requireLatest(t, ks, 40).Version, m)

		// That end is over as soon as the keyspace is open again.
		before := maps.Clone(m)
		m.commit(t, ks, 41, historyAt(41))
		dir := copyTree(t, dir)
		rebooted(t, "fourth")
		ks = openKeyspaceOf(t, openDir(t, dir))
		requireState(t, ks, requireLatest(t, ks, 40).Version, before)
	})
}

// A machine whose boot id cannot be told counts as one that crashed, unless the
// keyspace was closed.
func TestUnknownBoot(t *testing.T) {
	rebooted(t, "")
	_, dir := crashed(t, 5, 9)
	requireLatest(t, openKeyspaceOf(t, openDir(t, dir)), 5)
}

// A keyspace of which nothing was synced is new after a crash of the machine.
func TestMachineCrashBeforeFirstSync(t *testing.T) {
	_, dir := crashed(t, 0, 9)
	rebooted(t, "second")
	ks := openKeyspaceOf(t, openDir(t, dir))
	if ck, err := ks.Latest(); !errors.Is(err, state.ErrNoCheckpoint) {
		t.Fatalf("latest is %d, %v", ck.Version.Sequence(), err)
	}
	requireState(t, ks, 0, model{})
}

// Whichever pages of the database reached the disk after the last sync before a
// power cut: the durable version is whole, and work can go on from it.
func TestTornPages(t *testing.T) {
	const durable, left = 20, 45
	atSync, atEnd := crashed(t, durable, left)
	rebooted(t, "second")
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			dir := copyTree(t, atEnd)
			tear(t, rand.New(rand.NewPCG(seed, 1)), dbPath(atSync), dbPath(dir))
			ks := openKeyspaceOf(t, openDir(t, dir))
			m := history(durable)
			requireState(t, ks, requireLatest(t, ks, durable).Version, m)
			for i := uint64(durable + 1); i <= left+3; i += 4 {
				m.commit(t, ks, i+3, between(i, i+3))
			}
			requireState(t, ks, requireLatest(t, ks, left+3).Version, m)
			if _, err := Verify(ks); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// tear puts back, in the logs of a database, half of the pages that changed since
// an older copy of it was made.
func tear(t *testing.T, r *rand.Rand, older, db string) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(db, "*.mem"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("logs %v, %v", logs, err)
	}
	torn := 0
	for _, path := range logs {
		torn += tearFile(t, r, filepath.Join(older, filepath.Base(path)), path)
	}
	if torn == 0 {
		t.Error("no page was torn")
	}
}

func tearFile(t *testing.T, r *rand.Rand, older, path string) (torn int) {
	t.Helper()
	before, err := os.Open(older)
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	now, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer now.Close()
	a, b := make([]byte, 4096), make([]byte, 4096)
	for at := int64(0); ; at += int64(len(a)) {
		if _, err := before.ReadAt(a, at); err != nil {
			return torn
		}
		if _, err := now.ReadAt(b, at); err != nil {
			return torn
		}
		if !bytes.Equal(a, b) && r.IntN(2) == 0 {
			if _, err := now.WriteAt(a, at); err != nil {
				t.Fatal(err)
			}
			torn++
		}
	}
}
