package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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

// mortal is a store that can be cut off from one moment to the next, as the machine is that
// it is on.
type mortal struct {
	*enginetest.Store
	dead atomic.Bool
	all  map[*enginetest.Keyspace]bool
}

func (m *mortal) Open(ctx context.Context, projection, generation string, create bool) (state.Keyspace, error) {
	ks, err := m.Store.Open(ctx, projection, generation, create)
	if err == nil {
		m.all[ks.(*enginetest.Keyspace)] = true
	}
	return &mortalKeyspace{ks, m}, err
}

type mortalKeyspace struct {
	state.Keyspace
	store *mortal
}

var errDead = errors.New("the machine is down")

func (k *mortalKeyspace) Commit(ctx context.Context, c state.Commit) (state.Checkpoint, error) {
	if k.store.dead.Load() {
		return state.Checkpoint{}, errDead
	}
	return k.Keyspace.Commit(ctx, c)
}

func (k *mortalKeyspace) Sync(ctx context.Context) (state.Version, error) {
	if k.store.dead.Load() {
		return k.Durable(), errDead
	}
	return k.Keyspace.Sync(ctx)
}

func (k *mortalKeyspace) Close() error {
	if k.store.dead.Load() {
		return nil
	}
	return k.Keyspace.Close()
}

// Watchers have seen commits that a crash of the machine took back, and of some of them the
// stream lost the events, too, and gave their numbers to others. Whenever they come again,
// while the projection is behind what they have seen, at it or beyond it, each has what is
// read there.
func TestWatchGoesOnAfterMachineCrash(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) { watchOverCrashes(t, b, rand.New(rand.NewPCG(seed, 2))) })
		})
	}
}

func watchOverCrashes(t *testing.T, b *bench, dice *rand.Rand) {
	echo := enginetest.FuncModule("echo", func(e abi.Record, st guest.State) error {
		if key := fmt.Appendf(nil, "%c", 'a'+e.Data[0]%5); e.Data[0]%3 > 0 {
			return st.Put(key, e.Data)
		} else {
			return st.Delete(key)
		}
	})
	n := 0
	add := func(count int) {
		for range count {
			n++
			b.server.Append(streamName, "e.x", fmt.Appendf([]byte{byte(dice.IntN(256))}, "/%d", n))
			synctest.Wait()
		}
	}
	store := &mortal{Store: b.store, all: map[*enginetest.Keyspace]bool{}}
	e := b.startOn(store, spec(echo, func(s *engine.Spec) { s.History = engine.HistoryPolicy{Events: uint64(dice.IntN(2) * 50)} }))
	add(5)
	e.awaitLive(5)
	var all []*watcher
	for range 3 {
		all = append(all, e.watch(engine.WatchOptions{}))
	}
	for range 6 {
		time.Sleep(time.Duration(dice.IntN(3)) * 400 * time.Millisecond) // some of it is durable
		synctest.Wait()
		durable := e.status().Durable
		add(1 + dice.IntN(6))
		last := b.last()
		for _, w := range all {
			w.equals("")
			if dice.IntN(4) > 0 {
				_ = w.end()
			}
		}
		store.dead.Store(true)
		for _, w := range all {
			_ = w.end()
		}
		_ = e.Close()
		e.stopped = true
		b.store.Abandon()
		for ks := range store.all {
			if n := ks.OpenViews(); n > 0 {
				t.Errorf("%d views are open after the crash", n)
			}
			ks.Crash(true)
		}
		store.dead.Store(false)
		if dice.IntN(3) > 0 && last > durable {
			b.server.Rewind(streamName, durable+uint64(dice.IntN(int(last-durable)+1)))
		}
		if dice.IntN(2) == 0 {
			add(dice.IntN(10))
		}
		e = b.startOn(store, spec(echo, func(s *engine.Spec) { s.History = engine.HistoryPolicy{Events: 50} }))
		e.awaitState(engine.Live)
		for _, w := range all {
			w.e, w.at.Sequence = e, 0 // it may go back
			w.resume("p", engine.WatchOptions{From: w.at.Bookmark})
			w.equals("")
			add(dice.IntN(3))
			e.awaitLive(b.last())
		}
		time.Sleep(2 * time.Second) // the position is told
		for _, w := range all {
			w.equals("")
		}
	}
	for _, w := range all {
		_ = w.end()
	}
}
