package engine_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
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

// balance is a guest that keeps a sum for each subject: a get and a put for an event.
var balance = enginetest.FuncModule("balance", func(e abi.Record, st guest.State) error {
	var sum [8]byte
	was, _, err := st.Get(e.Subject)
	if err != nil {
		return err
	}
	copy(sum[:], was)
	binary.LittleEndian.PutUint64(sum[:], binary.LittleEndian.Uint64(sum[:])+1)
	return st.Put(e.Subject, sum[:])
})

// roomyStore has keyspaces whose commits can be as large as those of a database.
type roomyStore struct{ enginetest.Store }

func (s *roomyStore) Open(ctx context.Context, projection, generation string, create bool) (state.Keyspace, error) {
	ks, err := s.Store.Open(ctx, projection, generation, create)
	if own, ok := ks.(*enginetest.Keyspace); ok {
		own.Max = state.TxLimit{Writes: 100_000, Bytes: 64 << 20}
	}
	return ks, err
}

// An engine from its start until everything is applied and committed, without the
// three that it stands between: events are laid out before, guests are Go functions and
// keyspaces maps. What is left is its own.
func BenchmarkCatchUp(b *testing.B) {
	source := engine.NewLaidOut()
	subject := func(e abi.Record) []byte { return e.Subject }
	for _, bb := range []struct {
		name        string
		projections int
		change      func(*engine.Spec)
	}{
		{"batch=4096", 1, func(*engine.Spec) {}},
		{"batch=1", 1, func(s *engine.Spec) { s.Batch.Events = 1 }},
		{"keyed", 1, func(s *engine.Spec) { s.KeyOf = subject }},
		{"partitions=2", 1, func(s *engine.Spec) { s.KeyOf, s.Key, s.Partitions = subject, "subject:2", 2 }},
		{"projections=8", 8, func(*engine.Spec) {}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				catchUp(b, source, bb.projections, bb.change)
			}
			events := float64(b.N * source.Events() * bb.projections)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/events, "ns/event")
			b.ReportMetric(events/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func catchUp(b *testing.B, source streams.Source, projections int, change func(*engine.Spec)) {
	catchUpWith(b, engine.Options{Source: source}, projections, change)
}

// catchUpTraced says how long one projection takes that a tracer is told of.
func catchUpTraced(b *testing.B, source streams.Source, t engine.Tracer) time.Duration {
	began := time.Now()
	catchUpWith(b, engine.Options{Source: source, Tracer: t}, 1, func(s *engine.Spec) { s.Batch.Events = 64 })
	return time.Since(began)
}

func catchUpWith(b *testing.B, o engine.Options, projections int, change func(*engine.Spec)) {
	e := engine.New(engine.Options{Source: o.Source, Tracer: o.Tracer, Store: new(roomyStore), Catalog: new(enginetest.Catalog), Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	defer e.Close()
	for i := range projections {
		s := engine.Spec{
			Name: fmt.Sprintf("p%d", i), Module: balance, Stream: "S",
			Batch: streams.ReadLimit{Events: 4096, Bytes: 1 << 20}, Window: 250 * time.Millisecond, Cache: 64 << 20,
		}
		change(&s)
		if _, err := e.Declare(b.Context(), s); err != nil {
			b.Fatal(err)
		}
	}
	e.Start(b.Context())
	if err := e.AwaitEnd(b.Context()); err != nil {
		b.Fatal(err)
	}
	for _, s := range e.Projections() {
		if s.Keys != 10_000 {
			b.Fatalf("%s has %d keys", s.Projection, s.Keys)
		}
	}
}
