package store

import (
	"errors"
	"os"
	"strings"
	"testing"

	"gnomon/engine/state"
)

// On a disk that others have filled since it was last looked at, a commit is an error that
// leaves everything as it was, and can be made when there is room; so is opening another
// keyspace. One that is closed there is found as after a kill.
func TestNoRoom(t *testing.T) {
	dir := t.TempDir()
	d := openDir(t, dir)
	if err := d.CheckRoom(1); err != nil {
		t.Skip(err) // this machine's disk is full
	}
	ks := openKeyspaceOf(t, d)
	m := model{}
	m.commit(t, ks, 1, map[string][]byte{"a": []byte("1")})
	requireFull := func(err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "the disk has 5 MiB left, and 2") || !strings.Contains(err.Error(), "MiB may be needed: make room") {
			t.Errorf("error is %v", err)
		}
	}

	free := d.free
	d.free = func(string) (uint64, error) { return 5 << 20, nil }
	writes := []state.Write{{Key: "a", Value: []byte("2")}}
	_, err := ks.Commit(t.Context(), state.Commit{Checkpoint: m.checkpoint(state.VersionAt(2)), Writes: writes})
	requireFull(err)
	_, err = ks.Commit(t.Context(), state.Commit{Checkpoint: m.checkpoint(state.VersionAt(2)), Writes: writes, Memory: [][]byte{make([]byte, 4<<20)}})
	requireFull(err)
	requireState(t, ks, requireLatest(t, ks, 1).Version, m)
	_, err = d.Open(t.Context(), "p", "other", true)
	requireFull(err)
	if _, err := os.Stat(keyspaceDir(dir, "p", "other")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was made: %v", err)
	}

	d.free = free
	m.commit(t, ks, 2, map[string][]byte{"a": []byte("2")})
	requireState(t, ks, requireLatest(t, ks, 2).Version, m)

	d.free = func(string) (uint64, error) { return 5 << 20, nil }
	requireFull(ks.Close())
	killed := copyTree(t, dir)
	if id, err := readIdentity(keyspaceDir(killed, "p", "g")); err != nil || id.Clean || id.Durable != state.VersionAt(2) {
		t.Errorf("the identity says %+v, %v", id, err)
	}
	t.Cleanup(func() { _ = ks.db.Close() })
	again := openKeyspaceOf(t, openDir(t, killed))
	requireState(t, again, requireLatest(t, again, 2).Version, m)
}

// Whoever wants no reserve has no limit but the disk's.
func TestRoomIsNotWatched(t *testing.T) {
	d := openDir(t, t.TempDir())
	d.free = func(string) (uint64, error) { return 0, nil }
	ks := openKeyspaceOf(t, d)
	model{}.commit(t, ks, 1, map[string][]byte{"a": []byte("1")})
	if err := ks.Close(); err != nil {
		t.Error(err)
	}
}
