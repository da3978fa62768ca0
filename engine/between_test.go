package engine_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// scatter writes or deletes keys as the sequence of an event has it; the same for the same one.
func scatter(e abi.Record, st guest.State) error {
	r := rand.New(rand.NewPCG(e.Sequence, 7))
	for range r.IntN(3) {
		key := fmt.Appendf(nil, "%c%d", 'a'+r.IntN(3), r.IntN(15))
		if r.IntN(3) == 0 {
			if err := st.Delete(key); err != nil {
				return err
			}
		} else if err := st.Put(key, fmt.Appendf(nil, "%d", r.IntN(3))); err != nil {
			return err
		}
	}
	return nil
}

// between lists what differs between two points: key, and the values, "-" for an absent one.
func (r *running) between(from, to engine.At, within state.KeyRange) (list []string, err error) {
	b, err := r.Between(r.t.Context(), "p", from, to)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	var last []byte
	err = b.Scan(r.t.Context(), within, func(p state.Pair) bool {
		if last != nil && bytes.Compare(last, p.Key) >= 0 {
			r.t.Errorf("key %q comes after %q", p.Key, last)
		}
		if last = bytes.Clone(p.Key); !p.Same() && (p.InA || p.InB) {
			list = append(list, difference(p))
		}
		return true
	})
	return list, err
}

func difference(p state.Pair) string {
	value := func(v []byte, ok bool) string {
		if !ok {
			return "-"
		}
		return string(v)
	}
	return fmt.Sprintf("%s %s>%s", p.Key, value(p.A, p.InA), value(p.B, p.InB))
}

// scanned is what two full scans say of the same.
func (r *running) scanned(from, to engine.At, within state.KeyRange) (list []string) {
	r.t.Helper()
	var both []*engine.Reading
	for _, at := range []engine.At{from, to} {
		reading, err := r.ReadAt(r.t.Context(), "p", at)
		if err != nil {
			r.t.Fatal(err)
		}
		defer reading.Close()
		both = append(both, reading)
	}
	err := state.CompareRows(both[0], both[1], within.Prefix, func(p state.Pair) bool {
		if !p.Same() && string(p.Key) > string(within.After) {
			list = append(list, difference(p))
		}
		return true
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

// What changed between any two points is what two full scans differ in, for any part of the
// keys: with commits at each event or few of them, with a module that has memory, and with
// what has to be made again from the first event on.
func TestBetweenIsTheDifferenceOfTwoScans(t *testing.T) {
	for _, c := range []struct {
		name    string
		module  guest.Module
		history engine.HistoryPolicy
	}{
		{"a commit at each event", enginetest.FuncModule("scatter", scatter), engine.HistoryPolicy{All: true, Every: 1}},
		{"few commits", enginetest.FuncModule("scatter", scatter), engine.HistoryPolicy{All: true, Every: 17}},
		{"not all is kept", enginetest.FuncModule("scatter", scatter), engine.HistoryPolicy{Events: 40, Every: 17}},
		{"memory", &enginetest.Module{Name: "remembers", New: func() enginetest.Guest { return new(remembering) }}, engine.HistoryPolicy{All: true, Every: 17}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				const events = 150
				r := rand.New(rand.NewPCG(1, 2))
				e := b.start(spec(c.module, func(s *engine.Spec) { s.History = c.history }))
				for n := uint64(0); n < events; n += 10 {
					b.append(10)
					e.awaitLive(n + 10)
				}
				differ := 0
				for range 60 {
					ends := []uint64{r.Uint64N(events + 1), r.Uint64N(events + 1)}
					slices.Sort(ends)
					from, to := engine.At{Sequence: ends[0], Replay: true}, engine.At{Sequence: ends[1], Replay: true}
					within := state.KeyRange{Prefix: []byte([]string{"", "a", "b1", "none"}[r.IntN(4)]), After: []byte([]string{"", "a5", "b1"}[r.IntN(3)])}
					got, err := e.between(from, to, within)
					if err != nil {
						t.Fatalf("from %d to %d: %v", ends[0], ends[1], err)
					}
					if want := e.scanned(from, to, within); !slices.Equal(got, want) {
						t.Errorf("from %d to %d, %q:\n%q\nwant\n%q", ends[0], ends[1], within, got, want)
					}
					differ += len(got)
				}
				if differ < 100 {
					t.Errorf("only %d keys differed in all", differ)
				}
			})
		})
	}
}

// remembering is scatter with a count of events in its memory, which it writes every third time.
type remembering struct{ n byte }

func (g *remembering) Event(e abi.Record, st guest.State) error {
	if g.n++; g.n%3 == 0 {
		if err := st.Put([]byte("a-count"), []byte{'0' + g.n%64}); err != nil {
			return err
		}
	}
	return scatter(e, st)
}

func (g *remembering) Snapshot() [][]byte { return [][]byte{{g.n}} }

func (g *remembering) Restore(blobs [][]byte) error { g.n = blobs[0][0]; return nil }

// Only the keys that were touched between two points are looked at; those that were written
// and are as before come, too, as the same.
func TestBetweenLooksAtWhatWasTouched(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		e := b.start(spec(enginetest.FuncModule("modulo", modulo(nil)), everything))
		b.append(200)
		e.awaitLive(200)
		bt, err := e.Between(t.Context(), "p", engine.At{Sequence: 193}, engine.At{})
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		err = bt.Scan(t.Context(), state.KeyRange{}, func(p state.Pair) bool { keys = append(keys, string(p.Key)); return true })
		if got := strings.Join(keys, " "); err != nil || got != "0 4 5 6 7 8 9" {
			t.Errorf("touched after 193: %s, %v", got, err)
		}
		bt.Close()
		bt.Close()
	})
}

// What cannot be compared is refused: from after to, a sequence that is not reached or not
// kept. To is what is served now unless it is given.
func TestBetweenRefuses(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		e := b.start(spec(enginetest.FuncModule("scatter", scatter), func(s *engine.Spec) { s.History = engine.HistoryPolicy{Events: 50, Every: 10} }))
		for n := uint64(0); n < 200; n += 10 {
			b.append(10)
			e.awaitLive(n + 10)
		}
		e.await("durable", func(s engine.Status) bool { return s.Durable == 200 })
		for _, c := range []struct {
			from, to engine.At
			want     error
			text     string
		}{
			{engine.At{Sequence: 190}, engine.At{Sequence: 180}, engine.ErrBackwards, "it is 190, and to is 180"},
			{engine.At{Sequence: 201}, engine.At{}, engine.ErrNotReached, "201"},
			{engine.At{Sequence: 199}, engine.At{Sequence: 300}, engine.ErrNotReached, "300"},
			{engine.At{Sequence: 3}, engine.At{}, engine.ErrNotKept, "as of 3"},
			{engine.At{Time: b.timeOf(195)}, engine.At{Time: b.timeOf(191)}, engine.ErrBackwards, "it is 195"},
		} {
			if _, err := e.between(c.from, c.to, state.KeyRange{}); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("from %+v to %+v: %v", c.from, c.to, err)
			}
		}
		bt, err := e.Between(t.Context(), "p", engine.At{Sequence: 199}, engine.At{})
		if err != nil {
			t.Fatal(err)
		}
		defer bt.Close()
		if from, to := bt.From.Checkpoint.Position.Sequence, bt.To.Checkpoint.Position.Sequence; from != 199 || to != 200 {
			t.Errorf("without to: from %d to %d", from, to)
		}
	})
}

// The past can be read from just where Past says, and made again from where the generation
// began.
func TestPast(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy engine.HistoryPolicy
	}{{"none", engine.HistoryPolicy{}}, {"events", engine.HistoryPolicy{Events: 50, Every: 10}}, {"all", engine.HistoryPolicy{All: true}}} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				e := b.start(spec(ledgerModule, func(s *engine.Spec) { s.History = c.policy; s.Start = engine.Start{Sequence: 5} }))
				for n := uint64(0); n < 200; n += 10 {
					b.append(10)
					e.awaitLive(n + 10)
				}
				e.await("durable", func(s engine.Status) bool { return s.Durable == 200 })
				past, err := e.Past("p")
				if err != nil || past.Newest.Sequence != 200 || past.Began != 4 || past.Refused != "" || past.Generation == "" {
					t.Fatalf("%+v, %v", past, err)
				}
				oldest := past.Oldest.Sequence
				if _, _, err := e.at(engine.At{Sequence: oldest}); err != nil {
					t.Errorf("the oldest: %v", err)
				}
				if _, _, err := e.at(engine.At{Sequence: oldest - 1}); !errors.Is(err, engine.ErrNotKept) {
					t.Errorf("before the oldest, %d: %v", oldest, err)
				}
				if _, _, err := e.at(engine.At{Sequence: past.Began, Replay: true}); err != nil {
					t.Errorf("the beginning: %v", err)
				}
			})
		})
	}
	inBubble(t, func(t *testing.T, b *bench) {
		e := b.start(spec(ledgerModule))
		if _, err := e.Past("other"); !errors.Is(err, engine.ErrNoProjection) {
			t.Errorf("an unknown one: %v", err)
		}
	})
}
