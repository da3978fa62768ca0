package engine_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gnomon/engine"
	"gnomon/engine/catalog"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// These are what simulations found, each as a test of its own.

// A projection that was withdrawn while a candidate was built, and is declared again, has
// both of its generations follow the stream, and no order waits for one that is stopped.
func TestDeclaredAgainBothRun(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(20)
		changed := spec(ledgerModuleAs("changed"), byHand)
		e := b.start(spec(ledgerModule, byHand))
		e.awaitLive(20)
		e.declare(changed)
		e.await("the candidate", func(s engine.Status) bool { return s.Candidate.State == engine.Live })
		if err := e.Withdraw(t.Context(), "p", "a test"); err != nil {
			t.Fatal(err)
		}
		b.append(5)
		for _, name := range []string{"p", "p@candidate"} {
			var stopped *engine.StoppedError
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if _, err := e.Order(ctx, name, engine.RetryLetters, engine.Letters{}); !errors.As(err, &stopped) || stopped.State != engine.Stopped {
				t.Errorf("order of %s: %v", name, err)
			}
			cancel()
		}
		e.declare(changed)
		e.await("both", func(s engine.Status) bool { return s.Position == 25 && s.Candidate.Position == 25 })
	})
}

// A process that died between naming a candidate and making its keyspace leaves nothing in
// the way, also when the projection is declared as yet another one by then, and what was
// named cannot be made again.
func TestCandidateThatWasNeverMade(t *testing.T) {
	for _, live := range []bool{true, false} {
		inBubble(t, func(t *testing.T, b *bench) {
			b.append(20)
			if live {
				e := b.start(spec(ledgerModule))
				e.awaitLive(20)
				e.stop()
			}
			died := errors.New("the process has died")
			engineOf := func(store state.Store, catalog catalog.Catalog) *engine.Engine {
				return engine.New(engine.Options{Source: b.server, Store: store, Catalog: catalog, Log: slog.New(slog.DiscardHandler)})
			}
			e := engineOf(failingStore{died}, &dyingCatalog{Catalog: b.catalog, updates: 1})
			if live {
				e = engineOf(openOnly{b.store, died}, &dyingCatalog{Catalog: b.catalog, updates: 1})
			}
			if _, err := e.Declare(t.Context(), spec(ledgerModuleAs("second"))); !errors.Is(err, died) {
				t.Fatalf("declare: %v", err)
			}
			e.Close()
			r := b.catalog.Projection("p")
			if named := r.Live; !live && slices.Contains(b.store.Generations("p"), named) || live && r.Candidate == "" {
				t.Fatalf("record %+v", r)
			}
			e = engineOf(b.store, b.catalog)
			defer e.Close()
			third := spec(ledgerModuleAs("third"))
			if _, err := e.Declare(t.Context(), third); err != nil {
				t.Fatal(err)
			}
			e.Start(t.Context())
			time.Sleep(time.Minute) // of the bubble
			s, err := e.Status("p")
			if err != nil || s.State != engine.Live || s.Generation != third.Generation() || s.Position != 20 {
				t.Errorf("status %+v, %v", s, err)
			}
			if all := b.store.Generations("p"); len(all) != 1 {
				t.Errorf("generations %v", all)
			}
		})
	}
}

// A position at which a generation stood still for another one is of the last event up to
// it, also when that is not one of its own.
func TestPositionOfHold(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		// The candidate stands after 31, which neither of them picks, when 32 to 40 are there.
		picky := func(s *engine.Spec) {
			byHand(s)
			s.Batch.Events = 100
			s.Filter = func(subject []byte) bool { return string(subject) != "e.other" }
			s.Subjects = []string{"e.x"}
		}
		gate := make(chan struct{})
		slow := enginetest.FuncModule("slow", func(e abi.Record, st guest.State) error {
			if e.Sequence == 30 {
				<-gate
			}
			return ledger(e, st)
		})
		b.append(20)
		e := b.start(spec(ledgerModule, picky))
		e.awaitLive(20)
		e.declare(spec(slow, picky))
		e.await("the candidate", func(s engine.Status) bool { return s.Candidate.State == engine.Live })
		b.append(9)
		e.await("the candidate", func(s engine.Status) bool { return s.Candidate.Position == 29 })
		b.append(1) // it is at work on
		e.await("the live one", func(s engine.Status) bool { return s.Position == 30 })
		time.Sleep(time.Second)                                // of the bubble
		b.server.Append(streamName, "e.other", []byte("data")) // 31
		e.await("the live one", func(s engine.Status) bool { return s.Position == 31 })
		done := make(chan error, 1)
		go func() {
			c, err := e.Compare(t.Context(), "p")
			if err == nil {
				for _, r := range []*engine.Reading{c.Live, c.Candidate} {
					if p := r.Checkpoint.Position; p.Sequence != c.Sequence || !p.Time.Equal(b.timeOf(p.Sequence)) {
						t.Errorf("position %+v, want the time %s", p, b.timeOf(p.Sequence))
					}
				}
				c.Close()
			}
			done <- err
		}()
		time.Sleep(time.Second) // of the bubble
		for range 9 {
			b.server.Append(streamName, "e.x", []byte("data"))
		}
		close(gate)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if s := e.status(); s.Position < 31 {
			t.Errorf("status %+v", s)
		}
	})
}

// An engine expects as many readers of a stream as there are generations that read it,
// however often they are declared with other limits or their code is exchanged: it waits
// for those that it expects.
func TestReadersExpected(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(5)
		e := b.start(spec(ledgerModule, swaps(1)))
		e.awaitLive(5)
		for n := range 3 {
			e.declare(spec(ledgerModule, swaps(1), func(s *engine.Spec) { s.Batch.Events = 20 + n }))
			e.declare(spec(ledgerModuleAs(string(rune('a'+n))), swaps(1)))
			e.declare(spec(ledgerModule, swaps(1)))
		}
		e.awaitLive(5)
		if n := e.Expected(streamName); n != 1 {
			t.Errorf("%d readers are expected", n)
		}
		e.stop()
		b.declared = map[string]engine.Spec{} // what ran cannot be made again
		e = b.start(spec(ledgerModuleAs("other"), swaps(1)))
		e.awaitLive(5)
		if n := e.Expected(streamName); n != 1 {
			t.Errorf("%d readers are expected after code was given to what stood still", n)
		}
	})
}

// dyingCatalog takes so many updates.
type dyingCatalog struct {
	catalog.Catalog
	updates int
}

func (c *dyingCatalog) Update(name string, fn func(*catalog.Record) error) error {
	if c.updates--; c.updates < 0 {
		return errors.New("the process has died")
	}
	return c.Catalog.Update(name, fn)
}

// failingStore opens nothing.
type failingStore struct{ err error }

func (s failingStore) Open(context.Context, string, string, bool) (state.Keyspace, error) {
	return nil, s.err
}

func (s failingStore) Remove(string, string) error { return s.err }

// openOnly makes no keyspace anew.
type openOnly struct {
	*enginetest.Store
	err error
}

func (s openOnly) Open(ctx context.Context, projection, generation string, create bool) (state.Keyspace, error) {
	ks, err := s.Store.Open(ctx, projection, generation, false)
	if errors.Is(err, state.ErrNoKeyspace) && create {
		return nil, s.err
	}
	return ks, err
}

// A rebuild of a projection that starts with what is new begins where it began first: what is
// read would be emptied by one that begins now. A replay of everything begins there, too.
func TestRebuildBeginsWhereItBegan(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(10)
		e := b.start(spec(ledgerModule, func(s *engine.Spec) { s.Start, s.KeepPrevious = engine.Start{New: true}, time.Hour }))
		e.awaitLive(10)
		for range 3 {
			b.append(5)
			e.awaitLive(b.last())
		}
		if err := e.Rebuild(t.Context(), "p"); err != nil {
			t.Fatal(err)
		}
		e.await("the rebuilt one", func(s engine.Status) bool { return s.Candidate == nil && s.Previous != nil && s.Position == 25 })
		for _, c := range []struct {
			name, want string
			at         engine.At
		}{
			{"p", "11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 ", engine.At{Sequence: 25}},
			{"p@previous", "11 12 13 14 15 ", engine.At{Sequence: 15, Replay: true}},
		} {
			reading, err := e.ReadAt(t.Context(), c.name, c.at)
			if err != nil {
				t.Fatal(err)
			}
			value, _, err := reading.Get([]byte("ledger"))
			reading.Close()
			if err != nil || string(value) != c.want {
				t.Errorf("%s as of %d: the ledger has %q, %v, want %q", c.name, c.at.Sequence, value, err, c.want)
			}
		}
	})
}

// A node that gets a projection while its code is exchanged begins to run it after that: two
// sessions would write one keyspace.
func TestLeaseComesDuringSwap(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		leases := &turnstile{free: make(chan chan struct{})}
		b.leaser = leases
		b.append(20)
		e := b.start(spec(ledgerModule, swaps(1)))
		lost := make(chan struct{})
		leases.free <- lost
		e.awaitLive(20)
		close(lost)
		time.Sleep(time.Minute) // of the bubble
		second := ledgerModuleAs("second")
		gate := make(chan struct{})
		var open atomic.Int32
		second.Open = func([]byte) {
			if open.Add(1) == 1 {
				<-gate
			}
		}
		declared := make(chan error, 1)
		go func() {
			_, err := e.Declare(t.Context(), spec(second, swaps(1)))
			declared <- err
		}()
		synctest.Wait() // its instance is being made
		leases.free <- make(chan struct{})
		b.append(5)
		time.Sleep(time.Minute) // of the bubble
		if p := e.status().Position; p != 20 {
			t.Errorf("it ran up to %d while its code was exchanged", p)
		}
		close(gate)
		if err := <-declared; err != nil {
			t.Fatal(err)
		}
		e.awaitLive(25)
		e.wantLedger(1, 25)
	})
}
