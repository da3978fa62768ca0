package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gnomon/cmd/engine/cli"
)

// A seed that was cut off, by a signal or by a kill, is completed by the next run,
// which says so; a run that could say something when it was cut off has said it.
func TestSeedThatWasCutOff(t *testing.T) {
	tests := []struct {
		name   string
		signal syscall.Signal
		once   bool
		exit   int // -1: killed
		says   string
	}{
		{"killed", syscall.SIGKILL, false, -1, ""},
		{"interrupted", syscall.SIGINT, false, cli.ExitDone, "stopping: stream LOG has only a part of %s, the next run goes on importing it\n"},
		{"interrupted, to run once", syscall.SIGINT, true, cli.ExitFailed,
			"engine: interrupted before every projection had caught up: stream LOG has only a part of %s, the next run goes on importing it\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, seed := newSeededHome(t)
			args := []string{"run", "--config", h.config}
			if tt.once {
				args = append(args, "--once")
			}
			out, exit := h.cutOff(seed, tt.signal, args...)
			if exit != tt.exit {
				t.Errorf("exit code %d, want %d\n%s", exit, tt.exit, out)
			}
			if tt.says != "" && !strings.Contains(out, fmt.Sprintf(tt.says, seed.path)) {
				t.Errorf("the run does not say what was cut off:\n%s", out)
			}
			total := int(seed.written.Load()) + 500
			seed.replaceByFile(total)
			next := h.engine("run", "--config", h.config, "--once")
			if !strings.Contains(next, "stream LOG: goes on importing "+seed.path+"\n") {
				t.Errorf("the next run does not say that it goes on:\n%s", next)
			}
			if all := fmt.Sprintf(`(?m)^count +live +%d +0 +1 `, total); !regexp.MustCompile(all).MatchString(next) {
				t.Errorf("the stream does not have all %d events:\n%s", total, next)
			}
			if last := h.engine("run", "--config", h.config, "--once"); strings.Contains(last, "importing") {
				t.Errorf("a seed that is complete is imported again:\n%s", last)
			}
		})
	}
}

// A stream that was filled by hand is left alone, although a seed is configured for it.
func TestSeedOfStreamWithEvents(t *testing.T) {
	h, seed := newSeededHome(t)
	seed.replaceByFile(3)
	other := filepath.Join(h.dir, "other.jsonl")
	if err := os.WriteFile(other, []byte(seedLine(7)), 0o600); err != nil {
		t.Fatal(err)
	}
	h.importLog(other)
	if out := h.engine("run", "--config", h.config, "--once"); strings.Contains(out, "importing") {
		t.Errorf("the stream was seeded:\n%s", out)
	}
}

// A part of a seed that is no longer configured stays as it is, and is spoken of once.
func TestSeedThatIsNoLongerConfigured(t *testing.T) {
	h, seed := newSeededHome(t)
	h.cutOff(seed, syscall.SIGKILL, "run", "--config", h.config)
	h.edit(fmt.Sprintf("seed = %q\n", seed.path), "")
	for _, want := range []bool{true, false} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), []string{"run", "--config", h.config, "--once"}, strings.NewReader(""), &stdout, &stderr); code != cli.ExitDone {
			t.Fatalf("exit %d\n%s", code, stderr.Bytes())
		}
		if strings.Contains(stdout.String(), "importing") {
			t.Errorf("the seed is imported:\n%s", stdout.Bytes())
		}
		if got := strings.Contains(stderr.String(), "engine import --stream LOG "+seed.path); got != want {
			t.Errorf("warned: %v, want %v\n%s", got, want, stderr.Bytes())
		}
	}
}

// pipe is a seed that never ends, so that an import of it can be cut off in the midst.
type pipe struct {
	t       *testing.T
	path    string
	written atomic.Int64 // lines
}

func seedLine(n int) string {
	return fmt.Sprintf(`{"subject":"seed.a","id":"%d","type":"t","time":"2026-01-31T12:00:00Z"}`+"\n", n)
}

// newSeededHome is a home with a projection, and a pipe as the seed of its stream.
func newSeededHome(t *testing.T) (*home, *pipe) {
	t.Helper()
	h := newHome(t, "seed.>", projection("count", "count.wasm"))
	p := &pipe{t: t, path: filepath.Join(h.dir, "seed.jsonl")}
	if err := syscall.Mkfifo(p.path, 0o600); err != nil {
		t.Fatal(err)
	}
	h.edit("name = \"LOG\"\n", fmt.Sprintf("name = \"LOG\"\nseed = %q\n", p.path))
	return h, p
}

// edit replaces the first occurrence of a text in the configuration.
func (h *home) edit(old, text string) {
	h.t.Helper()
	b, err := os.ReadFile(h.config)
	if err != nil {
		h.t.Fatal(err)
	}
	if !bytes.Contains(b, []byte(old)) {
		h.t.Fatalf("%q is not in the configuration:\n%s", old, b)
	}
	if err := os.WriteFile(h.config, bytes.Replace(b, []byte(old), []byte(text), 1), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// write writes lines until nobody reads them any more.
func (p *pipe) write() {
	f, err := os.OpenFile(p.path, os.O_WRONLY, 0) // waits for a reader
	if err != nil {
		p.t.Error(err)
		return
	}
	defer f.Close()
	for n := 1; ; n++ {
		if _, err := f.WriteString(seedLine(n)); err != nil {
			return
		}
		p.written.Store(int64(n))
	}
}

// replaceByFile makes the seed a file of so many lines.
func (p *pipe) replaceByFile(lines int) {
	p.t.Helper()
	var b bytes.Buffer
	for n := range lines {
		b.WriteString(seedLine(n + 1))
	}
	if err := os.Remove(p.path); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(p.path, b.Bytes(), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// cutOff starts a real process, sends it a signal when its stream has events, and
// returns what it printed and its exit code.
func (h *home) cutOff(seed *pipe, signal syscall.Signal, args ...string) (string, int) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "engine", args...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		h.t.Fatal(err)
	}
	written := make(chan struct{})
	go func() { defer close(written); seed.write() }()
	h.awaitStored(ctx)
	if err := c.Process.Signal(signal); err != nil {
		h.t.Fatal(err)
	}
	_ = c.Wait() // the exit code says it
	<-written
	if ctx.Err() != nil {
		h.t.Fatalf("the process did not end:\n%s", out.Bytes())
	}
	return out.String(), c.ProcessState.ExitCode()
}

// awaitStored waits until the files of the stream hold events.
func (h *home) awaitStored(ctx context.Context) {
	h.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		blocks, _ := filepath.Glob(h.data() + "/nats/jetstream/*/streams/LOG/msgs/*.blk")
		for _, b := range blocks {
			if info, err := os.Stat(b); err == nil && info.Size() > 0 {
				return
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			h.t.Fatal("waited for events in the stream in vain")
		}
	}
}
