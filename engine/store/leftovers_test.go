package store

import (
	"fmt"
	"maps"
	"testing"

	"gnomon/engine/state"
)

// What a machine that crashed left above the durable version is gone for good:
// when the stream lost the same events and goes on with others, none of the lost
// ones shows in the state, at any version committed since.
func TestLeftoversOfAnotherHistory(t *testing.T) {
	const left = 33
	for _, durable := range []uint64{0, 20} {
		_, end := crashed(t, durable, left)
		for _, step := range []uint64{1, 4, 30} {
			t.Run(fmt.Sprintf("from %d by %d", durable, step), func(t *testing.T) {
				rebooted(t, "second")
				d := openDir(t, copyTree(t, end))
				ks := openKeyspaceOf(t, d)
				m := history(durable)
				for i := durable + step; i <= left+step; i += step {
					ck := m.commit(t, ks, i, map[string][]byte{fmt.Sprintf("other/%d", i): pattern(int(i), 50)})
					requireState(t, ks, ck.Version, m)
					if i == durable+2*step { // the process may end before the position has passed all
						if err := ks.Close(); err != nil {
							t.Fatal(err)
						}
						ks = openKeyspaceOf(t, d)
					}
				}
				if _, err := Verify(ks); err != nil {
					t.Fatal(err)
				}
				if len(ks.left) > 0 {
					t.Errorf("%d rows are still kept in mind", len(ks.left))
				}
			})
		}
	}
}

// A process that ends after it took back what was left, and before the commit that
// it did so for, is found where it stood before.
func TestCrashAmidLeftovers(t *testing.T) {
	const durable, left = 20, 33
	_, dir := crashed(t, durable, left)
	rebooted(t, "second")
	ks := openKeyspaceOf(t, openDir(t, dir))
	m := history(durable)
	m.commit(t, ks, 22, map[string][]byte{"other": []byte("first")})
	if err := ks.passLeftovers(state.VersionAt(27)); err != nil {
		t.Fatal(err)
	}

	ks = openKeyspaceOf(t, openDir(t, copyTree(t, dir)))
	requireState(t, ks, requireLatest(t, ks, 22).Version, m)
	for i := uint64(23); i <= left+1; i += 3 {
		ck := m.commit(t, ks, i, map[string][]byte{"other": pattern(int(i), 50)})
		requireState(t, ks, ck.Version, m)
	}
}

// A row left above the position is seen neither by reads of its key nor by scans,
// whatever it did to the key.
func TestLeftoversAreNotSeen(t *testing.T) {
	dir := t.TempDir()
	ks := openKeyspaceOf(t, openDir(t, dir))
	m := model{}
	at := m.commit(t, ks, 5, map[string][]byte{"changed": []byte("old"), "deleted": []byte("old"), "grown": []byte("old"), "shrunk": pattern(1, 2*chunkSize)})
	if _, err := ks.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := maps.Clone(m)
	m.commit(t, ks, 7, map[string][]byte{"changed": []byte("new"), "added": []byte("new"), "deleted": nil, "grown": pattern(2, 3*chunkSize), "shrunk": []byte("new")})
	left := copyTree(t, dir)

	rebooted(t, "second")
	ks = openKeyspaceOf(t, openDir(t, left))
	requireLatest(t, ks, 5)
	requireState(t, ks, at.Version, want)
	view, err := ks.View(at.Version)
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	if b, ok, err := view.Get([]byte("added")); ok || err != nil {
		t.Errorf("a key of a later version is read: %q, %v", b, err)
	}
}
