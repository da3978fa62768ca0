package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine"
	"gnomon/engine/config"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/ingest"
	"gnomon/engine/store"
	"gnomon/engine/streams"
	"gnomon/host"
	"gnomon/sdk/abi"
)

// balanceFunc is the projection as a native function.
func balanceFunc(e abi.Record, st guest.State) error {
	account, amount, err := scan(e.Data)
	if err != nil {
		return err
	}
	value, _, err := st.Get(account)
	if err != nil {
		return err
	}
	return st.Put(account, balanceBytes(balanceOf(value)+amount))
}

func engineNative(ctx context.Context, t task) (outcome, error) {
	return runEngine(ctx, t, enginetest.FuncModule("balance", balanceFunc), 1)
}

// engineGuest runs the engine with one projection of a module.
func engineGuest(file string) func(context.Context, task) (outcome, error) {
	return func(ctx context.Context, t task) (outcome, error) { return runGuests(ctx, t, file, 1) }
}

// engineUnmetered runs it without fuel.
func engineUnmetered(file string) func(context.Context, task) (outcome, error) {
	return func(ctx context.Context, t task) (outcome, error) {
		t.unmetered = true
		return runGuests(ctx, t, file, 1)
	}
}

func engineEight(ctx context.Context, t task) (outcome, error) {
	return runGuests(ctx, t, "balance.wasm", 8)
}

func runGuests(ctx context.Context, t task, file string, projections int) (o outcome, err error) {
	err = withGuest(ctx, t, file, func(m guest.Module) error {
		o, err = runEngine(ctx, t, m, projections)
		return err
	})
	return o, err
}

// withGuest loads a module and calls fn with it.
func withGuest(ctx context.Context, t task, file string, fn func(m guest.Module) error) error {
	h, err := host.New(ctx, host.Options{CacheDir: t.cache})
	if err != nil {
		return err
	}
	defer h.Close(ctx)
	b, err := os.ReadFile(filepath.Join(t.guests, file))
	if err != nil {
		return err
	}
	limits := config.DefaultProjection().Limits
	if t.unmetered {
		limits.Fuel = 0
	}
	m, err := h.Load(ctx, b, host.Limits{Memory: uint64(limits.Memory), Fuel: uint64(limits.Fuel)})
	if err != nil {
		return err
	}
	return fn(m)
}

// runEngine catches projections of one module up, and adds the balances of the first
// one up.
func runEngine(ctx context.Context, t task, m guest.Module, projections int) (o outcome, err error) {
	if o, err = catchUp(ctx, t, m, projections); err != nil {
		return o, err
	}
	err = stored(ctx, t.dir, projectionName(0), func(_, value []byte) { o.Sum += balanceOf(value); o.Keys++ })
	return o, err
}

func projectionName(i int) string { return fmt.Sprint("projection-", i) }

// catchUp applies the last events of a stream, with the configuration's defaults. The
// clock stops when everything is on disk and closed.
func catchUp(ctx context.Context, t task, m guest.Module, projections int) (o outcome, err error) {
	nc, st, err := connect(ctx, t)
	if err != nil {
		return o, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return o, err
	}
	last := st.CachedInfo().State.LastSeq
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	began := time.Now()
	dir, err := store.OpenDir(t.dir, log)
	if err != nil {
		return o, err
	}
	e := engine.New(engine.Options{Source: ingest.New(js, func(err error) error { return err }), Store: dir, Catalog: dir.Catalog(), Log: log})
	for i := range projections {
		if _, err := e.Declare(ctx, defaultSpec(projectionName(i), m, t.stream, last-t.events+1)); err != nil {
			return o, err
		}
	}
	e.Start(ctx)
	if err = errors.Join(e.AwaitEnd(ctx), e.Close(), dir.Close()); err != nil {
		return o, err
	}
	return outcome{Events: t.events * uint64(projections), Took: time.Since(began)}, nil
}

// defaultSpec is a projection as the configuration's defaults make it.
func defaultSpec(name string, m guest.Module, stream string, from uint64) engine.Spec {
	p := config.DefaultProjection()
	return engine.Spec{
		Name: name, Module: m, Settings: []byte("{}"), Stream: stream, Start: engine.Start{Sequence: from},
		Batch:  streams.ReadLimit{Events: p.Limits.BatchEvents, Bytes: int(p.Limits.BatchBytes)},
		Memory: uint64(p.Limits.Memory), Window: time.Duration(p.Checkpoint.Window), Cache: int(p.Checkpoint.Cache),
		MemorySnapshots: engine.MemoryPolicy{Events: uint64(p.Snapshots.EveryEvents), Every: time.Duration(p.Snapshots.Every), Keep: p.Snapshots.Keep},
		Pins:            engine.PinPolicy{Max: p.Snapshots.Pins, MaxAge: time.Duration(p.Snapshots.PinMaxAge)},
	}
}
