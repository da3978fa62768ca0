package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gnomon/engine/state"
)

// tables makes a data directory with several tables, closed, and returns it and
// its state, which was committed last at sequence 3.
func tables(t *testing.T) (string, model) {
	t.Helper()
	dir, m := t.TempDir(), model{}
	d := openDir(t, dir)
	for n := range 3 {
		ks := openKeyspaceOf(t, d)
		changes := map[string][]byte{"large": pattern(n, chunkSize+100)}
		for i := range 300 {
			changes[fmt.Sprintf("key/%04d", n*200+i)] = pattern(i, 40)
		}
		m.commit(t, ks, uint64(n+1), changes)
		if err := ks.Close(); err != nil { // makes a table
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, m
}

// read opens a data directory that may be damaged, and reads it in every way. It
// returns the checkpoint and the state found; any difference between the ways is
// an error of the test.
func read(t *testing.T, data string) (ck state.Checkpoint, state model, err error) {
	t.Helper()
	d, err := OpenDir(data, quiet())
	if err != nil {
		return ck, nil, err
	}
	defer d.Close()
	ks, err := d.Open(t.Context(), "p", "g", true)
	if err != nil {
		return ck, nil, err
	}
	defer ks.Close()
	if ck, err = Verify(ks); err != nil {
		return ck, nil, err
	}
	if state, err = stateAt(ks, ck.Version); err == nil {
		requireState(t, ks, ck.Version, state)
	}
	return ck, state, err
}

// requireDamage fails unless an error says that data are damaged and where: it is
// state.ErrCorrupt or names a file below the data directory.
func requireDamage(t *testing.T, err error, data string) {
	t.Helper()
	if err == nil || !errors.Is(err, state.ErrCorrupt) && !strings.Contains(err.Error(), data) {
		t.Errorf("error is %v; want one that says what is damaged", err)
	}
	if err != nil && (strings.Contains(err.Error(), "\n") || len(err.Error()) > 600) {
		t.Errorf("error is no line to read: %q", err)
	}
}

// rewrite changes the bytes of a file.
func rewrite(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, change(b), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// flip inverts one bit of a file.
func flip(t *testing.T, path string, at int, bit uint) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	_, err = f.ReadAt(b[:], int64(at))
	b[0] ^= 1 << bit
	if _, err2 := f.WriteAt(b[:], int64(at)); err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
}

// A flipped bit in a table is found when the keyspace is opened: no read ever
// takes a key that it cannot find for one that is absent.
func TestFlippedBitInTable(t *testing.T) {
	t.Parallel()
	dir, _ := tables(t)
	paths, err := filepath.Glob(filepath.Join(dbPath(dir), "*.sst"))
	if err != nil || len(paths) < 2 {
		t.Fatalf("tables %v, %v", paths, err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		size := int(info.Size())
		places := []int{0, 1, size / 2, size - 1, size - 4, size - 5, size - 12, size - 16}
		for range 4 {
			places = append(places, r.IntN(size), size-1-r.IntN(20_000))
		}
		for _, at := range places {
			damaged := copyTree(t, dir)
			flip(t, filepath.Join(dbPath(damaged), filepath.Base(path)), at, r.UintN(8))
			_, _, err := read(t, damaged)
			if !errors.Is(err, state.ErrCorrupt) || !strings.Contains(err.Error(), filepath.Base(path)) {
				t.Errorf("%s, byte %d of %d: %v", filepath.Base(path), at, size, err)
			}
			requireDamage(t, err, damaged)
		}
	}
}

// A flipped bit or a lost end of any other file of the database of a closed
// keyspace either does no harm at all or is an error.
func TestFlippedBitInOtherFiles(t *testing.T) {
	t.Parallel()
	dir, want := tables(t)
	entries, err := os.ReadDir(dbPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	changes := map[string]func(b []byte, at int) []byte{
		"flip": func(b []byte, at int) []byte { b[at] ^= 0x10; return b },
		"cut":  func(b []byte, at int) []byte { return b[:at] },
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".sst" {
			continue
		}
		for how, change := range changes {
			for at := 0; at < min(fileSize(t, filepath.Join(dbPath(dir), e.Name())), 50); at += 11 {
				damaged := copyTree(t, dir)
				rewrite(t, filepath.Join(dbPath(damaged), e.Name()), func(b []byte) []byte { return change(b, at) })
				_, got, err := read(t, damaged)
				if err != nil {
					requireDamage(t, err, damaged)
				} else if !maps.EqualFunc(got, want, bytes.Equal) {
					t.Errorf("%s of %s at %d: state is %s", how, e.Name(), at, show(got))
				}
			}
		}
	}
}

func fileSize(t *testing.T, path string) int {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Size())
}

// A flipped bit in the log of a keyspace that was not closed costs at most commits
// that were not synced: the state found is one that was committed, or there is an
// error.
func TestFlippedBitInLog(t *testing.T) {
	t.Parallel()
	const durable, last = 12, 18
	_, dir := crashed(t, durable, last)
	r := rand.New(rand.NewPCG(3, 4))
	refused, shorter := 0, 0
	for range 16 {
		damaged := copyTree(t, dir)
		logs, err := filepath.Glob(filepath.Join(dbPath(damaged), "*.mem"))
		if err != nil || len(logs) != 1 {
			t.Fatalf("logs %v, %v", logs, err)
		}
		flip(t, logs[0], r.IntN(8_000), r.UintN(8)) // what the commits take of it
		ck, got, err := read(t, damaged)
		switch n := ck.Version.Sequence(); {
		case err != nil:
			requireDamage(t, err, damaged)
			refused++
		case n < durable || n > last || !maps.EqualFunc(got, history(n), bytes.Equal):
			t.Errorf("state at %d is %s", n, show(got))
		case n < last:
			shorter++
		}
	}
	if refused == 0 || shorter == 0 {
		t.Errorf("%d refused, %d shorter: the flips do not reach both sides of the durable version", refused, shorter)
	}
}

// A table, the manifest or the whole database that is gone is an error that names
// it, and nothing else is removed.
func TestLostFiles(t *testing.T) {
	t.Parallel()
	dir, _ := tables(t)
	tables, err := filepath.Glob(filepath.Join(keyspaceDir(dir, "p", "g"), "db", "*.sst")) // a compaction may have made others, or one of all
	if err != nil || len(tables) == 0 {
		t.Fatalf("tables %v, %v", tables, err)
	}
	for _, tc := range []struct{ name, lost string }{
		{"first table", "db/" + filepath.Base(tables[0])},
		{"last table", "db/" + filepath.Base(tables[len(tables)-1])},
		{"manifest", "db/MANIFEST"},
		{"database", "db"},
		{"identity", "keyspace.json"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			damaged := copyTree(t, dir)
			keyspace := keyspaceDir(damaged, "p", "g")
			if err := os.RemoveAll(filepath.Join(keyspace, tc.lost)); err != nil {
				t.Fatal(err)
			}
			before := files(t, keyspace, ".sst")
			_, _, err := read(t, damaged)
			requireDamage(t, err, damaged)
			if after := files(t, keyspace, ".sst"); after != before {
				t.Errorf("tables are now %s, were %s", after, before)
			}
			o := openOffline(t, damaged)
			if ks, err := o.Open(t.Context(), "p", "g", false); err == nil {
				t.Errorf("it opens for reading: %v", ks.Close())
			}
		})
	}
}

// A table that was not finished when a process was killed, and that the manifest
// does not name, is no damage.
func TestUnfinishedTable(t *testing.T) {
	dir, want := tables(t)
	rewrite(t, filepath.Join(keyspaceDir(dir, "p", "g"), identityFile), func(b []byte) []byte {
		return bytes.Replace(b, []byte(`"clean": true`), []byte(`"clean": false`), 1)
	})
	for name, content := range map[string][]byte{"000998.sst": nil, "000999.sst": make([]byte, 5000)} {
		if err := os.WriteFile(filepath.Join(dbPath(dir), name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := readOffline(t, dir); err != nil {
		t.Errorf("offline: %v", err)
	}
	if _, got, err := read(t, dir); err != nil || !maps.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("%v, state is %s", err, show(got))
	}
}

// A manifest that lost its end after a clean close is refused before the tables
// that it no longer names are removed.
func TestCutManifest(t *testing.T) {
	dir, _ := tables(t)
	before := files(t, dir, ".sst")
	rewrite(t, filepath.Join(dbPath(dir), "MANIFEST"), func(b []byte) []byte { return b[:len(b)-3] })
	if _, _, err := read(t, dir); !errors.Is(err, state.ErrCorrupt) || !strings.Contains(err.Error(), "MANIFEST is cut off") {
		t.Errorf("error is %v", err)
	}
	if after := files(t, dir, ".sst"); after != before {
		t.Errorf("tables are now %s, were %s", after, before)
	}
}

// files lists the files below a directory whose names have an ending.
func files(t *testing.T, dir, ext string) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ext) {
			names = append(names, path[len(dir):])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}

// A database that was put in the place of another one, empty or older, is not
// taken for it.
func TestReplacedDatabase(t *testing.T) {
	t.Parallel()
	dir, _ := tables(t)
	empty := t.TempDir()
	if err := errors.Join(openKeyspaceOf(t, openDir(t, empty)).Close()); err != nil {
		t.Fatal(err)
	}
	older, _ := crashed(t, 1, 2)
	for name, other := range map[string]string{"empty": empty, "older": older} {
		t.Run(name, func(t *testing.T) {
			damaged := copyTree(t, dir)
			if err := os.RemoveAll(dbPath(damaged)); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(dbPath(copyTree(t, other)), dbPath(damaged)); err != nil {
				t.Fatal(err)
			}
			_, _, err := read(t, damaged)
			if !errors.Is(err, state.ErrCorrupt) || !strings.Contains(err.Error(), "commits up to 3 were on disk") {
				t.Errorf("error is %v", err)
			}
		})
	}
}

// Rows that Badger finds whole but that are not those written are refused by
// reads and scans alike: the row of another key, a part that is gone, a count that
// does not fit.
func TestForgedRows(t *testing.T) {
	t.Parallel()
	key := []byte("large")
	for _, tc := range []struct {
		name string
		put  func(k *Keyspace, at uint64) error
		want string
	}{
		{"row of another key", func(k *Keyspace, at uint64) error {
			return put(k, at, states.key(key), seal(states.key([]byte("other")), kindInline, []byte("v")))
		}, "checksum does not match"},
		{"short row", func(k *Keyspace, at uint64) error { return put(k, at, states.key(key), []byte{0, 1}) }, "row of 2 bytes"},
		{"unknown kind", func(k *Keyspace, at uint64) error {
			return put(k, at, states.key(key), seal(states.key(key), 7, []byte("v")))
		}, "kind 7"},
		{"part is gone", func(k *Keyspace, at uint64) error { return put(k, at, states.chunkKey(key, 1), nil) }, "part is missing"},
		{"part is another", func(k *Keyspace, at uint64) error {
			return put(k, at, states.chunkKey(key, 1), seal(states.chunkKey(key, 0), kindInline, []byte("v")))
		}, "checksum does not match"},
		{"part is short", func(k *Keyspace, at uint64) error {
			return put(k, at, states.chunkKey(key, 1), seal(states.chunkKey(key, 1), kindInline, []byte("v")))
		}, "for a value of"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ks := openKeyspaceOf(t, openDir(t, t.TempDir()))
			ck := model{}.commit(t, ks, 4, map[string][]byte{"a": []byte("1"), "large": pattern(1, 2*chunkSize), "z": []byte("2")})
			if err := tc.put(ks, uint64(ck.Version)); err != nil {
				t.Fatal(err)
			}
			view, err := ks.View(ck.Version)
			if err != nil {
				t.Fatal(err)
			}
			defer view.Close()
			_, _, get := view.Get(key)
			scan := view.Scan([]byte("l"), nil, func(_, _ []byte) bool { return true })
			_, verify := Verify(ks)
			for name, err := range map[string]error{"get": get, "scan": scan, "verify": verify} {
				if !errors.Is(err, state.ErrCorrupt) || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("%s: %v; want %q", name, err, tc.want)
				}
			}
		})
	}
	t.Run("row too many", func(t *testing.T) {
		ks := openKeyspaceOf(t, openDir(t, t.TempDir()))
		ck := model{}.commit(t, ks, 4, map[string][]byte{"a": []byte("1")})
		if err := put(ks, uint64(ck.Version), states.key(key), seal(states.key(key), kindInline, []byte("v"))); err != nil {
			t.Fatal(err)
		}
		if _, err := stateAt(ks, ck.Version); !errors.Is(err, state.ErrCorrupt) {
			t.Errorf("scan: %v", err)
		}
	})
}

// put writes a row past the keyspace; nil deletes it.
func put(k *Keyspace, at uint64, key, row []byte) error {
	tx := k.db.NewTransactionAt(at, true)
	defer tx.Discard()
	var err error
	if row == nil {
		err = tx.Delete(key)
	} else {
		err = tx.Set(key, row)
	}
	return errors.Join(err, tx.CommitAt(at, nil))
}

// openOffline opens a data directory for reading until the test ends.
func openOffline(t *testing.T, path string) *Offline {
	t.Helper()
	o, err := OpenOffline(path, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	return o
}
