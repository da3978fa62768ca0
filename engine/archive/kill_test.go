package archive_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"gnomon/engine/archive"
	"gnomon/engine/state"
	"gnomon/engine/store"
)

// The environment of a child process, beside childRole: the file that it imports, and the
// data directory.
const (
	childFile = "GNOMON_ARCHIVE_TEST_FILE"
	childDir  = "GNOMON_ARCHIVE_TEST_DIR"
)

// childMain imports an archive into a data directory, and says when it begins.
func childMain() int {
	err := func() error {
		d, err := store.OpenDir(os.Getenv(childDir), quiet)
		if err != nil {
			return err
		}
		f, err := os.Open(os.Getenv(childFile))
		if err != nil {
			return err
		}
		r, err := archive.NewReader(f)
		if err != nil {
			return err
		}
		fmt.Println("begin")
		_, err = r.Import(context.Background(), d, "p", "g")
		return err
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// importInChild imports a file in a process that is killed after a time, unless it has
// ended before; 0: never. It returns how long it ran.
func importInChild(t *testing.T, data, file string, killAfter time.Duration) time.Duration {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	// The race detector would let it sleep at its end.
	cmd.Env = append(os.Environ(), childRole+"=import", childDir+"="+data, childFile+"="+file, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("the child did not begin: ", cmd.Wait())
	}
	began := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var kill <-chan time.Time
	if killAfter > 0 {
		kill = time.After(killAfter)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Fatal("the child: ", err)
		}
	case <-kill:
		if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		<-ended
	}
	return time.Since(began)
}

// voyage is a state at two times, with the archives that lead there.
type voyage struct {
	first, between, last frozen // between is a step of the incremental archive
	full, incremental    string // files
}

// newVoyage makes one of about so many keys.
func newVoyage(t *testing.T, keys int) voyage {
	t.Helper()
	ks := keyspace(t, dir(t, t.TempDir()))
	h := newHistory(21, false)
	h.keys, h.pace, h.large = keys, 200, 2000
	commits := func(n int) frozen {
		for range n {
			h.commit(t, ks)
		}
		return h.freeze()
	}
	var v voyage
	h.now = true
	v.first = commits(keys / 50)
	ks.Pin(v.first.ck.Version)
	commits(keys / 200)
	h.now = true
	v.between = commits(1)
	v.last = commits(keys / 200)

	folder := t.TempDir()
	v.full, v.incremental = filepath.Join(folder, "full"), filepath.Join(folder, "incremental")
	for path, file := range map[string][]byte{
		v.full: export(t, ks, v.first.ck.Version, 0), v.incremental: export(t, ks, v.last.ck.Version, v.first.ck.Version),
	} {
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

// An import that is killed leaves all or nothing: of a full archive the keyspace as it
// should be or none, of an incremental one the keyspace at its base or at one of the steps.
// What it left beside that is gone when the directory is opened again, and the import can
// be repeated.
func TestKilledImport(t *testing.T) {
	rounds, keys := 10, 10_000
	if testing.Short() {
		rounds, keys = 3, 3000
	}
	v := newVoyage(t, keys)
	data := t.TempDir()
	full := importInChild(t, data, v.full, 0)
	incremental := importInChild(t, data, v.incremental, 0)
	v.last.requireIn(t, data)

	left := map[string]int{}
	for range rounds {
		data := t.TempDir()
		importInChild(t, data, v.full, upTo(full))
		left["full: "+v.found(t, data)]++
		if found(t, data) == nil {
			importInChild(t, data, v.full, 0)
		}
		v.first.requireIn(t, data)
		importInChild(t, data, v.incremental, upTo(incremental))
		left["incremental: "+v.found(t, data)]++
		importInChild(t, data, v.incremental, 0)
		v.last.requireIn(t, data)
	}
	t.Logf("imports took %v and %v; after a kill there was: %v", full, incremental, left)
}

// upTo is a random time, now and then more than another one.
func upTo(d time.Duration) time.Duration { return 1 + time.Duration(rand.Int64N(int64(d)*13/10)) }

// found returns the checkpoint of the keyspace of a data directory; nil: there is none.
func found(t *testing.T, data string) (ck *state.Checkpoint) {
	t.Helper()
	withKeyspace(t, data, func(ks state.Keyspace) {
		if ks == nil {
			return
		}
		got, err := ks.Latest()
		if err != nil {
			t.Fatal(err)
		}
		ck = &got
	})
	return ck
}

// withKeyspace opens a data directory, in which there is nothing beside the keyspace.
func withKeyspace(t *testing.T, data string, fn func(state.Keyspace)) {
	t.Helper()
	d, err := store.OpenDir(data, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	ks, err := d.Open(t.Context(), "p", "g", false)
	entries, _ := os.ReadDir(filepath.Join(data, "projections", "p"))
	for _, e := range entries {
		if e.Name() != "g" {
			t.Errorf("%s is left", e.Name())
		}
	}
	switch {
	case errors.Is(err, state.ErrNoKeyspace):
		fn(nil)
	case err != nil:
		t.Fatal(err)
	default:
		fn(ks)
		if err := ks.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// found says which of its states there is, and checks that it is whole.
func (v voyage) found(t *testing.T, data string) string {
	t.Helper()
	ck := found(t, data)
	if ck == nil {
		return "nothing"
	}
	for name, f := range map[string]frozen{"first": v.first, "between": v.between, "last": v.last} {
		if f.ck.Version == ck.Version {
			f.requireIn(t, data)
			return name
		}
	}
	t.Fatalf("the keyspace is at %d", ck.Version)
	return ""
}

// requireIn fails unless the keyspace of a data directory is just that.
func (f frozen) requireIn(t *testing.T, data string) {
	t.Helper()
	withKeyspace(t, data, func(ks state.Keyspace) {
		if ks == nil {
			t.Fatal("there is no keyspace")
		}
		f.require(t, ks)
	})
}
