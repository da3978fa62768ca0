package engine_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// askedStore calls opens before it opens a keyspace.
type askedStore struct {
	*enginetest.Store
	opens func()
}

func (s askedStore) Open(ctx context.Context, projection, generation string, create bool) (state.Keyspace, error) {
	s.opens()
	return s.Store.Open(ctx, projection, generation, create)
}

// A projection whose first declaration is under way is starting: nothing halted it.
func TestStatusWhileItIsDeclared(t *testing.T) {
	var e *engine.Engine
	var seen []engine.Status
	nats := new(enginetest.Server)
	nats.Create("S")
	store := askedStore{new(enginetest.Store), func() { s, _ := e.Status("p"); seen = append(seen, s) }}
	e = engine.New(engine.Options{Source: nats, Store: store, Catalog: new(enginetest.Catalog), Log: slog.New(slog.DiscardHandler)})
	defer e.Close()
	module := enginetest.FuncModule("m", func(abi.Record, guest.State) error { return nil })
	_, err := e.Declare(t.Context(), engine.Spec{Name: "p", Module: module, Stream: "S", Batch: streams.ReadLimit{Events: 1, Bytes: 1 << 20}, Window: time.Nanosecond, Cache: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) != 1 || seen[0].State != engine.Starting || seen[0].Reason != "" {
		t.Errorf("it was %+v", seen)
	}
}
