package trace

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// What telling of a call of 64 events costs an engine that traces, by how many of the events are
// traced. The collector is away; what is sent to it is dropped.
func BenchmarkApplied(b *testing.B) {
	b.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	traces, err := Open(b.Context(), "v1", slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer traces.Close()
	for _, traced := range []int{0, 1, 64} {
		b.Run(fmt.Sprintf("traced=%d", traced), func(b *testing.B) {
			var batch streams.Batch
			for i := range 64 {
				e := abi.Record{Sequence: uint64(i + 1), Subject: []byte("account.1"), Data: []byte(`{"amount":1}`)}
				e.Headers, _ = abi.AppendHeader(nil, "ce-type", "paid")
				if i < traced {
					e.Headers, _ = abi.AppendHeader(e.Headers, "traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
				}
				batch.Append(&e)
			}
			s := traces.Session("p", "g", "S")
			b.ReportAllocs()
			for b.Loop() {
				s.Applied(engine.Applied{Records: batch.Records, First: 1, Last: 64, Events: 64, Began: time.Now()})
				s.Cut()
				s.Committed(engine.Committed{Sequence: 64})
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*64), "ns/event")
		})
	}
}
