package js_test

import (
	"fmt"
	"os"
	"testing"

	"gnomon/engine/guest"
	"gnomon/sdk/abi"
)

// account-balances, in batches of 256 events of 50 accounts that are kept between them.
func BenchmarkAccountBalances(b *testing.B) {
	script, err := os.ReadFile("../../examples/wasm-projections/account-balances/javascript/projection.js")
	if err != nil {
		b.Fatal(err)
	}
	benchmarkScript(b, string(script), func(i int) abi.Record {
		return event(uint64(i), "account.deposited", fmt.Sprintf(`{"account":"a-%d","amount":%d}`, i%50, i+1), "ce-id", "e-1", "ce-time", "2026-03-01T10:00:00Z")
	}, func(r *rig) {
		for i := range 50 {
			r.apply(event(1, "account.opened", fmt.Sprintf(`{"account":"a-%d","owner":"Ada"}`, i)))
		}
	})
}

// What is least for an event: a handler that does nothing, one that parses the data, one
// that counts in a key.
func BenchmarkEvent(b *testing.B) {
	for _, tt := range []struct{ name, body string }{
		{"empty", ""},
		{"type", "event.type"},
		{"int", "event.int('amount')"},
		{"data", "event.data"},
		{"count", "state.fold('n', {n: 0}, (v) => { v.n++ })"},
		{"read", "state.getJSON(event.string('account'))"},
		{"write", "state.putJSON(event.string('account'), {n: 1, s: 'x'})"},
	} {
		b.Run(tt.name, func(b *testing.B) {
			benchmarkScript(b, "export function onEvent(event, state) { "+tt.body+" }", func(i int) abi.Record {
				return event(uint64(i), "account.deposited", fmt.Sprintf(`{"account":"a-%d","amount":%d}`, i%50, i+1), "ce-id", "e-1", "ce-time", "2026-03-01T10:00:00Z")
			}, func(*rig) {})
		})
	}
}

func benchmarkScript(b *testing.B, script string, record func(i int) abi.Record, prepare func(*rig)) {
	const size = 256
	var batch []byte
	for i := range size {
		r := record(i)
		batch = r.Append(batch)
	}
	r := start(b, script, "{}")
	prepare(r)
	for b.Loop() {
		if err := r.in.Apply(b.Context(), batch, &r.state); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/size, "ns/event")
	b.ReportMetric(float64(r.in.Fuel())/size, "fuel/event")
	b.ReportMetric(float64(r.in.MemoryBytes())/(1<<20), "MiB")
}

// The start of an instance.
func BenchmarkStart(b *testing.B) {
	m, err := load(b, "export function onEvent(event, state) {}")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		in, err := m.Instantiate(b.Context(), guest.Config{Memory: 64 << 20})
		if err != nil {
			b.Fatal(err)
		}
		in.Close(b.Context())
	}
}

// An instance: of the first three the script is run, later ones are given the memory that
// it left (see package host).
func BenchmarkInstance(b *testing.B) {
	m, err := load(b, "export const settings = { n: 0 };\nexport function onEvent(event, state) { state.fold('n', 0, (n) => n + 1) }")
	if err != nil {
		b.Fatal(err)
	}
	for _, tt := range []struct{ name, settings string }{{"script", `{"n":%d}`}, {"image", `{"n":0}`}} {
		b.Run(tt.name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				settings := tt.settings
				if tt.name == "script" {
					settings = fmt.Sprintf(settings, i)
				}
				in, err := m.Instantiate(b.Context(), guest.Config{Settings: []byte(settings), Memory: 64 << 20})
				if err != nil {
					b.Fatal(err)
				}
				in.Close(b.Context())
			}
		})
	}
}
