package main

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"gnomon/engine"
)

// A process that is killed at any moment loses nothing and applies nothing twice:
// after all kills the state is that of a run that was left alone.
func TestKilledAtAnyMoment(t *testing.T) {
	log, subjects, rounds := "gitlog", "gitlog.>", 15
	if soaking() {
		log, subjects, rounds = "bpic2012", "bpic2012.>", 100
	}
	projections := projection("process-map", "process-map.wasm") +
		projection("sessions", "sessions.wasm", "[projection.snapshots]", "every_events = 5000", "[projection.settings]", `field = "resource"`, `gap = "30m"`)
	calm := newHome(t, subjects, projections)
	calm.importLog(logFile(t, log))
	wild := newHome(t, subjects, projections)
	if err := os.CopyFS(wild.data()+"/nats", os.DirFS(calm.data()+"/nats")); err != nil {
		t.Fatal(err)
	}
	newHome(t, subjects, projections).runOnce() // compiles the modules, for all of them
	began := time.Now()
	calm.runOnce()
	whole := time.Since(began)
	began = time.Now()
	calm.runOnce() // has nothing to do
	start := time.Since(began)

	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	killed := 0
	for range rounds {
		// Together the runs get about as long as an undisturbed one takes, and each most
		// of the time that it needs to start and to stop.
		if wild.runAndKill(start*3/4 + randUpTo(rnd, start/4+2*whole/time.Duration(rounds))) {
			killed++
		}
	}
	t.Logf("killed %d of %d runs; undisturbed they take %s, with nothing to do %s", killed, rounds, whole, start)
	if killed == 0 {
		t.Error("no run was killed before it was done")
	}
	wild.runOnce()
	for name, want := range calm.digests() {
		if got := wild.digests()[name]; got != want {
			t.Errorf("%s: digest after %d kills is %s, want %s", name, killed, got, want)
		}
	}
}

// An engine that is killed together with its embedded server, while events are imported
// through it, has all that it acknowledged; what was under way is imported again, and is
// there once.
func TestKilledWithItsServer(t *testing.T) {
	long(t)
	const chunk = 21
	rounds := 5
	if soaking() {
		rounds = 50
	}
	h := newHome(t, "log.>", projection("count", "count.wasm"))
	imported, cut := 0, 0
	for range rounds {
		p := h.serve()
		ended := make(chan error, 1)
		go func() {
			for {
				if _, err := p.client.Import(context.Background(), "LOG", eventLines(imported, chunk)); err != nil {
					ended <- err
					return
				}
				imported += chunk
			}
		}()
		select {
		case <-time.After(rand.N(300 * time.Millisecond)):
		case err := <-ended:
			t.Fatal(err)
		}
		p.signal(syscall.SIGKILL)
		<-ended
		if _, err := p.wait(); !killedBy(err, syscall.SIGKILL) {
			t.Fatal(err)
		}
		p = h.serve()
		s := p.await("count", "it has what the stream has", func(s engine.Status) bool { return s.State == engine.Live })
		if s.Position < uint64(imported) || s.Position > uint64(imported+chunk) {
			t.Fatalf("it is at %d, acknowledged was %d", s.Position, imported)
		}
		if s.Position > uint64(imported) {
			cut++
		}
		p.signal(syscall.SIGKILL)
		_, _ = p.wait()
	}
	t.Logf("%d events, and %d kills amid an import that had stored some", imported, cut)
	p := h.serve()
	p.publish(0, imported)
	p.publish(imported, 7*chunk-imported%7)
	total := imported + 7*chunk - imported%7
	p.awaitLive("count", uint64(total))
	p.wantCounts(7, uint64(total/7))
}

func randUpTo(rnd *rand.Rand, n time.Duration) time.Duration {
	return time.Duration(rnd.Int64N(int64(n)))
}

// runAndKill starts a real process, kills it after a while, and reports whether it
// was still running.
func (h *home) runAndKill(after time.Duration) bool {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), after)
	defer cancel()
	c := exec.CommandContext(ctx, "engine", "run", "--config", h.config, "--once") // killed with SIGKILL
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err == nil {
		return false
	}
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		h.t.Fatalf("engine run: %v\n%s", err, out)
	}
	return true
}

// digests verifies every keyspace and returns what it amounts to.
func (h *home) digests() map[string]string {
	h.t.Helper()
	var all struct{ Keyspaces []inspected }
	if err := json.Unmarshal([]byte(h.engine("inspect", "--json", "--verify", h.data())), &all); err != nil {
		h.t.Fatal(err)
	}
	digests := map[string]string{}
	for _, in := range all.Keyspaces {
		digests[in.Projection] = in.Digest.String()
	}
	return digests
}
