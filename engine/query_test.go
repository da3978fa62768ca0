package engine_test

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// librarian is a ledger that answers with the value of the key that is asked for, and does
// what the test wants before.
func librarian(name string, before func() error) *enginetest.Module {
	m := enginetest.FuncModule(name, ledger)
	m.Answer = func(_ enginetest.Guest, request []byte, rows state.Rows) ([]byte, error) {
		if before != nil {
			if err := before(); err != nil {
				return nil, err
			}
		}
		value, ok, err := rows.Get(request)
		if err == nil && !ok {
			err = enginetest.Refuse("there is no %s", request)
		}
		return value, err
	}
	return m
}

// instances counts the instances that are made of a module.
func instances(m *enginetest.Module, made *atomic.Int32) *enginetest.Module {
	m.Open = func([]byte) { made.Add(1) }
	return m
}

// query asks the served state of a name.
func (r *running) query(name, request string) (engine.Answer, error) {
	r.t.Helper()
	reading, err := r.Read(name)
	if err != nil {
		r.t.Fatal(err)
	}
	defer reading.Close()
	return reading.Query(r.t.Context(), []byte(request))
}

// wantAnswer checks an answer, and the sequence that it is of.
func (r *running) wantAnswer(request, want string, sequence uint64) {
	r.t.Helper()
	got, err := r.query("p", request)
	if err != nil || string(got.Body) != want || got.Checkpoint.Position.Sequence != sequence {
		r.t.Errorf("answer to %s: %q as of %d, %v; want %q as of %d", request, got.Body, got.Checkpoint.Position.Sequence, err, want, sequence)
	}
}

// A query sees the state of its reading, whatever is committed meanwhile, and one instance
// answers one query after the other.
func TestQuerySeesItsReading(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		var made atomic.Int32
		b.append(3)
		e := b.start(spec(instances(librarian("librarian", nil), &made)))
		e.awaitLive(3)
		reading, err := e.Read("p")
		if err != nil {
			t.Fatal(err)
		}
		defer reading.Close()
		before := made.Load()
		b.append(2)
		e.awaitLive(5)
		for range 10 {
			e.wantAnswer("ledger", "1 2 3 4 5 ", 5)
			old, err := reading.Query(t.Context(), []byte("ledger"))
			if err != nil || string(old.Body) != "1 2 3 " || old.Checkpoint.Position.Sequence != 3 {
				t.Errorf("of the older reading: %q as of %d, %v", old.Body, old.Checkpoint.Position.Sequence, err)
			}
		}
		if n := made.Load() - before; n != 1 {
			t.Errorf("%d instances were made for 20 queries", n)
		}
	})
}

// A query that fails is an error of its own: the guest's words are in it, the instance is
// not asked again, and the projection goes on.
func TestQueryFailsAlone(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		var made atomic.Int32
		trouble := error(nil)
		b.append(3)
		e := b.start(spec(instances(librarian("librarian", func() error { return trouble }), &made)))
		e.awaitLive(3)
		before := made.Load()
		for i, fail := range []error{enginetest.Refuse("no such report"), &guest.Error{Call: "query", Kind: guest.Trapped, Event: -1}} {
			trouble = fail
			_, err := e.query("p", "ledger")
			var g *guest.Error
			if !errors.As(err, &g) || i == 0 && (g.Kind != guest.Refused || g.Text != "no such report") {
				t.Errorf("error %v, want %v", err, fail)
			}
			trouble = nil
			e.wantAnswer("ledger", "1 2 3 ", 3)
		}
		if n := made.Load() - before; n != 3 {
			t.Errorf("%d instances were made, want one more for each of two failures", n)
		}
		b.append(1)
		if s := e.awaitLive(4); s.Failures != 0 || s.Reason != "" {
			t.Errorf("status %+v", s)
		}
		e.wantLedger(1, 4)
	})
}

// A guest that keeps state in its own memory answers as of its newest snapshot, from memory
// and state of that moment, and its answer says so.
func TestQueryOfMemory(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		m := remembers()
		m.Answer = func(g enginetest.Guest, _ []byte, rows state.Rows) ([]byte, error) {
			list, _, err := rows.Get([]byte("ledger"))
			return fmt.Appendf(nil, "%d: %s", g.(*rememberer).count, list), err
		}
		e := b.start(spec(m))
		for last := uint64(1); last <= 45; last++ {
			b.append(1)
			e.awaitLive(last)
			got, err := e.query("p", "")
			at := got.Checkpoint.Position.Sequence
			if err != nil || at > last || at+10 < last {
				t.Fatalf("at %d: as of %d, %v; want at most 10 events before", last, at, err)
			}
			want := strconv.FormatUint(at, 10) + ": "
			for n := range at {
				want += fmt.Sprint(n+1, " ")
			}
			if string(got.Body) != want {
				t.Fatalf("as of %d: %q, want %q", at, got.Body, want)
			}
		}
	})
}

// Each generation answers with its own module, after an exchange of code the new one does,
// and modules are given back when nobody asks them any more.
func TestQueryAsksTheModuleOfItsGeneration(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		var open atomic.Int32
		says := func(word string) *enginetest.Module {
			open.Add(1)
			m := enginetest.FuncModule(word, ledger)
			m.Answer = func(enginetest.Guest, []byte, state.Rows) ([]byte, error) { return []byte(word), nil }
			m.Closed = func() { open.Add(-1) }
			return m
		}
		b.append(5)
		e := b.start(spec(says("one"), swaps(1)))
		e.awaitLive(5)
		e.wantAnswer("", "one", 5)
		if plan := e.declare(spec(says("two"), swaps(1))); plan.Action != engine.ActSwap {
			t.Fatalf("plan %+v", plan)
		}
		e.awaitLive(5)
		e.wantAnswer("", "two", 5)
		e.await("the first module given back", func(engine.Status) bool { return open.Load() == 1 })
		e.declare(spec(says("three"), byHand))
		e.await("a candidate", func(s engine.Status) bool { return s.Candidate != nil && s.Candidate.State == engine.Live })
		e.wantAnswer("", "two", 5)
		if got, err := e.query("p@candidate", ""); err != nil || string(got.Body) != "three" {
			t.Errorf("the candidate says %q, %v", got.Body, err)
		}
		e.stop()
		if n := open.Load(); n != 0 {
			t.Errorf("%d modules are still open", n)
		}
	})
}

// Instances that had nothing to answer for a while are closed.
func TestQueryInstancesDoNotStay(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		var made atomic.Int32
		b.append(1)
		e := b.start(spec(instances(librarian("librarian", nil), &made)))
		e.awaitLive(1)
		before := made.Load()
		for want := range int32(3) {
			e.wantAnswer("ledger", "1 ", 1)
			time.Sleep(50 * time.Second) // of the bubble
			e.wantAnswer("ledger", "1 ", 1)
			if n := made.Load() - before; n != want+1 {
				t.Errorf("%d instances were made, want %d", n, want+1)
			}
			time.Sleep(2 * time.Minute)
		}
	})
}

// What cannot be asked is refused: a module without query, a request that is too large, and
// one for which no processor comes free in time.
func TestQueryRefusals(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(1)
		hold := make(chan struct{})
		e := b.start(spec(ledgerModule), spec(librarian("slow", func() error { <-hold; return nil }), func(s *engine.Spec) { s.Name = "slow" }))
		e.awaitLive(1)
		if _, err := e.query("p", "ledger"); !errors.Is(err, guest.ErrNoQuery) {
			t.Errorf("of a module without query: %v", err)
		}
		if _, err := e.query("slow", string(make([]byte, abi.MaxRequest+1))); !errors.Is(err, engine.ErrRequestTooLarge) {
			t.Errorf("too large a request: %v", err)
		}
		const many = 200 // more than there are processors
		var all sync.WaitGroup
		var late, done atomic.Int32
		for range many {
			all.Go(func() {
				switch _, err := e.query("slow", "ledger"); {
				case errors.Is(err, engine.ErrAnswerLate):
					late.Add(1)
				case err == nil:
					done.Add(1)
				default:
					t.Errorf("error %v", err)
				}
			})
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		close(hold)
		all.Wait()
		if late.Load() == 0 || done.Load() == 0 || late.Load()+done.Load() != many {
			t.Errorf("%d were late and %d answered, of %d", late.Load(), done.Load(), many)
		}
	})
}

// While code is exchanged, candidates take over and events come, every answer is that of one
// module to the state of one sequence, which does not go back; no module is closed while it is
// asked, and none is left open.
func TestQueriesWhileAllChanges(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		var open atomic.Int32
		version := func(n int) *enginetest.Module {
			var closed atomic.Bool
			open.Add(1)
			m := librarian(fmt.Sprint("version ", n), func() error {
				time.Sleep(time.Millisecond) // of the bubble: there is something under way at each change
				if closed.Load() {
					t.Errorf("version %d was asked after it was closed", n)
				}
				return nil
			})
			m.Closed = func() { closed.Store(true); open.Add(-1) }
			return m
		}
		b.append(5)
		e := b.start(spec(version(0), swaps(1)))
		e.awaitLive(5)
		stop := make(chan struct{})
		var asking sync.WaitGroup
		var asked atomic.Int32
		for range 4 {
			asking.Go(func() {
				for last := uint64(0); ; {
					select {
					case <-stop:
						return
					default:
					}
					got, err := e.query("p", "ledger")
					at := got.Checkpoint.Position.Sequence
					if err != nil || at < last || string(got.Body) != sequences(at) {
						t.Errorf("as of %d, after %d: %.40q, %v", at, last, got.Body, err)
						return
					}
					last = at
					asked.Add(1)
				}
			})
		}
		for n := 1; n <= 20; n++ {
			change := swaps(1)
			if n%4 == 0 {
				change = func(s *engine.Spec) { s.KeepPrevious = time.Second } // as a candidate
			}
			e.declare(spec(version(n), change))
			b.append(2)
		}
		e.awaitLive(45)
		close(stop)
		asking.Wait()
		e.stop()
		if n := open.Load(); n != 0 || asked.Load() < 100 {
			t.Errorf("%d modules are still open; %d queries were answered", n, asked.Load())
		}
	})
}

// sequences is the ledger of the events up to one.
func sequences(to uint64) (list string) {
	for n := range to {
		list += fmt.Sprint(n+1, " ")
	}
	return list
}
