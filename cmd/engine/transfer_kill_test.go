package main

import (
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"gnomon/engine/store"
)

// An import that is killed at any moment leaves a projection without a state, or with all of
// what was imported; it can be imported again, and the engine starts on what there is.
func TestTransferKilled(t *testing.T) {
	long(t)
	t.Setenv("GNOMON_CACHE", compiled(t))
	w := newTraffic(t)
	w.publish(400)
	p := w.home.serve()
	want := p.awaitLive("count", w.stored)
	file := filepath.Join(t.TempDir(), "count"+archiveEnding)
	w.home.engine("snapshot", "export", "count", "-o", file, "--server", p.url())
	h := trafficHome(t, w.server)
	args := []string{"snapshot", "import", "count", file, "--config", h.config}
	whole := 0
	took := 20 * time.Millisecond
	for round := 0; whole == 0; round++ {
		c := exec.Command("engine", args...)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		kill := time.AfterFunc(took, func() { _ = c.Process.Signal(syscall.SIGKILL) }) // it may have ended
		err := c.Wait()
		kill.Stop()
		records, rerr := store.ReadCatalog(h.data())
		live := rerr == nil && records["count"].Live != ""
		if err == nil && !live {
			t.Fatalf("round %d: it is done, and there is no state", round)
		}
		if live {
			whole++
		}
		took += 5 * time.Millisecond
		if round > 300 {
			t.Fatal("it never ends")
		}
	}
	q := h.serve()
	got := q.awaitLive("count", w.stored)
	if got.Digest != want.Digest || got.Start != w.stored || got.Events != 0 {
		t.Errorf("it began at %d, applied %d, and has digest %s; want %d, 0, %s", got.Start, got.Events, got.Digest, w.stored, want.Digest)
	}
	if ids := keyspacesOf(t, h, "count"); len(ids) != 1 || ids[0] != got.Generation {
		t.Errorf("there are the keyspaces %v, want %s alone", ids, got.Generation)
	}
}

// keyspacesOf lists the folders of a projection.
func keyspacesOf(t *testing.T, h *home, projection string) (ids []string) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(h.data(), "projections", projection, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range all {
		ids = append(ids, filepath.Base(dir))
	}
	return ids
}
