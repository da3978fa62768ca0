package ingest

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"

	"gnomon/engine/streams"
)

// From a message of the server to a record in the batch, as the subscription's
// goroutine does it for every event: the reply subject read, the headers laid out in
// order, the record appended. A turn is a full batch, taken and given back.
func BenchmarkReceive(b *testing.B) {
	const events = 4096
	for _, bb := range []struct {
		name   string
		header nats.Header
	}{
		{"headers=0", nil},
		{"headers=3", nats.Header{"Nats-Msg-Id": {"a-4711"}, "Event-Type": {"paid"}, "Event-Time": {"2026-01-31T12:00:00Z"}}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			var messages []*nats.Msg
			for i := 1; i <= events; i++ {
				messages = append(messages, &nats.Msg{
					Subject: fmt.Sprintf("events.account.%06d", i%997), Header: bb.header,
					Reply: fmt.Sprintf("$JS.ACK.EVENTS.c0ffee42.1.%d.%d.%d.%d", 1_000_000+i, i, 1_770_000_000_000_000_000+int64(i), events-i),
					Data:  fmt.Appendf(nil, `{"account":"%06d","amount":%d,"currency":"EUR","note":"%064d"}`, i%997, i%100, i),
				})
			}
			r := &reader{limit: streams.ReadLimit{Events: events, Bytes: 4 << 20}, ready: make(chan struct{}, 1), filling: &streams.Batch{}}
			r.room.L = &r.mu
			bytes := 0
			b.ReportAllocs()
			for b.Loop() {
				r.received = 0
				for _, m := range messages {
					r.receive(m, nil)
				}
				batch, err := r.Take()
				if err != nil || batch.Count != events {
					b.Fatalf("the batch is %+v, %v", batch, err)
				}
				bytes += len(batch.Records)
				r.Release(batch)
			}
			b.SetBytes(int64(bytes / b.N))
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*events), "ns/event")
		})
	}
}
