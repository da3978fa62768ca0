package engine_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// picky is a guest of accounts that refuses some events, as long as it is told to.
type picky struct {
	refuses map[uint64]bool
	mended  atomic.Bool
}

func (p *picky) module(name string) *enginetest.Module {
	return enginetest.FuncModule(name, func(e abi.Record, st guest.State) error {
		if p.refuses[e.Sequence] && !p.mended.Load() {
			return enginetest.Refuse("not %d", e.Sequence)
		}
		return accounts(e, st)
	})
}

// setsAside is a projection of accounts with a policy.
func setsAside(m guest.Module, p engine.Policy, change ...func(*engine.Spec)) engine.Spec {
	return split(m, 1, append([]func(*engine.Spec){func(s *engine.Spec) { s.OnError, s.Letters = p, 100 }}, change...)...)
}

// applied lists the sequences that the state of accounts reflects, by account.
func (r *running) applied() map[string]string {
	r.t.Helper()
	state, _ := r.content()
	maps.DeleteFunc(state, func(key, _ string) bool { return strings.Contains(key, "/") })
	return state
}

// setAside lists what the running generation has set aside.
func (r *running) setAside() (all []state.Letter) {
	r.t.Helper()
	reading, err := r.Read("p")
	if err != nil {
		r.t.Fatal(err)
	}
	defer reading.Close()
	err = state.ReadLetters(reading, 0, func(l state.Letter) bool { all = append(all, l); return true })
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

func (r *running) letters() (list []string) {
	r.t.Helper()
	for _, l := range r.setAside() {
		e, _, err := abi.Next(l.Event)
		if err != nil || e.Sequence != l.Sequence || string(e.Key) != string(l.Key) || l.Time.IsZero() {
			r.t.Errorf("letter %+v, event %+v, %v", l, e, err)
		}
		list = append(list, strings.TrimSpace(fmt.Sprintf("%d %s %s %s", l.Sequence, l.Status, l.Key, l.Error)))
	}
	return list
}

func (r *running) wantLetters(want ...string) {
	r.t.Helper()
	if got := r.letters(); !slices.Equal(got, want) {
		r.t.Errorf("letters\n%q, want\n%q", got, want)
	}
}

// twoAccounts stores events of the accounts a and b in turns.
func (b *bench) twoAccounts(n int) {
	for range n {
		b.server.Append(streamName, "a.a", nil)
		b.server.Append(streamName, "a.b", nil)
	}
}

// Events that fail are passed over by their policy, whatever batch they come in, and
// every other event is applied once; counts and letters say which were not.
func TestPolicies(t *testing.T) {
	const refused = "apply returned an error: not"
	tests := []struct {
		policy  engine.Policy
		a, b    string
		letters []string
		aside   state.Aside
	}{
		{engine.Skip, "1 5 7 9 11 ", "2 4 6 8 12 ", nil, state.Aside{Skipped: 2}},
		{engine.DeadLetter, "1 5 7 9 11 ", "2 4 6 8 12 ", []string{"3 dead a " + refused + " 3", "10 dead b " + refused + " 10"}, state.Aside{Letters: 2}},
		{engine.Quarantine, "1 ", "2 4 6 8 ", []string{
			"3 failed a " + refused + " 3", "5 parked a", "7 parked a", "9 parked a", "10 failed b " + refused + " 10", "11 parked a", "12 parked b",
		}, state.Aside{Letters: 7, Waiting: 7}},
	}
	for _, tt := range tests {
		for _, events := range []int{1, 4, 100} {
			inBubble(t, func(t *testing.T, b *bench) {
				b.twoAccounts(6)
				p := &picky{refuses: map[uint64]bool{3: true, 10: true}}
				s := setsAside(p.module("picky"), tt.policy, func(s *engine.Spec) { s.Batch.Events = events })
				e := b.start(s)
				check := func() {
					t.Helper()
					got := e.awaitLive(12)
					if state := e.applied(); state["a"] != tt.a || state["b"] != tt.b {
						t.Errorf("%s, %d events a batch: applied %v", tt.policy, events, state)
					}
					e.wantLetters(tt.letters...)
					if got.Aside != tt.aside {
						t.Errorf("%s: %+v, want %+v", tt.policy, got.Aside, tt.aside)
					}
				}
				check()
				e.stop()
				e = b.start(s)
				check()
			})
		}
	}
}

// A queue goes on growing across restarts, and other keys are not held up.
func TestQuarantineSurvives(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.twoAccounts(2)
		p := &picky{refuses: map[uint64]bool{1: true}}
		s := setsAside(p.module("picky"), engine.Quarantine)
		e := b.start(s)
		e.awaitLive(4)
		e.stop()
		b.twoAccounts(1)
		e = b.start(s)
		e.awaitLive(6)
		e.wantLetters("1 failed a apply returned an error: not 1", "3 parked a", "5 parked a")
		if state := e.applied(); state["b"] != "2 4 6 " || state["a"] != "" {
			t.Errorf("applied %v", state)
		}
	})
}

func (r *running) order(verb engine.Verb, l engine.Letters) engine.Ordered {
	r.t.Helper()
	done, err := r.Order(r.t.Context(), "p", verb, l)
	if err != nil {
		r.t.Fatalf("%s %+v: %v", verb, l, err)
	}
	return done
}

// What is mended is retried in order, stops at what fails again, and then the key is
// free; what is skipped stays on record, and what is dropped is gone with its queue.
func TestOrders(t *testing.T) {
	const refused = "apply returned an error: not "
	start := func(t *testing.T, b *bench) (*running, *picky, engine.Spec) {
		b.twoAccounts(4) // a: 1 3 5 7, b: 2 4 6 8
		p := &picky{refuses: map[uint64]bool{3: true, 7: true, 6: true}}
		s := setsAside(p.module("picky"), engine.Quarantine)
		e := b.start(s)
		e.awaitLive(8)
		return e, p, s
	}
	t.Run("retry", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *bench) {
			e, p, s := start(t, b)
			if done := e.order(engine.RetryLetters, engine.Letters{Key: []byte("a")}); done.Done != 0 || done.Seq != 3 || done.Error != refused+"3" || done.Left != 5 {
				t.Errorf("%+v", done)
			}
			if all := e.setAside(); all[0].Attempts != 2 {
				t.Errorf("%+v", all)
			}
			delete(p.refuses, 3) // while nothing is applied
			if done := e.order(engine.RetryLetters, engine.Letters{Key: []byte("a")}); done.Done != 2 || done.Seq != 7 || done.Left != 3 {
				t.Errorf("%+v", done)
			}
			e.wantLetters("6 failed b "+refused+"6", "7 failed a "+refused+"7", "8 parked b")
			e.stop() // what was retried is committed
			p.mended.Store(true)
			e = b.start(s)
			e.awaitLive(8)
			if done := e.order(engine.RetryLetters, engine.Letters{}); done.Done != 3 || done.Error != "" || done.Left != 0 {
				t.Errorf("%+v", done)
			}
			e.wantLetters()
			b.twoAccounts(1)
			e.awaitLive(10)
			if state := e.applied(); state["a"] != "1 3 5 7 9 " || state["b"] != "2 4 6 8 10 " {
				t.Errorf("applied %v", state)
			}
		})
	})
	t.Run("skip", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *bench) {
			e, p, _ := start(t, b)
			delete(p.refuses, 7)
			if done := e.order(engine.SkipLetters, engine.Letters{Sequence: 3}); done.Done != 3 || done.Error != "" {
				t.Errorf("%+v", done)
			}
			e.wantLetters("3 skipped a "+refused+"3", "6 failed b "+refused+"6", "8 parked b")
			if s := e.status(); s.Aside != (state.Aside{Skipped: 1, Letters: 3, Waiting: 2}) {
				t.Errorf("%+v", s.Aside)
			}
			if state := e.applied(); state["a"] != "1 5 7 " {
				t.Errorf("applied %v", state)
			}
		})
	})
	t.Run("drop", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *bench) {
			e, _, _ := start(t, b)
			if done := e.order(engine.DropLetters, engine.Letters{Sequence: 5}); done.Done != 2 || done.Left != 3 {
				t.Errorf("%+v", done)
			}
			if done := e.order(engine.DropLetters, engine.Letters{Key: []byte("b")}); done.Done != 2 || done.Left != 1 {
				t.Errorf("%+v", done)
			}
			e.wantLetters("3 failed a " + refused + "3")
			b.twoAccounts(1)
			e.awaitLive(10)
			if state := e.applied(); state["a"] != "1 " || state["b"] != "2 4 10 " {
				t.Errorf("applied %v", state)
			}
			if _, err := e.Order(t.Context(), "p", engine.DropLetters, engine.Letters{Sequence: 4}); !errors.Is(err, engine.ErrNoLetter) {
				t.Errorf("an event that is not set aside: %v", err)
			}
		})
	})
}

// No more events are set aside than the limit: then the projection halts before the
// next one, and everything before that is committed.
func TestLetterLimit(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.twoAccounts(10)
		p := &picky{refuses: map[uint64]bool{2: true}}
		s := setsAside(p.module("picky"), engine.Quarantine, func(s *engine.Spec) { s.Letters = 3 })
		e := b.start(s)
		got := e.awaitState(engine.Halted)
		if !strings.Contains(got.Reason, "event 8 cannot be set aside: 3 are, and the limit is 3 (projection.limits.dead_letters)") || got.Position != 7 {
			t.Errorf("%+v", got)
		}
		if !strings.Contains(got.Hint, "engine dead-letters retry p --all") || !strings.Contains(got.Hint, "raise projection.limits.dead_letters") {
			t.Errorf("the way out is %q", got.Hint)
		}
		p.mended.Store(true)
		e.order(engine.RetryLetters, engine.Letters{})
		e.awaitLive(20)
		if state := e.applied(); len(strings.Fields(state["b"])) != 10 {
			t.Errorf("applied %v", state)
		}
	})
}

// The last event before the limit vouches for the history, as the last one of any batch.
func TestLetterLimitAndHistory(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.twoAccounts(10)
		p := &picky{refuses: map[uint64]bool{2: true}}
		s := setsAside(p.module("picky"), engine.Quarantine, func(s *engine.Spec) { s.Letters = 3 })
		e := b.start(s)
		if s := e.awaitState(engine.Halted); s.Position != 7 {
			t.Errorf("%+v", s)
		}
		e.stop()
		b.server.Rewind(streamName, 6)
		time.Sleep(time.Minute) // of the bubble
		b.twoAccounts(10)
		e = b.start(s)
		if s := e.awaitState(engine.Diverged); !strings.HasPrefix(s.Reason, "stream S holds another event at sequence 7") {
			t.Errorf("%+v", s)
		}
	})
}

// What was set aside before the limit is committed with the halt, also when no event
// was applied after it.
func TestLetterLimitCommits(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		for range 6 {
			b.server.Append(streamName, "a.b", nil)
		}
		p := &picky{refuses: map[uint64]bool{2: true}}
		e := b.start(setsAside(p.module("picky"), engine.Quarantine, func(s *engine.Spec) { s.Letters = 3 }))
		if s := e.awaitState(engine.Halted); s.Position != 4 || s.Aside != (state.Aside{Letters: 3, Waiting: 3}) {
			t.Errorf("%+v", s)
		}
		e.wantLetters("2 failed b apply returned an error: not 2", "3 parked b", "4 parked b")
	})
}

// When a commit of an order fails the order does, and nothing that it did is committed on
// top: what that commit was to hold would be missing. The letters are what they were, and
// the same order does it all afterwards.
func TestOrderWhoseCommitFails(t *testing.T) {
	for name, m := range map[string]func(mended *atomic.Bool) enginetest.Guest{
		"with memory":    func(mended *atomic.Bool) enginetest.Guest { return &refuser{mended: mended} }, // is committed after each letter
		"without memory": func(mended *atomic.Bool) enginetest.Guest { return refusing(mended) },
	} {
		for fails := 1; fails <= 3; fails++ {
			t.Run(fmt.Sprintf("%s, commit %d", name, fails), func(t *testing.T) {
				inBubble(t, func(t *testing.T, b *bench) {
					mended := &atomic.Bool{}
					s := spec(&enginetest.Module{Name: name, New: func() enginetest.Guest { return m(mended) }}, func(s *engine.Spec) {
						s.OnError, s.Letters = engine.DeadLetter, 10
						s.MemorySnapshots = engine.MemoryPolicy{Events: 1000, Every: 1000 * time.Hour, Keep: 2}
					})
					ks := b.keyspace(s)
					ks.Max = state.TxLimit{Writes: 5, Bytes: 1 << 20} // two letters
					left := atomic.Int64{}
					ks.Refuse = func(state.Commit) error {
						if left.Add(-1) == 0 {
							return errors.New("no space left on device")
						}
						return nil
					}
					b.append(25)
					e := b.start(s)
					e.awaitLive(25)
					mended.Store(true)
					left.Store(int64(fails))
					done, err := e.Order(t.Context(), "p", engine.RetryLetters, engine.Letters{})
					failed := left.Load() <= 0
					if failed != (err != nil) {
						t.Errorf("%+v, %v", done, err)
					}
					e.awaitLive(25)
					if s := e.status(); s.Aside.Letters != int64(len(e.setAside())) {
						t.Errorf("%d letters are counted, there are %q", s.Aside.Letters, e.letters())
					}
					if failed {
						e.order(engine.RetryLetters, engine.Letters{})
					}
					e.wantLetters()
					for _, seq := range []int{7, 14, 21} {
						if state, _ := e.content(); state[fmt.Sprintf("event/%d", seq)] == "" {
							t.Errorf("event %d is not applied", seq)
						}
					}
				})
			})
		}
	}
}

// refusing is a guest without memory that refuses every seventh event.
func refusing(mended *atomic.Bool) enginetest.Guest {
	return enginetest.Func(func(e abi.Record, st guest.State) error {
		if e.Sequence%7 == 0 && !mended.Load() {
			return enginetest.Refuse("not now")
		}
		return ledger(e, st)
	})
}
