package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gnomon/engine/state"
)

// TestMain runs the tests, or, in a child process, what the parent's test ordered.
func TestMain(m *testing.M) {
	if role := os.Getenv(childRole); role != "" {
		os.Exit(childMain(role))
	}
	os.Exit(m.Run())
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// openDir takes a data directory until the test ends.
func openDir(t *testing.T, path string) *Dir {
	t.Helper()
	d, err := OpenDir(path, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// openKeyspaceOf opens the keyspace p/g of a data directory until the test ends.
func openKeyspaceOf(t *testing.T, d *Dir) *Keyspace {
	t.Helper()
	ks, err := d.Open(t.Context(), "p", "g", true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ks.Close() })
	return ks.(*Keyspace)
}

// model is the state that a keyspace should hold, kept beside it.
type model map[string][]byte

// change makes the writes of one commit in the model and returns them; a nil value
// deletes the key.
func (m model) change(changes map[string][]byte) []state.Write {
	var writes []state.Write
	for _, key := range slices.Sorted(maps.Keys(changes)) {
		value := changes[key]
		w := state.Write{Key: key, Value: value, Delete: value == nil, OldSize: len(m[key])}
		if w.Delete {
			delete(m, key)
		} else {
			m[key] = value
		}
		writes = append(writes, w)
	}
	return writes
}

// checkpoint says what the model amounts to.
func (m model) checkpoint(v state.Version) state.Checkpoint {
	ck := state.Checkpoint{Version: v, Position: state.Position{Stream: "S", Sequence: v.Sequence()}}
	for key, value := range m {
		ck.Keys++
		ck.Bytes += int64(len(key) + len(value))
		ck.Digest.Add(state.Term([]byte(key), value))
	}
	return ck
}

// commit commits changes at a sequence, to the model and to the keyspace.
func (m model) commit(t *testing.T, ks state.Keyspace, sequence uint64, changes map[string][]byte) state.Checkpoint {
	t.Helper()
	writes := m.change(changes)
	ck, err := ks.Commit(t.Context(), state.Commit{Checkpoint: m.checkpoint(state.VersionAt(sequence)), Writes: writes})
	if err != nil {
		t.Fatalf("commit %d: %v", sequence, err)
	}
	return ck
}

// requireState fails unless the keyspace holds exactly the model at a version, by
// a scan and key by key.
func requireState(t *testing.T, ks state.Keyspace, v state.Version, want model) {
	t.Helper()
	got, err := stateAt(ks, v)
	if err != nil {
		t.Fatalf("scan at %d: %v", v.Sequence(), err)
	}
	if !maps.EqualFunc(got, want, bytes.Equal) {
		t.Fatalf("state at %d is %s, want %s", v.Sequence(), show(got), show(want))
	}
	view, err := ks.View(v)
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	for key, value := range want {
		if b, ok, err := view.Get([]byte(key)); err != nil || !ok || !bytes.Equal(b, value) {
			t.Fatalf("get %q at %d: %d bytes, %v, %v; want %d bytes", key, v.Sequence(), len(b), ok, err, len(value))
		}
	}
}

// requireLatest fails unless the keyspace goes on from a sequence.
func requireLatest(t *testing.T, ks state.Keyspace, sequence uint64) state.Checkpoint {
	t.Helper()
	ck, err := ks.Latest()
	if err != nil || ck.Version.Sequence() != sequence || ck.Position.Sequence != sequence {
		t.Fatalf("latest is at %d, position %d, %v; want %d", ck.Version.Sequence(), ck.Position.Sequence, err, sequence)
	}
	return ck
}

// stateAt reads the whole state at a version, in the order of its keys.
func stateAt(ks state.Keyspace, v state.Version) (model, error) {
	view, err := ks.View(v)
	if err != nil {
		return nil, err
	}
	defer view.Close()
	got, last := model{}, ""
	err = view.Scan(nil, nil, func(key, value []byte) bool {
		if len(got) > 0 && string(key) <= last {
			panic(fmt.Sprintf("scan: %q after %q", key, last))
		}
		last = string(key)
		got[last] = bytes.Clone(value)
		return true
	})
	return got, err
}

// show lists a state with its values cut short.
func show(m model) string {
	s := fmt.Sprintf("%d keys:", len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if s += fmt.Sprintf(" %q=%d:%.12q", key, len(m[key]), m[key]); len(s) > 2000 {
			return s + " …"
		}
	}
	return s
}

// pattern is a value of a size, of which no two parts are alike.
func pattern(seed, size int) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}

// copyTree copies a data directory as it would be found after a crash. It may be
// open: Badger turning a log into a table meanwhile has it copied once more.
func copyTree(t *testing.T, from string) string {
	t.Helper()
	for range 1000 {
		to := filepath.Join(t.TempDir(), "data")
		before := listing(t, from)
		err := copyInto(from, to)
		if err == nil && listing(t, from) == before {
			return to
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	t.Fatalf("%s does not come to rest", from)
	return ""
}

func copyInto(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, path[len(from):])
		if d.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		return copyFile(path, target)
	})
}

// listing is the names and sizes of the files of a directory.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var s strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if info, err := d.Info(); err == nil && !d.IsDir() {
			fmt.Fprintln(&s, path, info.Size())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.String()
}

// dbPath is the database of the keyspace p/g.
func dbPath(data string) string { return filepath.Join(keyspaceDir(data, "p", "g"), "db") }

// hashTree is a hash of the names, modes and contents of all files below a
// directory, but for the file that says who uses it.
func hashTree(t *testing.T, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() == lockFile {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%q %v ", path[len(dir):], info.Mode())
		if !d.Type().IsRegular() {
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(h, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}
