package engine_test

import (
	"context"
	"testing"
	"testing/synctest"

	"gnomon/engine"
	"gnomon/engine/enginetest"
)

// doorStore is a store that has something happen just before a view is opened.
type doorStore struct {
	engine.Store
	door func(ks engine.Keyspace)
}

func (s *doorStore) Open(ctx context.Context, projection, generation string, create bool) (engine.Keyspace, error) {
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

func (k doorKeyspace) View(v engine.Version) (engine.View, error) {
	if door := k.store.door; door != nil {
		k.store.door = nil
		door(k.Keyspace)
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
		store.door = func(ks engine.Keyspace) {
			b.server.Append(streamName, "e.x", []byte("data"))
			synctest.Wait() // it is committed and served
			if v, err := ks.Sync(t.Context()); err != nil || v.Sequence() != 21 {
				t.Errorf("durable is %d, %v", v.Sequence(), err)
			}
		}
		e.wantLedger(1, 21)
	})
}
