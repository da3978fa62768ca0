package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gnomon/engine/state"
)

// An offline reader sees exactly what an engine would, whatever way the last one
// ended, changes no byte of the directory, and leaves no file behind.
func TestOffline(t *testing.T) {
	const durable, last = 20, 33
	closed := t.TempDir()
	d := openDir(t, closed)
	ks := openKeyspaceOf(t, d)
	m := history(last)
	m.commit(t, ks, last, m)
	if err := errors.Join(ks.Close(), d.Close()); err != nil {
		t.Fatal(err)
	}
	_, crashed := crashed(t, durable, last)
	several, _ := tables(t)

	for _, tc := range []struct {
		name, dir, boot string
		sequence        uint64
	}{
		{"closed", closed, "", last},
		{"killed", crashed, "", last},
		{"machine crashed", crashed, "second", durable},
		{"several tables", several, "", 3},
		{"tables that cannot be written", several, "", 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if strings.Contains(tc.name, "cannot be written") {
				asked := writable
				t.Cleanup(func() { writable = asked })
				writable = func(string) bool { return false }
			}
			if tc.boot != "" {
				rebooted(t, tc.boot)
			}
			t.Setenv("TMPDIR", t.TempDir())
			dir := copyTree(t, tc.dir)
			makeReadOnly(t, dir)
			before, lock := hashTree(t, dir), readHolder(dir)

			o := openOffline(t, dir)
			ks, err := o.Open(t.Context(), "p", "g", true)
			if err != nil {
				t.Fatal(err)
			}
			ck := requireLatest(t, ks, tc.sequence)
			if _, err := Verify(ks); err != nil {
				t.Fatal(err)
			}
			got, err := stateAt(ks, ck.Version)
			if err != nil {
				t.Fatal(err)
			}
			if ks.DiskBytes() < 10_000 {
				t.Errorf("size on disk is %d", ks.DiskBytes())
			}
			if err := errors.Join(ks.Close(), o.Close()); err != nil {
				t.Fatal(err)
			}
			if hashTree(t, dir) != before || readHolder(dir) != lock {
				t.Error("the directory was changed")
			}
			if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}

			online := openKeyspaceOf(t, openDir(t, copyTree(t, tc.dir)))
			if l := requireLatest(t, online, tc.sequence); l.Version != ck.Version || l.Digest != ck.Digest {
				t.Errorf("an engine goes on from %+v, the reader says %+v", l, ck)
			}
			requireState(t, online, ck.Version, got)
		})
	}
}

// makeReadOnly lets nobody but root write the files of a directory.
func makeReadOnly(t *testing.T, dir string) {
	t.Helper()
	for _, path := range []string{filepath.Join(keyspaceDir(dir, "p", "g"), identityFile), filepath.Join(dir, CatalogFile), filepath.Join(dir, lockFile)} {
		if err := os.Chmod(path, 0o400); err != nil {
			t.Fatal(err)
		}
	}
}

// Two readers can read a keyspace at the same time, each with views of its own.
func TestOfflineTwice(t *testing.T) {
	t.Parallel()
	dir, want := tables(t)
	for range 2 {
		ks, err := openOffline(t, dir).Open(t.Context(), "p", "g", false)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ks.Close() })
		requireState(t, ks, state.VersionAt(3), want)
		requireState(t, ks, state.VersionAt(3), want)
	}
}

// A reader makes nothing: what is not there is named in the error.
func TestOfflineAbsent(t *testing.T) {
	t.Parallel()
	dir, _ := tables(t)
	before := hashTree(t, dir)
	o := openOffline(t, dir)
	for _, name := range []string{"p", "q"} {
		_, err := o.Open(t.Context(), name, "other", true)
		if !errors.Is(err, state.ErrNoKeyspace) || !strings.Contains(err.Error(), name+"/other") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if hashTree(t, dir) != before {
		t.Error("the directory was changed")
	}

	empty := t.TempDir()
	for _, path := range []string{empty, filepath.Join(empty, "none")} {
		if _, err := OpenOffline(path, quiet()); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if left, err := os.ReadDir(empty); err != nil || len(left) > 0 {
		t.Errorf("made: %v, %v", left, err)
	}
}
