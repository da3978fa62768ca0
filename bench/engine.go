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
	"gnomon/engine/ingest"
	"gnomon/engine/store"
	"gnomon/host"
	"gnomon/sdk/abi"
)

// balanceFunc is the projection as a native function.
func balanceFunc(e abi.Record, st engine.State) error {
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

func engineEight(ctx context.Context, t task) (outcome, error) {
	return runGuests(ctx, t, "balance.wasm", 8)
}

func runGuests(ctx context.Context, t task, file string, projections int) (o outcome, err error) {
	h, err := host.New(ctx, host.Options{CacheDir: t.cache})
	if err != nil {
		return o, err
	}
	defer h.Close(ctx)
	b, err := os.ReadFile(filepath.Join(t.guests, file))
	if err != nil {
		return o, err
	}
	m, err := h.Load(ctx, b, host.Limits{Memory: 64 << 20})
	if err != nil {
		return o, err
	}
	return runEngine(ctx, t, m, projections)
}

// runEngine catches projections of one module up, with the configuration's defaults.
func runEngine(ctx context.Context, t task, m engine.Module, projections int) (o outcome, err error) {
	nc, st, err := connect(ctx, t.url)
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
		if err := e.Add(ctx, balanceSpec(fmt.Sprint("balance-", i), m, last-t.events+1)); err != nil {
			return o, err
		}
	}
	e.Start(ctx)
	err = e.AwaitEnd(ctx)
	var sum int64
	if err == nil {
		sum, err = sumOf(e, "balance-0")
	}
	if err = errors.Join(err, e.Close(), dir.Close()); err != nil {
		return o, err
	}
	return outcome{Events: t.events * uint64(projections), Took: time.Since(began), Sum: sum}, nil
}

// balanceSpec is a projection as the configuration's defaults make it.
func balanceSpec(name string, m engine.Module, from uint64) engine.Spec {
	p := config.DefaultProjection()
	return engine.Spec{
		Name: name, Module: m, Settings: []byte("{}"), Stream: streamName, Start: engine.Start{Sequence: from},
		Batch:  engine.ReadLimit{Events: p.Limits.BatchEvents, Bytes: int(p.Limits.BatchBytes)},
		Memory: uint64(p.Limits.Memory), Window: time.Duration(p.Checkpoint.Window), Cache: int(p.Checkpoint.Cache),
		MemorySnapshots: engine.MemoryPolicy{Events: uint64(p.Snapshots.EveryEvents), Every: time.Duration(p.Snapshots.Every), Keep: p.Snapshots.Keep},
		Pins:            engine.PinPolicy{Max: p.Snapshots.Pins, MaxAge: time.Duration(p.Snapshots.PinMaxAge)},
	}
}

func sumOf(e *engine.Engine, projection string) (sum int64, err error) {
	r, err := e.Read(projection)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	err = r.Scan(nil, nil, func(_, value []byte) bool { sum += balanceOf(value); return true })
	return sum, err
}
