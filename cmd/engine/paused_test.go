package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"gnomon/cmd/engine/cli"
)

// A projection that is paused is as somebody wants it: the next run warns, and says
// where it stands and how far it is behind. Who wants everything caught up is told that
// this one is not.
func TestPausedProjection(t *testing.T) {
	h := newHome(t, "seed.>", projection("count", "count.wasm")+projection("process", "process-map.wasm"))
	h.importLines(1, 10)
	h.runUntilReady(func(server string) { h.engine("pause", "count", "--server", server) })

	for _, tt := range []struct{ imported, behind int }{{0, 0}, {5, 5}} {
		h.importLines(11, tt.imported)
		stdout, stderr := h.runUntilReady(nil)
		if want := fmt.Sprintf("count is paused at 10, %d behind\n", tt.behind); !strings.Contains(stdout, want) {
			t.Errorf("stdout does not say %q:\n%s", want, stdout)
		}
		if strings.Contains(stdout, "count goes on") {
			t.Errorf("stdout says that a paused projection goes on:\n%s", stdout)
		}
		want := fmt.Sprintf(`"level":"WARN","msg":"projection is paused","projection":"count","position":10,"behind":%d,"hint":".*engine resume count"`, tt.behind)
		if !regexp.MustCompile(want).MatchString(stderr) || strings.Contains(stderr, "ERROR") {
			t.Errorf("stderr has not one warning, %s:\n%s", want, stderr)
		}
	}

	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"run", "--config", h.config, "--once"}, strings.NewReader(""), &stdout, &stderr)
	if want := "engine: projection count: paused: "; code != cli.ExitFailed || !strings.Contains(stderr.String(), want) {
		t.Errorf("run --once: exit %d, want %d and %q\n%s", code, cli.ExitFailed, want, stderr.Bytes())
	}
}

// importLines imports so many events of seedLine.
func (h *home) importLines(first, n int) {
	h.t.Helper()
	var b bytes.Buffer
	for i := range n {
		b.WriteString(seedLine(first + i))
	}
	file := filepath.Join(h.dir, "lines.jsonl")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		h.t.Fatal(err)
	}
	h.importLog(file)
}

// runUntilReady runs an engine until it has said everything that it says at its start,
// hands the address that it serves on to meanwhile, ends it, and returns what it said.
func (h *home) runUntilReady(meanwhile func(server string)) (stdout, stderr string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	said := &watched{text: "Ctrl-C stops", seen: make(chan struct{})}
	var errs bytes.Buffer
	code := make(chan int)
	go func() { code <- run(ctx, []string{"run", "--config", h.config}, strings.NewReader(""), said, &errs) }()
	select {
	case <-said.seen:
	case c := <-code:
		h.t.Fatalf("engine run ended: exit %d\n%s", c, errs.Bytes())
	}
	if meanwhile != nil {
		meanwhile(regexp.MustCompile(`Serving on (http://\S+)\.`).FindStringSubmatch(said.String())[1])
	}
	cancel()
	if c := <-code; c != cli.ExitDone {
		h.t.Fatalf("engine run: exit %d\n%s", c, errs.Bytes())
	}
	return said.String(), errs.String()
}

// watched keeps what is written, and tells when a text has been.
type watched struct {
	text string
	seen chan struct{} // closed then

	mu  sync.Mutex
	all strings.Builder
}

func (w *watched) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := strings.Contains(w.all.String(), w.text)
	w.all.Write(b)
	if !before && strings.Contains(w.all.String(), w.text) {
		close(w.seen)
	}
	return len(b), nil
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all.String()
}
