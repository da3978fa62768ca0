package engine_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// moodyUpcaster refuses some events until it is mended, and puts the others twice into the
// account of their subject, and once into that of their data, if they have any.
type moodyUpcaster struct {
	refuses map[uint64]bool
	mended  atomic.Bool
}

func (m *moodyUpcaster) becomes(e abi.Record) []abi.Record {
	made := []abi.Record{e, e}
	if len(e.Data) > 0 {
		made = append(made, abi.Record{Subject: append([]byte("a."), e.Data...), Data: e.Data})
	}
	return made
}

func (m *moodyUpcaster) module() guest.Module {
	return enginetest.Upcaster("moody", func(e abi.Record, out func(abi.Record)) error {
		for i, r := range m.becomes(e) {
			if i == 1 && m.refuses[e.Sequence] && !m.mended.Load() { // when it has made one already
				return enginetest.Refuse("not %d", e.Sequence)
			}
			out(r)
		}
		return nil
	})
}

// sequencesIn lists the sequences in a journal.
func sequencesIn(journal string) (list string) {
	for line := range strings.Lines(journal) {
		seq, _, _ := strings.Cut(line, "@")
		list += seq + " "
	}
	return list
}

// An event that an upcaster fails on fails by itself, whatever batch it came in: the error
// names the upcaster, the policy of the projection applies, the event is kept as it is
// stored, and every other one is applied.
func TestFailingUpcaster(t *testing.T) {
	const refused = "upcaster up0: upcast returned an error: not "
	tests := []struct {
		policy  engine.Policy
		a, b    string
		letters []string
		aside   state.Aside
	}{
		{engine.Skip, "1 1 5 5 7 7 9 9 11 11 ", "2 2 4 4 6 6 8 8 12 12 ", nil, state.Aside{Skipped: 2}},
		{engine.DeadLetter, "1 1 5 5 7 7 9 9 11 11 ", "2 2 4 4 6 6 8 8 12 12 ", []string{"3 dead a " + refused + "3", "10 dead b " + refused + "10"}, state.Aside{Letters: 2}},
		{engine.Quarantine, "1 1 ", "2 2 4 4 6 6 8 8 ", []string{
			"3 failed a " + refused + "3", "5 parked a", "7 parked a", "9 parked a", "10 failed b " + refused + "10", "11 parked a", "12 parked b",
		}, state.Aside{Letters: 7, Waiting: 7}},
	}
	for _, tt := range tests {
		for _, events := range []int{1, 4, 100} {
			inBubble(t, func(t *testing.T, b *bench) {
				b.twoAccounts(6)
				m := &moodyUpcaster{refuses: map[uint64]bool{3: true, 10: true}}
				s := setsAside(journalModule, tt.policy, upcasters(m.module()), func(s *engine.Spec) { s.Batch.Events = events })
				e := b.start(s)
				got := e.awaitLive(12)
				e.wantJournals(tt.a, tt.b)
				e.wantStoredLetters(b, tt.letters...)
				if got.Aside != tt.aside {
					t.Errorf("%s: %+v, want %+v", tt.policy, got.Aside, tt.aside)
				}
				e.stop()
				m.mended.Store(true)
				e = b.start(s)
				e.awaitLive(12)
				if tt.policy == engine.Skip {
					e.wantJournals(tt.a, tt.b)
					return
				}
				if done := e.order(engine.RetryLetters, engine.Letters{}); done.Done != len(tt.letters) || done.Left != 0 {
					t.Errorf("%s: retried %+v", tt.policy, done)
				}
				if tt.policy == engine.Quarantine { // in order
					e.wantJournals("1 1 3 3 5 5 7 7 9 9 11 11 ", "2 2 4 4 6 6 8 8 10 10 12 12 ")
				} else {
					e.wantJournals(tt.a+"3 3 ", tt.b+"10 10 ")
				}
			})
		}
	}
}

func (r *running) wantJournals(a, b string) {
	r.t.Helper()
	state, _ := r.content()
	if gotA, gotB := sequencesIn(state["a"]), sequencesIn(state["b"]); gotA != a || gotB != b {
		r.t.Errorf("applied %q and %q, want %q and %q", gotA, gotB, a, b)
	}
}

// wantStoredLetters checks what is set aside: the events as the stream has them.
func (r *running) wantStoredLetters(b *bench, want ...string) {
	r.t.Helper()
	var got []string
	for _, l := range r.setAside() {
		e, rest, err := abi.Next(l.Event)
		stored, serr := b.server.Event(r.t.Context(), streamName, l.Sequence)
		if err != nil || serr != nil || len(rest) > 0 || string(e.Append(nil)) != string(stored.Append(nil)) {
			r.t.Errorf("letter %d holds %+v, the stream %+v, %v", l.Sequence, e, stored, errors.Join(err, serr))
		}
		keys := string(l.Key)
		for _, k := range l.Keys {
			keys += "+" + string(k)
		}
		got = append(got, strings.TrimSpace(fmt.Sprintf("%d %s %s %s", l.Sequence, l.Status, keys, l.Error)))
	}
	if !slices.Equal(got, want) {
		r.t.Errorf("letters\n%q, want\n%q", got, want)
	}
}

// An event that an upcaster fails on, and that has to queue behind another one of its key,
// is not a failure before its turn comes.
func TestFailingUpcasterInAQueue(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.twoAccounts(4)
		m := &moodyUpcaster{refuses: map[uint64]bool{1: true, 5: true, 4: true}}
		e := b.start(setsAside(journalModule, engine.Quarantine, upcasters(m.module())))
		e.awaitLive(8)
		const refused = "upcaster up0: upcast returned an error: not "
		e.wantStoredLetters(b, "1 failed a "+refused+"1", "3 parked a", "4 failed b "+refused+"4", "5 parked a", "6 parked b", "7 parked a", "8 parked b")
		delete(m.refuses, 1)
		if done := e.order(engine.RetryLetters, engine.Letters{Key: []byte("a")}); done.Done != 2 || done.Seq != 5 || done.Error != refused+"5" {
			t.Errorf("%+v", done)
		}
		if got := e.setAside()[1]; got.Sequence != 5 || got.Status != state.Failed || got.Attempts != 1 {
			t.Errorf("%+v", got)
		}
	})
}

// A stop while upcasters fail at several events, the first of which has to queue, loses none
// of the others.
func TestStopWhileUpcastersFail(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		gate := make(chan struct{})
		var first atomic.Bool
		up := enginetest.Upcaster("gated", func(e abi.Record, out func(abi.Record)) error {
			switch {
			case e.Sequence == 1:
				return enginetest.Refuse("not 1")
			case e.Sequence == 5 && !first.Swap(true):
				<-gate
				return enginetest.Refuse("not now")
			}
			out(e)
			return nil
		})
		s := setsAside(journalModule, engine.Quarantine, upcasters(up))
		b.twoAccounts(1)
		e := b.start(s)
		e.awaitLive(2)
		b.twoAccounts(3) // 3, which queues, to 8
		synctest.Wait()  // for the gate
		closed := make(chan error, 1)
		go func() { closed <- e.Close() }()
		synctest.Wait()
		close(gate)
		if err := <-closed; err != nil {
			t.Error(err)
		}
		e = b.start(s)
		e.awaitLive(8)
		e.wantJournals("", "2 4 6 8 ")
		e.wantStoredLetters(b, "1 failed a upcaster up0: upcast returned an error: not 1", "3 parked a", "5 parked a", "7 parked a")
	})
}

// With on_error = "halt" a projection stops just before the event that its upcaster fails
// on, everything before is committed, and it goes on when the upcaster is mended, or the
// event is skipped.
func TestFailingUpcasterHalts(t *testing.T) {
	for _, skip := range []bool{true, false} {
		inBubble(t, func(t *testing.T, b *bench) {
			b.twoAccounts(20)
			m := &moodyUpcaster{refuses: map[uint64]bool{13: true}}
			e := b.start(setsAside(journalModule, engine.Halt, upcasters(m.module())))
			s := e.awaitState(engine.Halted)
			if s.Reason != "event 13: upcaster up0: upcast returned an error: not 13" || s.Failing != 13 || s.Position != 12 || s.Failures == 0 {
				t.Errorf("status %+v", s)
			}
			a := ""
			for seq := 1; seq <= 39; seq += 2 {
				a += fmt.Sprintf("%d %d ", seq, seq)
			}
			if skip {
				e.order(engine.SkipLetters, engine.Letters{Sequence: 13})
				a = strings.Replace(a, "13 13 ", "", 1)
			} else {
				m.mended.Store(true)
				e.pause()
				e.awaitState(engine.Paused)
				e.resume()
			}
			e.awaitLive(40)
			state, _ := e.content()
			if got := sequencesIn(state["a"]); got != a {
				t.Errorf("applied %q, want %q", got, a)
			}
		})
	}
}

// An event of several records is applied with all of them or with none, and when it fails
// in the module it is set aside as it is stored.
func TestEventOfSeveralRecordsFails(t *testing.T) {
	for _, events := range []int{1, 4, 100} {
		inBubble(t, func(t *testing.T, b *bench) {
			b.twoAccounts(6)
			var mended atomic.Bool
			m := enginetest.FuncModule("second", func(e abi.Record, st guest.State) error {
				list, _, err := st.Get(e.Key)
				if err != nil {
					return err
				}
				second := strings.Contains(string(list), fmt.Sprintf("%d@", e.Sequence))
				if second && e.Sequence == 5 && !mended.Load() {
					return enginetest.Refuse("no second of 5")
				}
				return journal(e, st)
			})
			e := b.start(setsAside(m, engine.DeadLetter, upcasters(new(moodyUpcaster).module()), func(s *engine.Spec) { s.Batch.Events = events }))
			e.awaitLive(12)
			e.wantJournals("1 1 3 3 7 7 9 9 11 11 ", "2 2 4 4 6 6 8 8 10 10 12 12 ")
			e.wantStoredLetters(b, "5 dead a apply returned an error: no second of 5")
			mended.Store(true)
			if done := e.order(engine.RetryLetters, engine.Letters{Sequence: 5}); done.Done != 1 {
				t.Errorf("%+v", done)
			}
			e.wantJournals("1 1 3 3 7 7 9 9 11 11 5 5 ", "2 2 4 4 6 6 8 8 10 10 12 12 ")
			e.wantStoredLetters(b)
		})
	}
}

// The event that a projection is halted before, though upcasters made other records of it,
// is the one that an operator skips.
func TestSkipOfRewrittenEvent(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.twoKeys("ax", "bx", "ax", "bx")
		m := enginetest.FuncModule("third", func(e abi.Record, st guest.State) error {
			if e.Sequence == 3 && string(e.Subject) == "a.x" {
				return enginetest.Refuse("no x of 3")
			}
			return journal(e, st)
		})
		e := b.start(setsAside(m, engine.Halt, upcasters(new(moodyUpcaster).module())))
		if s := e.awaitState(engine.Halted); s.Failing != 3 || s.Position != 2 {
			t.Errorf("status %+v", s)
		}
		e.order(engine.SkipLetters, engine.Letters{Sequence: 3})
		e.awaitLive(4)
		e.wantJournals("1 1 ", "2 2 4 4 ")
		e.wantStoredLetters(b, "3 skipped a+x apply returned an error: no x of 3")
	})
}

// twoKeys stores events, each of which becomes records of two accounts: those in its name.
func (b *bench) twoKeys(pairs ...string) {
	for _, p := range pairs {
		b.server.Append(streamName, "a."+p[:1], []byte(p[1:]))
	}
}

// An event of which records of several keys were made stands in the queues of all of them:
// it waits for those before it in each, and those behind it in each wait for it.
func TestQueuesOfSeveralKeys(t *testing.T) {
	start := func(b *bench) (*running, *moodyUpcaster, engine.Spec) {
		// 1 fails in the module, for it is not mended; 2 waits behind it by b, 3 behind 2
		// by c, 4 behind 3 by d; 5 has no such key; 6 fails by itself, 7 waits for it by x
		// and for 4 by d.
		b.twoKeys("ab", "bc", "cd", "d", "y", "x", "xd")
		m := &moodyUpcaster{}
		refuses := map[uint64]bool{1: true, 6: true}
		guest := enginetest.FuncModule("fails", func(e abi.Record, st guest.State) error {
			if refuses[e.Sequence] && !m.mended.Load() {
				return enginetest.Refuse("not %d", e.Sequence)
			}
			return journal(e, st)
		})
		s := setsAside(guest, engine.Quarantine, upcasters(m.module()), func(s *engine.Spec) { s.Batch.Events = 3 })
		e := b.start(s)
		e.awaitLive(7)
		const refused = "apply returned an error: not "
		e.wantStoredLetters(b, "1 failed a+b "+refused+"1", "2 parked b+c", "3 parked c+d", "4 parked d", "6 failed x "+refused+"6", "7 parked x+d")
		return e, m, s
	}
	left := func(e *running) (list string) {
		for _, l := range e.setAside() {
			list += fmt.Sprintf("%d %s ", l.Sequence, l.Status)
		}
		return list
	}
	t.Run("retry of one", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *bench) {
			e, m, s := start(b)
			m.mended.Store(true)
			e.stop() // the queues are read again
			e = b.start(s)
			e.awaitLive(7)
			if done := e.order(engine.RetryLetters, engine.Letters{Sequence: 3}); done.Done != 3 || left(e) != "4 parked 6 failed 7 parked " {
				t.Errorf("%+v, left %s", done, left(e))
			}
			if done := e.order(engine.RetryLetters, engine.Letters{Key: []byte("d")}); done.Done != 3 || done.Left != 0 {
				t.Errorf("%+v", done)
			}
			b.twoKeys("da")
			e.awaitLive(8)
			state, _ := e.content()
			if want := b.journals(8, m.becomes); !maps.Equal(state, want) {
				t.Errorf("the state is %q, want %q", state, want)
			}
		})
	})
	t.Run("skip", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *bench) {
			e, _, _ := start(b)
			// 2, 3 and 4 waited for nothing else; 7 waits for 6.
			if done := e.order(engine.SkipLetters, engine.Letters{Sequence: 1}); done.Done != 4 || left(e) != "1 skipped 6 failed 7 parked " {
				t.Errorf("%+v, left %s", done, left(e))
			}
			if done := e.order(engine.SkipLetters, engine.Letters{Sequence: 6}); done.Done != 2 || left(e) != "1 skipped 6 skipped " {
				t.Errorf("%+v, left %s", done, left(e))
			}
			if got := e.status().Aside; got != (state.Aside{Skipped: 2, Letters: 2}) {
				t.Errorf("%+v", got)
			}
		})
	})
	t.Run("skip of one in the middle", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *bench) {
			e, _, _ := start(b)
			// 3 waits for nothing any more by c, but 7 still does by x.
			if done := e.order(engine.SkipLetters, engine.Letters{Sequence: 2}); done.Done != 3 || left(e) != "1 failed 2 skipped 6 failed 7 parked " {
				t.Errorf("%+v, left %s", done, left(e))
			}
		})
	})
	t.Run("drop", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *bench) {
			e, _, _ := start(b)
			if done := e.order(engine.DropLetters, engine.Letters{Sequence: 3}); done.Done != 3 || left(e) != "1 failed 2 parked 6 failed " {
				t.Errorf("%+v, left %s", done, left(e))
			}
			b.twoKeys("d", "c", "zb") // 9 waits for 2, and 10, by its second key, for 1
			e.awaitLive(10)
			if left(e) != "1 failed 2 parked 6 failed 9 parked 10 parked " {
				t.Errorf("left %s", left(e))
			}
		})
	})
}
