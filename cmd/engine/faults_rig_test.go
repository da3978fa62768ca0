package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/query/client"
	"gnomon/engine/store"
)

// patience is how long a test waits for what has to come.
const patience = time.Minute

// long skips a test that takes minutes with the race detector.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes long with the race detector: make faults runs it without")
	}
}

// soaking tells whether tests have all the time they want: make soak.
func soaking() bool { return os.Getenv("GNOMON_SOAK") != "" }

// configure puts keys before the first table of the configuration, and text after it.
func (h *home) configure(keys, tables string) {
	h.t.Helper()
	text, err := os.ReadFile(h.config)
	if err == nil {
		err = os.WriteFile(h.config, fmt.Appendf(nil, "%s\n%s\n%s\n", keys, text, tables), 0o600)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// process is a real engine that runs in a home.
type process struct {
	t      *testing.T
	home   *home
	cmd    *exec.Cmd
	client *client.Client
	out    bytes.Buffer // read when it has ended
	ended  chan error
}

// start starts "engine run", and kills it at the end of the test.
func (h *home) start(args ...string) *process {
	h.t.Helper()
	p := &process{t: h.t, home: h, cmd: exec.Command("engine", append([]string{"run", "--config", h.config}, args...)...), ended: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	if err := p.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	h.t.Cleanup(func() {
		p.signal(syscall.SIGKILL)
		p.wait()
	})
	return p
}

// serve starts an engine and waits until it answers.
func (h *home) serve() *process {
	h.t.Helper()
	p := h.start()
	p.until("it serves", func() bool {
		holder, _ := store.Running(h.data())
		if holder.PID != p.cmd.Process.Pid || holder.HTTP == "" {
			return false
		}
		var err error
		if p.client, err = client.New("http://"+holder.HTTP, ""); err != nil {
			h.t.Fatal(err)
		}
		return true
	})
	return p
}

// until waits for a condition; that the process ends meanwhile is a failure.
func (p *process) until(what string, holds func() bool) {
	p.t.Helper()
	timeout, tick := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case err := <-p.ended:
			p.ended <- err
			p.t.Fatalf("waiting until %s: the engine ended: %v\n%s", what, err, p.out.Bytes())
		case <-timeout:
			p.t.Fatalf("waited in vain until %s", what)
		}
	}
}

// await waits until the status of a projection is as wanted.
func (p *process) await(name, what string, ok func(engine.Status) bool) (s engine.Status) {
	p.t.Helper()
	defer func() {
		if p.t.Failed() {
			p.t.Logf("the last status: %+v", s)
		}
	}()
	p.until(what, func() bool {
		var err error
		s, err = p.client.Projection(context.Background(), name)
		return err == nil && ok(s)
	})
	return s
}

// awaitLive waits until a sequence is committed.
func (p *process) awaitLive(name string, sequence uint64) engine.Status {
	p.t.Helper()
	return p.await(name, fmt.Sprintf("%s is live at %d", name, sequence), func(s engine.Status) bool {
		return s.State == engine.Live && s.Position == sequence
	})
}

func (p *process) signal(s os.Signal) { _ = p.cmd.Process.Signal(s) } // it may have ended

// wait waits for the end, and returns how it ended and what was printed.
func (p *process) wait() (out string, err error) {
	err = <-p.ended
	p.ended <- err
	return p.out.String(), err
}

// eventLines are events of seven subjects, as engine import reads them. Their ids are their
// numbers.
func eventLines(first, n int) io.Reader {
	var lines strings.Builder
	for i := first; i < first+n; i++ {
		fmt.Fprintf(&lines, `{"subject":"log.%d","id":"%d","type":"t","time":"2026-01-31T12:00:00Z","data":%d}`+"\n", i%7, i, i)
	}
	return strings.NewReader(lines.String())
}
