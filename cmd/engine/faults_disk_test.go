//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"gnomon/cmd/engine/cli"
	"gnomon/engine"
	"gnomon/internal/testutil/natstest"
)

// mount mounts something for a test, which is skipped where that is not allowed.
func mount(t *testing.T, dir string, args ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting a disk needs root")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", append(args, dir)...).CombinedOutput(); err != nil {
		t.Skipf("mounting a disk is not possible here: %v: %s", err, out)
	}
	t.Cleanup(func() { unmount(t, dir) })
}

func unmount(t *testing.T, dir string) {
	t.Helper()
	if err := syscall.Unmount(dir, 0); err != nil && !errors.Is(err, syscall.EINVAL) { // EINVAL: it is not mounted
		t.Errorf("unmount %s: %v", dir, err)
	}
}

// onSmallDisk is a home whose data is on a disk of 160 MiB, of which 64 are kept free,
// and whose events are on a server elsewhere.
func onSmallDisk(t *testing.T) (h *home, publish func(n int)) {
	t.Helper()
	h = newHome(t, "log.>", projection("count", "count.wasm"))
	mount(t, h.data(), "-t", "tmpfs", "-o", "size=160m,mode=0700", "tmpfs")
	h.linkCache()
	server := natstest.Start(t)
	h.configure(`disk_reserve = "64MiB"`, fmt.Sprintf("[nats]\nurl = %q", server.URL()))
	js := server.JetStream(t)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "LOG", Subjects: []string{"log.>"}}); err != nil {
		t.Fatal(err)
	}
	return h, func(n int) {
		t.Helper()
		for range n {
			if _, err := js.Publish(t.Context(), "log.a", []byte("{}")); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// ballast fills a disk until so many bytes are left.
func ballast(t *testing.T, dir string, left uint64) (file string) {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	free := st.Bavail * uint64(st.Bsize)
	if free < left {
		t.Fatalf("only %d bytes are left already", free)
	}
	file = filepath.Join(dir, fmt.Sprint("ballast-", left))
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Fallocate(int(f.Fd()), 0, 0, int64(free-left)); err != nil {
		t.Fatal(err)
	}
	return file
}

// On a disk that fills up an engine takes no more events and says why; what it has is
// read, even when nothing at all is left, and it goes on by itself when there is room.
func TestDiskFull(t *testing.T) {
	h, publish := onSmallDisk(t)
	publish(100)
	p := h.serve()
	p.awaitLive("count", 100)

	first := ballast(t, h.data(), 40<<20)
	s := p.await("count", "it is stalled", func(s engine.Status) bool { return s.State == engine.Stalled })
	if !strings.Contains(s.Reason, "the disk has 40 MiB left, and 64 MiB are kept free (disk_reserve)") || !strings.Contains(s.Hint, "make room") {
		t.Errorf("reason %q, hint %q", s.Reason, s.Hint)
	}
	publish(100)
	second := ballast(t, h.data(), 0)
	if got, err := p.client.Get(t.Context(), "count", []byte("log.a")); err != nil || got.Sequence != 100 {
		t.Errorf("while the disk is full: %+v, %v", got, err)
	}
	if _, err := p.client.Projections(t.Context()); err != nil {
		t.Error(err)
	}

	if err := errors.Join(os.Remove(first), os.Remove(second)); err != nil {
		t.Fatal(err)
	}
	p.awaitLive("count", 200)
	if got, err := p.client.Get(t.Context(), "count", []byte("log.a")); err != nil || got.Sequence != 200 {
		t.Errorf("when there is room again: %+v, %v", got, err)
	}
	p.signal(syscall.SIGTERM)
	if out, err := p.wait(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// An engine that is started on a full disk says what it needs, and touches nothing: with
// room it starts as if nothing had been.
func TestDiskFullAtStart(t *testing.T) {
	h, publish := onSmallDisk(t)
	publish(10)
	h.runOnce()
	for _, left := range []uint64{20 << 20, 64 << 10, 0} {
		full := ballast(t, h.data(), left)
		before := listed(t, h.data())
		p := h.start("--once")
		out, err := p.wait()
		var exit *exec.ExitError
		want := fmt.Sprintf("the disk has %d MiB left, and opening 1 keyspaces may take 24 MiB: make room; nothing was touched", left>>20)
		if !errors.As(err, &exit) || exit.ExitCode() != cli.ExitFailed || !strings.Contains(out, h.data()) || !strings.Contains(out, want) {
			t.Errorf("with %d bytes left: %v\n%s\nwant %q", left, err, out, want)
		}
		if after := listed(t, h.data()); after != before {
			t.Errorf("files were\n%sand are\n%s", before, after)
		}
		if err := os.Remove(full); err != nil {
			t.Fatal(err)
		}
	}
	publish(10)
	h.runOnce()
	if out := h.engine("get", "--data-dir", h.data(), "count", "log.a", "--json"); !strings.Contains(out, `"as_of_seq":20`) {
		t.Error(out)
	}
}

// listed are the files of a directory with their sizes, but for the lock, which says
// who tried last.
func listed(t *testing.T, dir string) string {
	t.Helper()
	var s strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() == "LOCK" {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().IsRegular() {
			fmt.Fprintln(&s, path, info.Size())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.String()
}

// A data directory that cannot be written to, or is none, is named at the start.
func TestUnusableDataDirectory(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, h *home){
		"read-only file system": func(t *testing.T, h *home) {
			mount(t, h.data(), "-t", "tmpfs", "-o", "size=16m,ro", "tmpfs")
		},
		"read-only, with data in it": func(t *testing.T, h *home) {
			mount(t, h.data(), "-t", "tmpfs", "-o", "size=160m", "tmpfs")
			h.linkCache()
			h.runOnce()
			if out, err := exec.Command("mount", "-o", "remount,ro", h.data()).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		},
		"a directory without permission": func(t *testing.T, h *home) {
			if os.Geteuid() == 0 {
				t.Skip("root may write everywhere")
			}
			if err := os.Chmod(h.data(), 0o500); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Chmod(h.data(), 0o700) })
		},
		"a file": func(t *testing.T, h *home) {
			if err := errors.Join(os.RemoveAll(h.data()), os.WriteFile(h.data(), []byte("mine"), 0o600)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t, "log.>", projection("count", "count.wasm"))
			h.configure(`disk_reserve = "0B"`, "")
			spoil(t, h)
			var out strings.Builder
			code := run(context.Background(), []string{"run", "--once", "--config", h.config}, strings.NewReader(""), &out, &out)
			if code != cli.ExitFailed || !strings.Contains(out.String(), h.data()) || strings.Count(out.String(), "\n") != 1 {
				t.Errorf("exit %d\n%s\nwant one line that names %s", code, out.String(), h.data())
			}
		})
	}
}

// Other programs that take all that is left at once, before anybody has looked again, do not
// end an engine in the midst of its work: it says what is missing, and goes on with room.
func TestDiskTakenAtOnce(t *testing.T) {
	h, publish := onSmallDisk(t)
	publish(100)
	p := h.serve()
	p.awaitLive("count", 100)
	for round := range uint64(3) {
		at := 100 * (round + 1)
		full := ballast(t, h.data(), 0)
		publish(100) // at once
		s := p.await("count", "it is stalled", func(s engine.Status) bool { return s.State == engine.Stalled })
		if s.Committed != at || !strings.Contains(s.Reason, "the disk has 0 MiB left, and") {
			t.Errorf("at %d: %s", s.Committed, s.Reason)
		}
		if err := os.Remove(full); err != nil {
			t.Fatal(err)
		}
		p.awaitLive("count", at+100)
	}
	p.signal(syscall.SIGTERM)
	if out, err := p.wait(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// An engine that is ended while its disk is full says so, and leaves what a kill would: the
// next one, with room, goes on where it stood.
func TestDiskFullAtEnd(t *testing.T) {
	h, publish := onSmallDisk(t)
	publish(100)
	p := h.serve()
	p.awaitLive("count", 100)
	full := ballast(t, h.data(), 0)
	p.signal(syscall.SIGTERM)
	out, err := p.wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != cli.ExitFailed || !strings.Contains(out, "the disk has 0 MiB left, and 24 MiB may be needed: make room") {
		t.Errorf("%v\n%.2000s", err, out)
	}
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	publish(100)
	p = h.serve()
	if s := p.awaitLive("count", 200); s.Start != 100 {
		t.Errorf("it went on after %d, though 100 was committed", s.Start)
	}
	if got, err := p.client.Get(t.Context(), "count", []byte("log.a")); err != nil || len(got.Value) != 8 || got.Value[0] != 200 {
		t.Errorf("it counted %x, %v", got.Value, err)
	}
}
