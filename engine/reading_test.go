package engine_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/state"
)

// doorStore is a store that has something happen just before a view is opened.
type doorStore struct {
	state.Store
	door func(ks state.Keyspace) error
}

func (s *doorStore) Open(ctx context.Context, projection, generation string, create bool) (state.Keyspace, error) {
	ks, err := s.Store.Open(ctx, projection, generation, create)
	if err != nil {
		return nil, err
	}
	return doorKeyspace{ks.(*enginetest.Keyspace), s}, nil
}

type doorKeyspace struct {
	*enginetest.Keyspace
	store *doorStore
}

func (k doorKeyspace) View(v state.Version) (state.View, error) {
	if door := k.store.door; door != nil {
		k.store.door = nil
		if err := door(k.Keyspace); err != nil {
			return nil, err
		}
	}
	return k.Keyspace.View(v)
}

// A reader who comes while the next commit takes the place of the one that is served,
// which is no longer kept then, reads the next one.
func TestReadDuringCommit(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		store := &doorStore{Store: b.store}
		b.append(20)
		e := b.startOn(store, spec(ledgerModule))
		e.awaitLive(20)
		synctest.Wait()
		store.door = func(ks state.Keyspace) error {
			b.server.Append(streamName, "e.x", []byte("data"))
			synctest.Wait() // it is committed and served
			if v, err := ks.Sync(t.Context()); err != nil || v.Sequence() != 21 {
				t.Errorf("durable is %d, %v", v.Sequence(), err)
			}
			return nil
		}
		e.wantLedger(1, 21)
	})
}

// A commit that cannot be read at once, by the projection itself, is served all the same:
// what was there before may be gone.
func TestReadAfterHalfFailedCommit(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		store := &doorStore{Store: b.store}
		s := spec(ledgerModule)
		b.append(20)
		e := b.startOn(store, s)
		e.awaitLive(20)
		var views atomic.Int64
		fail := func(state.Keyspace) error { views.Add(1); return errors.New("input/output error") }
		store.door = func(state.Keyspace) error { store.door = fail; return nil } // of the state before the commit, and after it
		b.server.Append(streamName, "e.x", []byte("data"))
		synctest.Wait()
		if s := e.status(); s.State != engine.Stalled || s.Position != 21 || views.Load() != 1 {
			t.Errorf("%+v, %d views", s, views.Load())
		}
		if _, err := b.keyspace(s).Sync(t.Context()); err != nil {
			t.Error(err)
		}
		e.wantLedger(1, 21)
		b.append(1)
		e.awaitLive(22)
		e.wantLedger(1, 22)
	})
}
