package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine"
	"gnomon/internal/testutil/natstest"
)

// emitter builds testdata/emitter, once, and returns its folder.
var emitter = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "gnomon-emitter-")
	if err != nil {
		return "", err
	}
	c := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", filepath.Join(dir, "emitter.wasm"), "./testdata/emitter")
	c.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build emitter: %w\n%s", err, out)
	}
	return dir, nil
})

// emissions is a home whose projection emits to the stream OUT, and what that should hold.
type emissions struct {
	t    *testing.T
	home *home
	js   jetstream.JetStream

	stored uint64    // the last event of LOG
	read   uint64    // the last of OUT that was compared
	next   [2]uint64 // what comes after it: the event that causes it, and its place among that one's
}

// newEmissions makes LOG, and OUT as it is given unless it has no name.
func newEmissions(t *testing.T, url string, js jetstream.JetStream, out jetstream.StreamConfig) *emissions {
	t.Helper()
	modules, err := emitter()
	if err != nil {
		t.Fatal(err)
	}
	e := &emissions{t: t, js: js, next: [2]uint64{1, 0}}
	e.create(jetstream.StreamConfig{Name: "LOG", Subjects: []string{"log.>"}})
	if out.Name != "" {
		e.create(out)
	}
	e.home = newHome(t, "log.>", projection("emitter", "emitter.wasm",
		"[projection.limits]", "batch_events = 50", "outbox = 500",
		"[projection.checkpoint]", `window = "5ms"`,
		"[projection.emit]", `subjects = ["out.>"]`, "history = true"))
	e.home.undeclareStream()
	e.home.replace(exampleModules(t), modules)
	e.home.configure(`disk_reserve = "0B"`, fmt.Sprintf("[nats]\nurl = %q", url))
	e.home.runOnce() // compiles the module
	return e
}

func (e *emissions) create(c jetstream.StreamConfig) {
	e.t.Helper()
	if _, err := e.js.CreateStream(e.t.Context(), c); err != nil {
		e.t.Fatal(err)
	}
}

// outConfig is OUT.
func outConfig(change func(*jetstream.StreamConfig)) jetstream.StreamConfig {
	c := jetstream.StreamConfig{Name: "OUT", Subjects: []string{"out.>"}, AllowAtomicPublish: true}
	if change != nil {
		change(&c)
	}
	return c
}

// store stores the next event in LOG, however often that takes.
func (e *emissions) store() error {
	for {
		ctx, cancel := context.WithTimeout(e.t.Context(), 2*time.Second)
		ack, err := e.js.Publish(ctx, "log.a", nil, jetstream.WithMsgID(fmt.Sprint(e.stored+1)))
		cancel()
		switch {
		case e.t.Context().Err() != nil:
			return e.t.Context().Err()
		case err != nil:
			continue // the server is away, or its answer was lost
		case ack.Sequence != e.stored+1:
			return fmt.Errorf("event %d was stored as %d", e.stored+1, ack.Sequence)
		}
		e.stored++
		return nil
	}
}

func (e *emissions) publish(n int) {
	e.t.Helper()
	for range n {
		if err := e.store(); err != nil {
			e.t.Fatal(err)
		}
	}
}

// while stores events, a thousand a second at most, until something has been done.
func (e *emissions) while(do func()) {
	e.t.Helper()
	var done atomic.Bool
	stopped := make(chan error, 1)
	go func() {
		for pace := time.NewTicker(time.Millisecond); !done.Load(); <-pace.C {
			if err := e.store(); err != nil {
				stopped <- err
				return
			}
		}
		stopped <- nil
	}()
	do()
	done.Store(true)
	if err := <-stopped; err != nil {
		e.t.Fatal(err)
	}
}

// grown reports whether OUT has more than was compared.
func (e *emissions) grown() bool {
	ctx, cancel := context.WithTimeout(e.t.Context(), time.Second)
	defer cancel()
	s, err := e.js.Stream(ctx, "OUT")
	return err == nil && s.CachedInfo().State.LastSeq > e.read
}

// after is what follows an emitted event.
func after(at [2]uint64) [2]uint64 {
	at[1]++
	for at[1] >= emittedBy(at[0]) {
		at = [2]uint64{at[0] + 1, 0}
	}
	return at
}

// emittedBy is how many events the one at a sequence causes.
func emittedBy(sequence uint64) uint64 {
	if sequence%97 == 0 {
		return 40
	}
	return sequence % 4
}

// compare compares what came to OUT since the last time with what should follow: each emitted
// event once, in the order of causes.
func (e *emissions) compare() {
	e.t.Helper()
	s, err := e.js.Stream(e.t.Context(), "OUT")
	if err != nil {
		e.t.Fatal(err)
	}
	last := s.CachedInfo().State.LastSeq
	for e.read < last {
		m, err := s.GetMsg(e.t.Context(), e.read+1)
		if err != nil {
			e.t.Fatal(err)
		}
		e.read++
		want := fmt.Sprintf("%d/%d", e.next[0], e.next[1])
		if got := string(m.Data); got != want || m.Subject != fmt.Sprint("out.", e.next[1]%3) || m.Header.Get("Gnomon-Sequence") != fmt.Sprint(e.next[0]) {
			e.t.Fatalf("OUT has at %d %s %s, of %s, want %s", e.read, m.Subject, got, m.Header.Get("Gnomon-Sequence"), want)
		}
		e.next = after(e.next)
	}
}

// complete waits until everything is emitted, and compares it.
func (e *emissions) complete(p *process) {
	e.t.Helper()
	p.awaitLive("emitter", e.stored)
	p.until("everything is emitted", func() bool {
		e.compare()
		return e.next[0] > e.stored
	})
	e.compare()
	if got := p.get("emitter", "emitted"); got != fmt.Sprint(e.read) {
		e.t.Errorf("the projection says that it emitted %s, OUT has %d", got, e.read)
	}
}

// get is the value of a key.
func (p *process) get(projection, key string) string {
	p.t.Helper()
	got, err := p.client.Get(p.t.Context(), projection, []byte(key))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(got.Value)
}

// shortly is a moment of at most so long.
func shortly(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(rand.N(d)):
	case <-t.Context().Done():
	}
}

// targets are the kinds of stream that events are emitted to. The server forgets their ids in
// less time than an engine takes to start.
var targets = map[string]func(*jetstream.StreamConfig){
	"atomic":     func(c *jetstream.StreamConfig) { c.Duplicates = 100 * time.Millisecond },
	"one by one": func(c *jetstream.StreamConfig) { c.Duplicates, c.AllowAtomicPublish = 100*time.Millisecond, false },
}

// rounds is how often something is killed.
func rounds(short int) int {
	if soaking() {
		return 50
	}
	return short
}

// What an engine emits that is killed again and again, while events come, is published once and
// in the order of what causes it.
func TestKilledWhileEmitting(t *testing.T) {
	long(t)
	for name, change := range targets {
		t.Run(name, func(t *testing.T) {
			server := natstest.Start(t)
			e := newEmissions(t, server.URL(), server.JetStream(t), outConfig(change))
			behind := 0
			for round := range rounds(5) {
				p := e.home.start()
				e.while(func() {
					if round%2 == 0 { // otherwise also while it starts, and finds out what is in doubt
						p.until("it emits", e.grown)
					}
					shortly(t, 400*time.Millisecond)
					p.signal(syscall.SIGKILL)
				})
				if out, err := p.wait(); !killedBy(err, syscall.SIGKILL) {
					t.Fatalf("the engine ended by itself: %v\n%s", err, out)
				}
				e.compare()
				if e.next[0] <= e.stored {
					behind++
				}
			}
			e.complete(e.home.serve())
			t.Logf("%d kills, %d of them before everything was emitted; %d events emitted %d", rounds(5), behind, e.stored, e.read)
		})
	}
}

// What an engine emits while its server is killed again and again, is published once and in the
// order of what causes it.
func TestServerKilledWhileEmitting(t *testing.T) {
	long(t)
	for name, change := range targets {
		t.Run(name, func(t *testing.T) {
			server := natstest.StartProcess(t, "natsserver")
			e := newEmissions(t, server.URL(), server.JetStream(t), outConfig(change))
			p := e.home.serve()
			behind := 0
			for range rounds(5) {
				e.while(func() {
					p.until("it emits", e.grown)
					shortly(t, 200*time.Millisecond)
					server.Kill()
					shortly(t, 100*time.Millisecond)
					server.Restart()
				})
				e.compare()
				if e.next[0] <= e.stored {
					behind++
				}
			}
			e.complete(p)
			t.Logf("%d kills, after %d of them events had to be emitted still; %d events emitted %d", rounds(5), behind, e.stored, e.read)
		})
	}
}

// While the stream that it emits to is not there, or full, a projection takes no more events
// than its outbox holds, and says why. When the stream takes them, it goes on by itself, and
// nothing is lost.
func TestTargetStreamIsAway(t *testing.T) {
	long(t)
	full := outConfig(func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Discard = 100, jetstream.DiscardNew })
	for _, tt := range []struct {
		name   string
		before jetstream.StreamConfig // OUT at first; without a name: there is none
		says   string
	}{
		{"absent", jetstream.StreamConfig{}, "stream not found"},
		{"full", full, "maximum messages exceeded"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := natstest.Start(t)
			e := newEmissions(t, server.URL(), server.JetStream(t), tt.before)
			p := e.home.serve()
			e.publish(1000)
			s := p.await("emitter", "no more events are taken", func(s engine.Status) bool {
				return strings.Contains(s.Reason, "projection.limits.outbox") && s.Emits != nil && s.Emits.Trouble != ""
			})
			if s.Position >= e.stored || !strings.Contains(s.Emits.Trouble, tt.says) || s.Emits.Hint == "" {
				t.Errorf("it is at %d, and says %q, %q", s.Position, s.Emits.Trouble, s.Emits.Hint)
			}
			if _, err := e.js.CreateOrUpdateStream(t.Context(), outConfig(nil)); err != nil {
				t.Fatal(err)
			}
			e.complete(p)
			if s := p.awaitLive("emitter", e.stored); s.Emits.Trouble != "" {
				t.Errorf("it says still %q", s.Emits.Trouble)
			}
		})
	}
}

// What is emitted may go to a stream that cannot be projected: a work queue, for one. After a
// crash what is in doubt is looked for there all the same.
func TestEmitToWorkQueue(t *testing.T) {
	long(t)
	server := natstest.Start(t)
	e := newEmissions(t, server.URL(), server.JetStream(t), outConfig(func(c *jetstream.StreamConfig) {
		c.Retention, c.Duplicates = jetstream.WorkQueuePolicy, 100*time.Millisecond
	}))
	for range 2 {
		p := e.home.serve()
		e.publish(100)
		e.complete(p)
		p.signal(syscall.SIGKILL)
		_, _ = p.wait()
	}
}

// A target stream that is made anew gets what is emitted from then on, and nothing again.
func TestTargetStreamIsRecreated(t *testing.T) {
	long(t)
	server := natstest.Start(t)
	e := newEmissions(t, server.URL(), server.JetStream(t), outConfig(nil))
	p := e.home.serve()
	e.publish(200)
	e.complete(p)
	if err := e.js.DeleteStream(t.Context(), "OUT"); err != nil {
		t.Fatal(err)
	}
	e.create(outConfig(func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }))
	before := e.read
	e.read = 0
	e.publish(200)
	p.await("emitter", "all is emitted", func(s engine.Status) bool {
		e.compare()
		return e.next[0] > e.stored
	})
	p.awaitLive("emitter", e.stored)
	if got := p.get("emitter", "emitted"); got != fmt.Sprint(before+e.read) {
		t.Errorf("the projection says that it emitted %s, the streams had %d and %d", got, before, e.read)
	}
}
