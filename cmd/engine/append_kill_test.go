package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"gnomon/engine/query/wire"
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
			for w.claim(p, who) {
			}
		})
	}
	all.Wait()
}

// claim appends one thing: with an expectation or without, alone or several as one.
func (w *claimers) claim(p *process, who int) (goOn bool) {
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
		done, err = p.client.Publish(ctx, "LOG", events[0])
		done.First = done.Sequence
	} else {
		done, err = p.client.PublishBatch(ctx, "LOG", events)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		var problem *wire.Problem
		if errors.As(err, &problem) && problem.Code != wire.CodeInDoubt && problem.Code != wire.CodeNotReady {
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
