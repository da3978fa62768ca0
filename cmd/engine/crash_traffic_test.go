package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/state"
	"gnomon/engine/store"
	"gnomon/internal/testutil/natstest"
)

// A process that is killed at any moment, while it catches up and while events keep coming,
// leaves each projection with what the events up to its position make it: its state, and
// the events that it set aside. Nothing is lost that was served as committed.
func TestKilledUnderTraffic(t *testing.T) {
	long(t)
	rounds := 6
	if soaking() {
		rounds = 100
	}
	w := newTraffic(t)
	w.home.runOnce()
	began := time.Now()
	w.home.runOnce() // has nothing to do
	start := time.Since(began)

	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	midway, behind := 0, 0
	for round := range rounds {
		if round%2 == 0 {
			w.publish(4000)
			w.killWithin(start/2 + randUpTo(rnd, start))
			midway += w.recount()
		} else {
			w.killUnderWay(randUpTo(rnd, 200*time.Millisecond))
			behind += w.recount()
		}
	}
	t.Logf("killed %d times, half of them while catching up, with %d projections on their way; half of them while events came, with %d that had not applied all. Of %d events %d failed, and %d waited behind them",
		rounds, midway, behind, w.stored, w.counted["skips"].sum.Skipped, w.counted["keyed"].sum.Waiting-w.counted["dead"].sum.Letters)
	if rounds >= 100 && (midway == 0 || behind == 0) {
		t.Error("no projection was killed amid what it did")
	}

	w.home.runOnce()
	w.recount()
	calm := trafficHome(t, w.server)
	calm.runOnce()
	if got, want := w.home.digests(), calm.digests(); len(want) != 5 || !maps.Equal(got, want) {
		t.Errorf("digests after %d kills are %v, want %v", rounds, got, want)
	}
}

// traffic is a home whose engine is killed again and again, and what its projections
// should hold.
type traffic struct {
	t       *testing.T
	home    *home
	server  *natstest.Server
	js      jetstream.JetStream
	stored  uint64              // the stream's last event
	counted map[string]*counted // by projection
}

func newTraffic(t *testing.T) *traffic {
	t.Helper()
	server := natstest.Start(t)
	w := &traffic{t: t, server: server, js: server.JetStream(t), counted: map[string]*counted{}}
	if _, err := w.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "LOG", Subjects: []string{"log.>"}}); err != nil {
		t.Fatal(err)
	}
	w.home = trafficHome(t, server)
	for _, name := range []string{"count", "skips", "dead", "keyed", "sessions"} {
		w.counted[name] = &counted{rows: map[string]string{}, aside: map[uint64]state.LetterStatus{}}
	}
	return w
}

// trafficHome has a projection of each kind: state alone, each way to go on after an event
// that fails, several instances, and memory. They commit and store memory often.
func trafficHome(t *testing.T, server *natstest.Server) *home {
	t.Helper()
	ledgers, err := ledgers()
	if err != nil {
		t.Fatal(err)
	}
	modules := t.TempDir()
	for _, from := range []string{exampleModules(t) + "/count.wasm", exampleModules(t) + "/sessions.wasm", ledgers + "/ledger.wasm"} {
		if err := os.Link(from, modules+from[strings.LastIndex(from, "/"):]); err != nil {
			t.Fatal(err)
		}
	}
	often := []string{"[projection.limits]", "batch_events = 100", "dead_letters = 1000000", "[projection.checkpoint]", `window = "5ms"`}
	with := func(first ...string) []string { return append(first, often...) }
	h := newHome(t, "log.>",
		projection("count", "count.wasm", often...)+
			projection("skips", "ledger.wasm", with(`on_error = "skip"`)...)+
			projection("dead", "ledger.wasm", with(`on_error = "dead-letter"`)...)+
			projection("keyed", "ledger.wasm", with(`on_error = "quarantine"`, `key = "json:account"`, "partitions = 2")...)+
			projection("sessions", "sessions.wasm", with("[projection.settings]", `field = "account"`, `gap = "1s"`, "[projection.snapshots]", "every_events = 50")...))
	h.undeclareStream()
	text, err := os.ReadFile(h.config)
	if err == nil {
		err = os.WriteFile(h.config, []byte(strings.ReplaceAll(string(text), exampleModules(t), modules)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	h.configure(`disk_reserve = "0B"`, fmt.Sprintf("[nats]\nurl = %q", server.URL()))
	return h
}

// payment is the event at a sequence: most pay one of a few accounts, and now and then one
// that has nothing is drawn from, and paid twice later.
func payment(n uint64) (subject, account string, amount int64) {
	subject, account, amount = fmt.Sprint("log.", n%7), fmt.Sprint("a", n%50), 1
	switch n % 500 {
	case 100:
		return subject, fmt.Sprint("x", n/500), -1
	case 150, 400:
		return subject, fmt.Sprint("x", n/500), 5
	}
	return subject, account, amount
}

// store stores the next event.
func (w *traffic) store() error {
	subject, account, amount := payment(w.stored + 1)
	ack, err := w.js.Publish(context.Background(), subject, fmt.Appendf(nil, `{"account":%q,"amount":%d}`, account, amount))
	if err != nil {
		return err
	}
	if w.stored++; ack.Sequence != w.stored {
		return fmt.Errorf("event %d was stored as %d", w.stored, ack.Sequence)
	}
	return nil
}

func (w *traffic) publish(n int) {
	w.t.Helper()
	for range n {
		if err := w.store(); err != nil {
			w.t.Fatal(err)
		}
	}
}

// killWithin starts an engine and kills it after a while.
func (w *traffic) killWithin(d time.Duration) {
	w.t.Helper()
	p := w.home.start()
	select {
	case <-time.After(d):
		p.signal(syscall.SIGKILL)
	case err := <-p.ended:
		p.ended <- err
	}
	w.requireKilled(p)
}

// killUnderWay starts an engine, and kills it while events keep coming, a while after it
// has caught up.
func (w *traffic) killUnderWay(d time.Duration) {
	w.t.Helper()
	p := w.home.serve()
	for name := range w.counted {
		p.awaitLive(name, w.stored)
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), d)
	defer cancel()
	stopped := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if err := w.store(); err != nil {
				stopped <- err
				return
			}
		}
		// What is committed while they still come is known, and has to be there.
		all, err := p.client.Projections(context.Background())
		for _, s := range all {
			w.counted[s.Projection].committed = s.Committed
		}
		stopped <- errors.Join(err, w.store())
	}()
	if err := <-stopped; err != nil {
		w.t.Fatal(err)
	}
	p.signal(syscall.SIGKILL)
	w.requireKilled(p)
}

func (w *traffic) requireKilled(p *process) {
	w.t.Helper()
	if out, err := p.wait(); !killedBy(err, syscall.SIGKILL) {
		w.t.Fatalf("the engine ended by itself: %v\n%s", err, out)
	}
}

// counted is what a projection should hold at a position.
type counted struct {
	at, committed uint64
	rows          map[string]string
	aside         map[uint64]state.LetterStatus
	sum           state.Aside
}

// recount compares every projection with a recount of the events up to its position, and
// returns how many went on since the last time, but not to the end.
func (w *traffic) recount() (midway int) {
	w.t.Helper()
	d, err := store.OpenOffline(w.home.data(), cli.QuietLog(os.Stderr))
	if err != nil {
		w.t.Fatal(err)
	}
	defer d.Close()
	for name, c := range w.counted {
		ks, err := d.Open(w.t.Context(), name, d.Catalog().Projection(name).Live, false)
		if err != nil {
			w.t.Fatal(err)
		}
		ck, err := store.Verify(ks)
		if err != nil {
			w.t.Fatalf("%s: %v", name, err)
		}
		if at := ck.Position.Sequence; c.at < at && at < w.stored {
			midway++
		}
		w.compare(name, c, ks, ck)
		if err := ks.Close(); err != nil {
			w.t.Fatal(err)
		}
	}
	return midway
}

func (w *traffic) compare(name string, c *counted, ks state.Keyspace, ck state.Checkpoint) {
	w.t.Helper()
	at := ck.Position.Sequence
	if at < c.at || at < c.committed {
		w.t.Fatalf("%s is at %d, though it was at %d and said that %d was committed", name, at, c.at, c.committed)
	}
	for c.at < at {
		c.at++
		c.apply(name, c.at)
	}
	v, err := ks.View(ck.Version)
	if err != nil {
		w.t.Fatal(err)
	}
	defer v.Close()
	rows, aside := map[string]string{}, map[uint64]state.LetterStatus{}
	err = errors.Join(
		v.Scan(nil, nil, func(key, value []byte) bool { rows[string(key)] = string(value); return true }),
		state.ReadLetters(v, 0, func(l state.Letter) bool { aside[l.Sequence] = l.Status; return true }))
	if err != nil {
		w.t.Fatal(err)
	}
	if name != "sessions" && !maps.Equal(rows, c.rows) { // what sessions holds is compared in the end
		w.t.Errorf("%s at %d: %s", name, at, firstDifference(rows, c.rows))
	}
	if !maps.Equal(aside, c.aside) || ck.Aside != c.sum {
		w.t.Errorf("%s at %d: set aside are %v, %+v; want %v, %+v", name, at, aside, ck.Aside, c.aside, c.sum)
	}
}

// apply is what a projection does with the event at a sequence.
func (c *counted) apply(projection string, n uint64) {
	subject, account, amount := payment(n)
	fails := c.rows[account] == "" && amount < 0
	switch {
	case projection == "count":
		seen := binary.LittleEndian.Uint64(append([]byte(c.rows[subject]), make([]byte, 8)...))
		c.rows[subject] = string(binary.LittleEndian.AppendUint64(nil, seen+1))
	case projection == "sessions":
	case projection == "skips" && fails:
		c.sum.Skipped++
	case projection == "dead" && fails:
		c.aside[n] = state.Dead
		c.sum.Letters++
	case projection == "keyed" && account[0] == 'x':
		c.aside[n] = state.Parked
		if fails {
			c.aside[n] = state.Failed
		}
		c.sum.Letters++
		c.sum.Waiting++
	default:
		var balance int64
		_, _ = fmt.Sscanf(c.rows[account], `{"Balance":%d}`, &balance) // none yet: 0
		c.rows[account] = fmt.Sprintf(`{"Balance":%d}`, balance+amount)
	}
}
