package engine_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// Whatever watchers do, and whatever is done to what they watch, one that is at a position
// has the state of that position: stopped and resumed at random, slow at random, over
// promotions, rollbacks, rebuilds, pauses and restarts.
func TestWatchAtRandom(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) { watchAtRandom(t, b, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

// shuffler writes and deletes a few keys, otherwise for each name.
func shuffler(name string) *enginetest.Module {
	return enginetest.FuncModule(name, func(e abi.Record, st guest.State) error {
		key, value := shuffle(name, e.Sequence)
		if value == "" {
			return st.Delete([]byte(key))
		}
		return st.Put([]byte(key), []byte(value))
	})
}

// shuffle is what a shuffler makes of an event; an empty value deletes.
func shuffle(name string, sequence uint64) (key, value string) {
	n := sequence*7 + uint64(len(name))
	if key = fmt.Sprintf("%c/%d", 'a'+n%3, n%4); sequence%5 != 0 {
		value = fmt.Sprintf("%s %d", name, sequence)
	}
	return key, value
}

// shuffled is what a shuffler's state is at a sequence.
func shuffled(name, prefix string, sequence uint64) map[string]string {
	state := map[string]string{}
	for seq := range sequence {
		key, value := shuffle(name, seq+1)
		if state[key] = value; value == "" || !strings.HasPrefix(key, prefix) {
			delete(state, key)
		}
	}
	return state
}

func watchAtRandom(t *testing.T, b *bench, dice *rand.Rand) {
	names, of := []string{"x"}, sync.Map{} // names by generation
	with := func(s *engine.Spec) { byHand(s); s.Batch.Events = 3 }
	declared := func(name string) engine.Spec {
		s := spec(shuffler(name), with)
		of.Store(s.Generation(), name)
		return s
	}
	e := b.start(declared("x"))
	b.append(3)
	e.awaitLive(3)
	type rider struct {
		*watcher
		prefix string
		on     bool
	}
	var all []*rider
	for i := range 6 {
		prefix := []string{"", "a", "b/", "none"}[dice.IntN(4)]
		w := e.watch(engine.WatchOptions{Prefix: []byte(prefix)}, func(w *watcher) {
			w.model = func(generation string, sequence uint64) map[string]string {
				name, _ := of.Load(generation)
				return shuffled(name.(string), prefix, sequence)
			}
			if i%2 == 0 {
				w.hold = func(engine.WatchEvent) { time.Sleep(time.Duration(i) * 700 * time.Millisecond) }
			}
		})
		all = append(all, &rider{w, prefix, true})
	}
	resume := func(w *rider) {
		w.e = e
		w.resume("p", engine.WatchOptions{Prefix: []byte(w.prefix), From: w.at.Bookmark})
		w.on = true
	}
	halt := func(w *rider) {
		if w.on {
			_ = w.end()
			w.on = false
		}
	}
	for range 60 {
		switch dice.IntN(12) {
		case 0, 1, 2, 3:
			b.append(1 + dice.IntN(8))
		case 4:
			time.Sleep(time.Duration(dice.IntN(200)) * time.Second)
		case 5, 6, 7:
			w := all[dice.IntN(len(all))]
			if w.on {
				halt(w)
			} else {
				resume(w)
			}
		case 8:
			names = append(names, strings.Repeat("x", 1+dice.IntN(5)))
			e.declare(declared(names[len(names)-1]))
		case 9:
			_, _ = e.Promote(t.Context(), "p") // if there is something to promote
		case 10:
			_, _ = e.Rollback(t.Context(), "p")
		case 11:
			for _, w := range all {
				halt(w)
			}
			e.stop()
			e = b.start(declared(names[len(names)-1]))
		}
		time.Sleep(time.Duration(dice.IntN(1500)) * time.Millisecond)
	}
	for _, w := range all {
		if w.on = w.on && w.e == e; !w.on {
			resume(w)
		}
	}
	e.await("its end", func(s engine.Status) bool { return s.Position == s.StreamLast && s.State == engine.Live })
	time.Sleep(time.Minute)
	for _, w := range all {
		w.equals(w.prefix)
		halt(w)
	}
}

// A bookmark is read as it was written, and nothing else is one.
func FuzzBookmark(f *testing.F) {
	for _, text := range []string{"", "0", "17", "17.3-0123456789abcdef-ab12", "17.70000-0123456789abcdef-ab", "-1", "999999999999999", "x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		b, err := state.ParseBookmark(text)
		if err != nil {
			if !errors.Is(err, state.ErrBookmark) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		again, err := state.ParseBookmark(b.String())
		if err != nil || again != b {
			t.Errorf("%q is %v, and again %v, %v", text, b, again, err)
		}
	})
}
