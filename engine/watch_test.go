package engine_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
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

// watcher holds what a watcher was told against what the projection is: at every position
// the state that it has put together must be the one that the engine serves there.
type watcher struct {
	t     *testing.T
	e     *running
	mu    sync.Mutex // for the race detector, which knows nothing of the bubble's clock
	state map[string]string
	kinds []string // of its events, with their reasons
	at    engine.WatchEvent
	model func(generation string, sequence uint64) map[string]string // what it has to have

	stop context.CancelFunc
	done chan error
	hold func(engine.WatchEvent) // what it does with each event
}

func (r *running) watch(o engine.WatchOptions, change ...func(*watcher)) *watcher {
	w := &watcher{t: r.t, e: r, state: map[string]string{}}
	for _, c := range change {
		c(w)
	}
	w.resume("p", o)
	r.t.Cleanup(func() { w.stop(); <-w.done })
	return w
}

// resume watches on.
func (w *watcher) resume(name string, o engine.WatchOptions) {
	ctx, stop := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	w.stop, w.done = stop, done
	go func() {
		done <- w.e.Watch(ctx, name, o, w.take)
		close(done)
	}()
}

// end stops watching and returns why it ended.
func (w *watcher) end() error {
	w.stop()
	return <-w.done
}

func (w *watcher) take(e engine.WatchEvent) error {
	text := string(e.Kind)
	w.mu.Lock()
	switch e.Kind {
	case engine.WatchReset:
		clear(w.state)
		w.at = engine.WatchEvent{}
		text += ": " + e.Reason
	case engine.WatchGeneration:
		w.at.Bookmark = state.Bookmark{}
	case engine.WatchSnapshot:
		w.state[string(e.Key)] = string(e.Value)
	case engine.WatchChange:
		if w.state[string(e.Key)] = string(e.Value); e.Deleted {
			delete(w.state, string(e.Key))
		}
	case engine.WatchState:
		text += " " + string(e.State)
	case engine.WatchPosition:
		if e.Sequence < w.at.Sequence {
			w.t.Errorf("the position went back from %d to %d", w.at.Sequence, e.Sequence)
		}
		if w.at = e; w.model != nil {
			if want := w.model(e.Generation, e.Sequence); !maps.Equal(w.state, want) {
				w.t.Errorf("at %d of %s the watcher has %v, want %v", e.Sequence, e.Generation, w.state, want)
			}
		}
	}
	w.kinds = append(w.kinds, text)
	w.mu.Unlock()
	if w.hold != nil {
		w.hold(e)
	}
	return nil
}

// equals checks that the watcher has what is read now.
func (w *watcher) equals(prefix string) {
	w.t.Helper()
	synctest.Wait()
	state, sequence := w.e.content()
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(state, func(k, _ string) bool { return !strings.HasPrefix(k, prefix) })
	if !maps.Equal(w.state, state) || w.at.Sequence != sequence {
		w.t.Errorf("at %d the watcher has %d keys at %d, the projection %d: %v and %v", sequence, len(w.state), w.at.Sequence, len(state), w.state, state)
	}
}

func (w *watcher) log() string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.kinds, ", ")
}

// A watcher gets the snapshot, then what every commit changes, with the position; and the
// position once a second when nothing under its prefix changes.
func TestWatch(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(2)
		e := b.start(spec(ledgerModule))
		e.awaitLive(2)
		w, other := e.watch(engine.WatchOptions{}), e.watch(engine.WatchOptions{Prefix: []byte("none")})
		synctest.Wait()
		if got := w.log(); got != "reset: the watch begins, snapshot, snapshot, snapshot, position, state live" || w.at.Generation != e.status().Generation {
			t.Errorf("first %s, %+v", got, w.at)
		}
		w.equals("")
		b.append(1)
		synctest.Wait()
		w.equals("")
		if got := w.log(); !strings.HasSuffix(got, "state live, change, change, position") || w.at.Time.IsZero() || w.at.Missed != 0 {
			t.Errorf("then %s, %+v", got, w.at)
		}
		for range 10 { // within a second
			b.server.Append(streamName, "e.x", nil)
			synctest.Wait()
		}
		w.equals("")
		time.Sleep(2 * time.Second)
		other.equals("none")
		if got := other.log(); got != "reset: the watch begins, position, state live, position" {
			t.Errorf("where nothing changes: %s", got)
		}
	})
}

// A watcher goes on from the position that it was told last, and gets what changed since;
// where that is no longer kept it is told, and begins anew.
func TestWatchGoesOn(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(5)
		e := b.start(spec(ledgerModule))
		e.awaitLive(5)
		w := e.watch(engine.WatchOptions{Prefix: []byte("event/")})
		synctest.Wait()
		if err := w.end(); !errors.Is(err, context.Canceled) {
			t.Errorf("ended: %v", err)
		}
		b.append(5)
		e.awaitLive(10)
		for _, c := range []struct {
			name, want string
			from       string
		}{
			{"a bookmark", "state live, change, change, change, change, change, position", w.at.Bookmark.String()},
			{"a sequence", "state live, change, change, change, change, change, position", "5"},
			{"the present", "state live, position", bookmarkNow(e)},
			{"ahead", "reset: the projection is at 10, which is before 99, snapshot", "99"},
			{"another state", "reset: what was committed at 5 is not what was seen, snapshot", strings.Replace(w.at.Bookmark.String(), w.at.Bookmark.Digest, "0123456789abcdef", 1)},
			{"another generation", "reset: generation abc is gone", "5.0-0123456789abcdef-abc"},
		} {
			from, err := state.ParseBookmark(c.from)
			if err != nil {
				t.Fatal(err)
			}
			x := e.watch(engine.WatchOptions{Prefix: []byte("event/"), From: from}, func(x *watcher) {
				maps.Copy(x.state, w.state)
				if c.name == "the present" {
					x.state, _ = e.content()
					delete(x.state, "ledger")
				}
			})
			synctest.Wait()
			if got := x.log(); !strings.HasPrefix(got, c.want) {
				t.Errorf("from %s: %s, want %s", c.name, got, c.want)
			}
			x.equals("event/")
			_ = x.end()
		}
		b.append(300) // for five minutes
		e.awaitLive(310)
		w.resume("p", engine.WatchOptions{Prefix: []byte("event/"), From: w.at.Bookmark})
		synctest.Wait()
		if got := w.log(); !strings.Contains(got, "reset: sequence 5 is no longer kept") {
			t.Errorf("after a long time: %s", got)
		}
		w.equals("event/")
	})
}

func bookmarkNow(e *running) string {
	w := e.watch(engine.WatchOptions{})
	synctest.Wait()
	_ = w.end()
	return w.at.Bookmark.String()
}

// A watcher that takes its time gets the difference to the newest state as its next step,
// and is told how many commits that passes over.
func TestWatchSlowly(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(1)
		e := b.start(spec(ledgerModule))
		e.awaitLive(1)
		slow := make(chan struct{})
		w := e.watch(engine.WatchOptions{})
		synctest.Wait()
		w.hold = func(engine.WatchEvent) { <-slow }
		for range 7 {
			b.append(1)
			synctest.Wait()
		}
		close(slow)
		synctest.Wait()
		w.hold = nil
		w.equals("")
		if w.at.Missed != 5 {
			t.Errorf("%d commits were passed over, want 5; %s", w.at.Missed, w.log())
		}
	})
}

// A watcher that takes longer for one step than versions are kept for it is given up.
func TestWatchTooSlowly(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(20)
		e := b.start(spec(ledgerModule))
		e.awaitLive(20)
		err := e.Watch(t.Context(), "p", engine.WatchOptions{}, func(engine.WatchEvent) error { time.Sleep(time.Minute); return nil })
		if !errors.Is(err, engine.ErrSlowWatcher) {
			t.Errorf("ended: %v", err)
		}
	})
}

// Watchers are told that another generation is read, and get the difference of the two
// states; going back is the same.
func TestWatchPromotion(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(10)
		e := b.start(spec(ledgerModule, byHand))
		first := e.awaitLive(10).Generation
		w := e.watch(engine.WatchOptions{})
		candidate := enginetest.FuncModule("other", func(r abi.Record, st guest.State) error {
			if r.Sequence%2 == 0 {
				return st.Put([]byte("even"), fmt.Appendf(nil, "%d", r.Sequence))
			}
			return ledger(r, st)
		})
		e.declare(spec(candidate, byHand))
		e.await("a candidate", func(s engine.Status) bool { return s.Candidate != nil && s.Candidate.Position == 10 })
		if _, err := e.Promote(t.Context(), "p"); err != nil {
			t.Fatal(err)
		}
		w.equals("")
		if !strings.Contains(w.log(), "generation, change") || strings.Count(w.log(), "reset") != 1 || w.at.Generation == first {
			t.Errorf("promoted: %s", w.log())
		}
		b.append(3)
		e.awaitLive(13)
		w.equals("")
		_ = w.end()
		if _, err := e.Rollback(t.Context(), "p"); err != nil {
			t.Fatal(err)
		}
		w.resume("p", engine.WatchOptions{From: w.at.Bookmark}) // of the generation that is the candidate now
		w.equals("")
		if strings.Count(w.log(), "reset") != 1 || w.at.Generation != first {
			t.Errorf("rolled back: %s", w.log())
		}
	})
}

// Pausing and halting are told; removing ends the watch; what is not there cannot be
// watched.
func TestWatchEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(3)
		e := b.start(spec(ledgerModule))
		e.awaitLive(3)
		w := e.watch(engine.WatchOptions{Beat: 10 * time.Second})
		synctest.Wait()
		for _, act := range []func(string) error{e.Pause, e.Resume} {
			if err := act("p"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if got := w.log(); !strings.Contains(got, "state live, state paused") || !strings.HasSuffix(got, "state live") {
			t.Errorf("paused and resumed: %s", got)
		}
		time.Sleep(25 * time.Second)
		if got := w.log(); !strings.HasSuffix(got, "state live, idle, idle") {
			t.Errorf("nothing happens: %s", got)
		}
		if err := e.Watch(t.Context(), "q", engine.WatchOptions{}, nil); !errors.Is(err, engine.ErrNoProjection) {
			t.Errorf("of no projection: %v", err)
		}
		if err := e.Watch(t.Context(), "p@candidate", engine.WatchOptions{}, nil); !errors.Is(err, engine.ErrNoGeneration) || errors.Is(err, engine.ErrWatchEnded) {
			t.Errorf("of no generation: %v", err)
		}
		if err := e.Withdraw(t.Context(), "p", "no longer declared"); err != nil {
			t.Fatal(err)
		}
		if err := e.Remove(t.Context(), "p"); err != nil {
			t.Fatal(err)
		}
		if err := <-w.done; !errors.Is(err, engine.ErrWatchEnded) || !strings.Contains(err.Error(), "removed") {
			t.Errorf("removed: %v; %s", err, w.log())
		}
	})
}

// countedStore counts how often the changes between two versions are asked for.
type countedStore struct {
	state.Store
	asked atomic.Int64
}

func (s *countedStore) Open(ctx context.Context, projection, generation string, create bool) (state.Keyspace, error) {
	ks, err := s.Store.Open(ctx, projection, generation, create)
	return &countedKeyspace{ks, s}, err
}

type countedKeyspace struct {
	state.Keyspace
	store *countedStore
}

func (k *countedKeyspace) Changes(kind state.RowKind, after, at state.Version, within state.KeyRange, fn func(state.Row) bool) error {
	k.store.asked.Add(1)
	return k.Keyspace.Changes(kind, after, at, within, fn)
}

// Watchers that are up to date have what the last commits wrote, and ask the keyspace for
// nothing; those that are behind by more than is kept ask it.
func TestWatchersShareCommits(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		store := &countedStore{Store: b.store}
		wide := enginetest.FuncModule("wide", func(r abi.Record, st guest.State) error {
			return st.Put(fmt.Appendf(nil, "%d", r.Sequence%3), []byte(strings.Repeat("x", 600<<10)+strconv.FormatUint(r.Sequence, 10)))
		})
		e := b.startOn(store, spec(wide))
		b.append(1)
		e.awaitLive(1)
		slow := make(chan struct{})
		held := e.watch(engine.WatchOptions{}, func(w *watcher) {
			w.hold = func(e engine.WatchEvent) {
				if e.Kind == engine.WatchState {
					<-slow
				}
			}
		})
		all := []*watcher{e.watch(engine.WatchOptions{}), e.watch(engine.WatchOptions{}), e.watch(engine.WatchOptions{Prefix: []byte("2")})}
		synctest.Wait()
		b.append(10)
		e.awaitLive(11)
		for i, w := range all {
			w.equals([]string{"", "", "2"}[i])
		}
		if n := store.asked.Load(); n != 0 {
			t.Errorf("those that are up to date asked %d times", n)
		}
		close(slow)
		held.equals("")
		if n := store.asked.Load(); n != 1 {
			t.Errorf("the one that is ten commits behind asked %d times", n)
		}
	})
}
