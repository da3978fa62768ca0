package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/broker"
	"gnomon/engine/query"
	"gnomon/engine/query/wire"
	"gnomon/internal/testutil/natstest"
)

// Whatever was on its way when the engine, with its NATS server, was killed: sent again with the same ids it is stored
// once, a batch as a whole, and the answer is the sequence that it has. The projection would halt
// at a name that is claimed twice.
func TestAppendsKilled(t *testing.T) {
	long(t)
	h := newHome(t, "users.>", projection("unique-usernames", "unique-usernames.wasm"))
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	w := &claimers{t: t, at: map[string]uint64{}}
	for range 8 {
		p := h.serve()
		kill := time.AfterFunc(20*time.Millisecond+randUpTo(rnd, 300*time.Millisecond), func() { p.signal(syscall.SIGKILL) })
		w.untilItEnds(p)
		kill.Stop()
	}
	p := h.serve()
	w.last = true
	w.untilItEnds(p)
	t.Logf("%d names; %d appends were in doubt, of which %d were stored", len(w.at), w.doubted, w.duplicates)
	p.awaitLive("unique-usernames", uint64(len(w.at)))
	rows := map[string]uint64{}
	err := p.client.Scan(t.Context(), "unique-usernames", []byte("name\t"), 0, func(r wire.Row) error {
		var v struct{ Seq uint64 }
		if err := json.Unmarshal(r.Value, &v); err != nil {
			return err
		}
		rows[string(r.Key[len("name\t"):])] = v.Seq
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, seq := range w.at {
		if rows[name] != seq {
			t.Errorf("%s is at %d, and was answered with %d", name, rows[name], seq)
		}
	}
	if len(rows) != len(w.at) {
		t.Errorf("%d names are stored, %d were appended", len(rows), len(w.at))
	}
}

// The same where the server is one of its own, and whoever appends outlives it.
func TestAppendsToAServerThatIsKilled(t *testing.T) {
	long(t)
	server := natstest.StartProcess(t, "natsserver")
	js := server.JetStream(t)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "LOG", Subjects: []string{"users.>"}, AllowAtomicPublish: true}); err != nil {
		t.Fatal(err)
	}
	b, err := broker.Open(t.Context(), broker.Config{URL: server.URL(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	w := &claimers{t: t, at: map[string]uint64{}}
	ends := make(chan struct{})
	var all sync.WaitGroup
	for who := range w.next {
		all.Go(func() {
			for {
				more := w.claim(&appender{broker: b}, who, time.Second) || w.again[who]
				select {
				case <-ends:
					if !w.again[who] {
						return
					}
				default:
					if !more {
						return
					}
				}
			}
		})
	}
	for round := range 6 {
		w.awaitMore()
		server.Kill()
		if round%2 == 0 {
			w.awaitDoubt()
		}
		server.Restart()
	}
	w.awaitMore()
	close(ends)
	all.Wait()
	t.Logf("%d names; %d appends were in doubt, of which %d were stored", len(w.at), w.doubted, w.duplicates)
	s, err := js.Stream(t.Context(), "LOG")
	if err != nil {
		t.Fatal(err)
	}
	if got := s.CachedInfo().State; got.Msgs != uint64(len(w.at)) || got.NumSubjects != uint64(len(w.at)) {
		t.Errorf("%d events of %d subjects are stored, %d were appended", got.Msgs, got.NumSubjects, len(w.at))
	}
	for name, seq := range w.at {
		if m, err := s.GetMsg(t.Context(), seq); err != nil || m.Subject != "users.claimed."+name {
			t.Errorf("%s was answered with %d, where %+v is, %v", name, seq, m, err)
		}
	}
}

// awaitMore waits until more was appended, awaitDoubt until more was in doubt.
func (w *claimers) awaitMore()  { w.await(func() int { return len(w.at) }, 20) }
func (w *claimers) awaitDoubt() { w.await(func() int { return w.doubted }, 1) }

func (w *claimers) await(count func() int, more int) {
	w.t.Helper()
	read := func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return count()
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patience)
	for first := read(); read() < first+more; {
		select {
		case <-tick.C:
		case <-timeout:
			w.t.Fatal("what the test waits for does not come")
		}
	}
}

// claimers append, each one thing after the other, until the engine is gone.
type claimers struct {
	t    *testing.T
	last bool // what is begun is ended, and nothing else is begun

	mu                  sync.Mutex
	at                  map[string]uint64 // the sequence that each name was answered with
	next                [6]int            // what each is at
	doubted, duplicates int
	again               [6]bool // it was in doubt
}

func (w *claimers) untilItEnds(p *process) {
	var all sync.WaitGroup
	for who := range w.next {
		all.Go(func() {
			for w.claim(p.client, who, patience) {
			}
		})
	}
	all.Wait()
}

// publisher appends: through an engine, or by itself.
type publisher interface {
	Publish(ctx context.Context, stream string, e wire.NewEvent) (wire.Appended, error)
	PublishBatch(ctx context.Context, stream string, events []wire.NewEvent) (wire.Appended, error)
}

// claim appends one thing: with an expectation or without, alone or several as one.
func (w *claimers) claim(p publisher, who int, patience time.Duration) (goOn bool) {
	n := w.next[who]
	if w.last && !w.again[who] {
		return false
	}
	size := []int{1, 1, 3, 5}[n%4]
	var events []wire.NewEvent
	for i := range size {
		name := fmt.Sprintf("c%d-%d-%d", who, n, i)
		e := wire.NewEvent{Subject: "users.claimed." + name, ID: name, Data: fmt.Appendf(nil, `{"owner":"c%d"}`, who)}
		if n%2 == 0 {
			e.ExpectLastSubjectSeq = new(uint64)
		}
		events = append(events, e)
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	var done wire.Appended
	var err error
	if size == 1 {
		done, err = p.Publish(ctx, "LOG", events[0])
		done.First = done.Sequence
	} else {
		done, err = p.PublishBatch(ctx, "LOG", events)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		var problem *wire.Problem
		if errors.As(err, &problem) && problem.Code != wire.CodeInDoubt && problem.Code != wire.CodeNotReady || errors.Is(err, query.ErrWrongSequence) {
			w.t.Errorf("%+v: %v", events, err)
		}
		w.doubted++
		w.again[who] = true
		return false
	}
	if done.Duplicate {
		w.duplicates++
		if !w.again[who] {
			w.t.Errorf("%+v is a duplicate at %d, and was appended once", events, done.Sequence)
		}
	}
	for i, e := range events {
		w.at[e.ID] = done.First + uint64(i)
	}
	w.again[who] = false
	w.next[who]++
	return true
}
