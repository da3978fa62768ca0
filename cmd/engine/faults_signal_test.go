package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/store"
)

// SIGTERM ends an engine that is catching up in order: what was applied is committed,
// the exit code is 0, and the next one goes on from there. A second SIGTERM ends it at
// once; nothing is lost or applied twice then either.
func TestTerminatedWhileCatchingUp(t *testing.T) {
	long(t)
	projections := projection("process-map", "process-map.wasm") +
		projection("sessions", "sessions.wasm", "[projection.settings]", `field = "resource"`, `gap = "30m"`)
	calm := newHome(t, "gitlog.>", projections)
	calm.importLog(logFile(t, "gitlog"))
	stream := t.TempDir()
	if err := os.CopyFS(stream, os.DirFS(calm.data()+"/nats")); err != nil {
		t.Fatal(err)
	}
	calm.runOnce()
	want := calm.digests()
	for _, again := range []bool{false, true, true, true} {
		t.Run(fmt.Sprintf("again=%t", again), func(t *testing.T) {
			h := newHome(t, "gitlog.>", projections)
			if err := os.CopyFS(h.data()+"/nats", os.DirFS(stream)); err != nil {
				t.Fatal(err)
			}
			p := h.serve()
			s := p.await("process-map", "it has begun", func(s engine.Status) bool { return s.Applied > 0 })
			p.signal(syscall.SIGTERM)
			if again {
				p.signalUntilEnd(syscall.SIGTERM)
			}
			out, err := p.wait()
			switch {
			case again && killedBy(err, syscall.SIGTERM):
			case err != nil || !strings.Contains(out, "stopping: what was applied is committed"):
				t.Errorf("%v\n%s", err, out)
			}
			t.Logf("it was at %d, and ended with: %v", s.Applied, err)
			h.runOnce()
			if got := h.digests(); !maps.Equal(got, want) {
				t.Errorf("digests %v, want %v", got, want)
			}
		})
	}
}

// signalUntilEnd sends a signal again and again: one that comes together with the first is
// taken for the same.
func (p *process) signalUntilEnd(s os.Signal) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-p.ended:
			p.ended <- err
			return
		case <-tick.C:
			p.signal(s)
		}
	}
}

func killedBy(err error, s syscall.Signal) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == s
}

// An engine that is ended while it waits for a server that is not there ends as one that
// has nothing to do.
func TestTerminatedWhileServerIsAway(t *testing.T) {
	h := newHome(t, "log.>", projection("count", "count.wasm"))
	h.configure("", "[nats]\nurl = \"nats://127.0.0.1:1\"")
	p := h.start()
	p.until("it has its data directory", func() bool {
		holder, running := store.Running(h.data())
		return running && holder.PID == p.cmd.Process.Pid
	})
	p.signal(syscall.SIGTERM)
	if out, err := p.wait(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
