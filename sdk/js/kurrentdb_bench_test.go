package js_test

import (
	"fmt"
	"testing"

	"gnomon/engine/guest"
	"gnomon/engine/testdriver"
	"gnomon/host"
	"gnomon/sdk/abi"
	"gnomon/sdk/js"
)

// BenchmarkKurrentDB takes batches of 256 events through projections of the dialect: one
// state, a state for each of 100 streams, and one state with that many entries.
func BenchmarkKurrentDB(b *testing.B) {
	for _, c := range []struct{ name, script string }{
		{"count", `fromAll().when({ $init: () => ({ n: 0 }), Sold: (s, e) => { s.n += e.data.amount } })`},
		{"foreachStream", `fromCategory("cart").foreachStream().when({ $init: () => ({ n: 0, last: "" }), Sold(s, e) { s.n += e.data.amount; s.last = e.data.item } })`},
		{"entries", `fromAll().when({ $init: () => ({ of: {} }), Sold(s, e) { s.of[e.streamId] = (s.of[e.streamId] || 0) + e.data.amount } })`},
		{"results", `fromCategory("cart").foreachStream().when({ $init: () => ({ n: 0 }), Sold(s, e) { s.n += e.data.amount } }).transformBy(s => ({ total: s.n })).outputState()`},
	} {
		b.Run(c.name, func(b *testing.B) { benchmark(b, c.script) })
	}
}

func benchmark(b *testing.B, script string) {
	code, err := js.Attach([]byte(script), js.Options{})
	if err != nil {
		b.Fatal(err)
	}
	benchmarkCode(b, code)
}

func benchmarkCode(b *testing.B, code []byte) {
	ctx := b.Context()
	h, err := host.New(ctx, host.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer h.Close(ctx)
	module, err := h.Load(ctx, code, host.Limits{Fuel: 500_000_000})
	if err != nil {
		b.Fatal(err)
	}
	session, err := testdriver.NewSession(ctx, testdriver.Subject{Module: module}, guest.Surroundings{})
	if err != nil {
		b.Fatal(err)
	}
	defer session.Close(ctx)
	const events = 256
	var records []byte
	headers, _ := abi.AppendHeader(nil, "ce-type", "Sold")
	for i := range events {
		r := abi.Record{
			Sequence: uint64(i + 1), Subject: fmt.Appendf(nil, "shop.cart.%d.Sold", i*7%100), Headers: headers,
			Data: fmt.Appendf(nil, `{"item":"screw %d","amount":%d,"note":"a text of some length, as there is"}`, i, i%9),
		}
		records = r.Append(records)
	}
	var fuel uint64
	for b.Loop() {
		cost, err := session.Call(ctx, records)
		if err != nil {
			b.Fatal(err)
		}
		fuel += cost.Fuel
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*events), "ns/event")
	b.ReportMetric(float64(fuel)/float64(b.N*events), "fuel/event")
}
