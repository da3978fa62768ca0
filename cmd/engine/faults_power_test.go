//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"gnomon/engine"
)

// When the power is cut under an engine and its embedded server, with whatever was not
// yet on the disk lost, the projection goes on from a position at or after the durable one
// that was reported, and its state is what the stream that is left makes it; or that
// stream is not the one that was read, and this is said before anything is applied.
func TestPowerLoss(t *testing.T) {
	long(t)
	for _, c := range []struct {
		sync string // of the server's files
		want []engine.RunnerState
	}{
		{"0s", []engine.RunnerState{engine.Live}}, // every event that was acknowledged is there
		{"1s", []engine.RunnerState{engine.Live, engine.Diverged}},
		{"1h", []engine.RunnerState{engine.Diverged}}, // the stream is gone, or short of what was read
	} {
		t.Run("server synced every "+c.sync, func(t *testing.T) {
			h, cut := onDiskThatLosesPower(t, "[nats.embedded]\nsync_interval = \""+c.sync+"\"")
			p := h.serve()
			p.publish(0, 2000)
			before := p.await("count", "it is durable", func(s engine.Status) bool { return s.Durable >= 2000 })
			p.publish(2000, 500)

			after := cut(p)
			forgetBoot(t, after.data())
			p = after.serve()
			s := p.await("count", "it is live or diverged", func(s engine.Status) bool {
				return s.State == engine.Live || s.State == engine.Diverged
			})
			t.Logf("%s at %d, durable was %d: %s", s.State, s.Position, before.Durable, s.Reason)
			switch {
			case s.State != c.want[0] && s.State != c.want[len(c.want)-1]:
				t.Errorf("it is %s", s.State)
			case s.Start < before.Durable:
				t.Errorf("it went on after %d, though %d was reported as durable", s.Start, before.Durable)
			case s.State == engine.Live && c.sync == "0s" && s.Position != 2500:
				t.Errorf("it ends at %d: events that were acknowledged are lost", s.Position)
			case s.State == engine.Diverged:
				after.wantServed(p, before.Durable)
			default:
				after.wantAsAnew(p)
			}
		})
	}
}

// publish appends events through the engine.
func (p *process) publish(first, n int) {
	p.t.Helper()
	if _, err := p.client.Import(p.t.Context(), "LOG", eventLines(first, n)); err != nil {
		p.t.Fatal(err)
	}
}

// onDiskThatLosesPower is a home whose data is on a disk of its own, and what cuts the
// power of that: it returns a home with what was on the disk then.
func onDiskThatLosesPower(t *testing.T, tables string) (h *home, cut func(p *process) *home) {
	t.Helper()
	image := filepath.Join(t.TempDir(), "disk")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 512<<20)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", image).CombinedOutput(); err != nil {
		t.Skipf("making a file system is not possible here: %v: %s", err, out)
	}
	at := func(image string) *home {
		h := newHome(t, "log.>", projection("count", "count.wasm"))
		mount(t, h.data(), "-o", "loop", image)
		h.configure(`disk_reserve = "0B"`, tables)
		return h
	}
	h = at(image)
	if err := os.Remove(filepath.Join(h.data(), "lost+found")); err != nil {
		t.Fatal(err)
	}
	h.linkCache()
	// What the file system itself has to write is on the disk before anything begins.
	if out, err := exec.Command("sync", "-f", h.data()).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return h, func(p *process) *home {
		p.signal(syscall.SIGSTOP)
		left := image + "-left"
		if out, err := exec.Command("cp", "--sparse=always", image, left).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		p.signal(syscall.SIGKILL)
		_, _ = p.wait()
		return at(left)
	}
}

// forgetBoot makes keyspaces those of another run of the machine: the test did not
// really restart it.
func forgetBoot(t *testing.T, data string) {
	t.Helper()
	found := 0
	err := filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "keyspace.json" {
			return err
		}
		found++
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var id map[string]json.RawMessage
		if err := json.Unmarshal(b, &id); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if string(id["clean"]) == "true" || id["boot"] == nil {
			return fmt.Errorf("%s does not say that it was in use: %s", path, b)
		}
		id["boot"] = json.RawMessage(`"another"`)
		if b, err = json.Marshal(id); err != nil {
			return err
		}
		return os.WriteFile(path, b, 0o600)
	})
	if err != nil || found == 0 {
		t.Fatalf("%d keyspaces: %v", found, err)
	}
}

// wantServed checks that what was durable is read, though the stream is another.
func (h *home) wantServed(p *process, durable uint64) {
	h.t.Helper()
	if got, err := p.client.Get(h.t.Context(), "count", []byte("log.0")); err != nil || got.Sequence < durable {
		h.t.Errorf("what is served reflects %d, %v; want %d", got.Sequence, err, durable)
	}
}

// wantAsAnew ends an engine, and checks that its state is that of a projection which
// reads the same stream from the start.
func (h *home) wantAsAnew(p *process) {
	h.t.Helper()
	p.signal(syscall.SIGTERM)
	if out, err := p.wait(); err != nil {
		h.t.Fatalf("%v\n%s", err, out)
	}
	anew := newHome(h.t, "log.>", projection("count", "count.wasm"))
	if err := os.CopyFS(anew.data()+"/nats", os.DirFS(h.data()+"/nats")); err != nil {
		h.t.Fatal(err)
	}
	anew.runOnce()
	if got, want := h.digests()["count"], anew.digests()["count"]; got != want {
		h.t.Errorf("digest %s, want %s", got, want)
	}
}
