package accountbalances_test

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/testdriver"
	"gnomon/host"
	"gnomon/sdk/abi"
)

// BenchmarkLanguages is what an event costs in each language: deposits and withdrawals of 256
// accounts, in batches of 256, with the state in a map. It also says how large the module and
// its memory are.
//
//	go test -run - -bench Languages -benchtime 200000x ./examples/wasm-projections/account-balances
func BenchmarkLanguages(b *testing.B) {
	makefiles, err := filepath.Glob("*/Makefile")
	if err != nil {
		b.Fatal(err)
	}
	sandbox, err := host.New(b.Context(), host.Options{CacheDir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer sandbox.Close(context.Background())
	for _, makefile := range makefiles {
		language := filepath.Dir(makefile)
		b.Run(language, func(b *testing.B) {
			module := build(b, language)
			loaded, err := sandbox.Load(b.Context(), module, host.Limits{Memory: 64 << 20, Fuel: 500_000_000})
			if err != nil {
				b.Fatal(err)
			}
			defer loaded.Close(context.Background())
			b.Run("event", func(b *testing.B) { benchmarkEvent(b, loaded, len(module)) })
		})
	}
}

func benchmarkEvent(b *testing.B, module engine.Module, size int) {
	const batch = 256
	session, err := testdriver.NewSession(b.Context(), testdriver.Subject{Module: module}, engine.Surroundings{})
	if err != nil {
		b.Fatal(err)
	}
	defer session.Close(context.Background())
	call := func(kind string) {
		if _, err := session.Call(b.Context(), accountEvents(batch, kind)); err != nil {
			b.Fatal(err)
		}
	}
	call("opened")
	call("deposited")
	deposits, withdrawals := accountEvents(batch, "deposited"), accountEvents(batch, "withdrawn")
	var fuel uint64
	events, began := 0, processorTime(b)
	b.ResetTimer()
	for n := 0; n < b.N; n += batch {
		records := deposits
		if n/batch%2 == 1 {
			records = withdrawals
		}
		cost, err := session.Call(b.Context(), records)
		if err != nil {
			b.Fatal(err)
		}
		fuel += cost.Fuel
		events += batch
	}
	b.ReportMetric(float64(processorTime(b)-began)/float64(events), "cpu-ns/event")
	b.ReportMetric(float64(fuel)/float64(events), "fuel/event")
	b.ReportMetric(float64(size)/1024, "KiB-module")
	b.ReportMetric(float64(session.Instance().MemoryBytes())/1024, "KiB-memory")
}

// processorTime is what the process has used, which other processes disturb less than they do
// the clock.
func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// accountEvents are a batch of events of one type, of as many accounts, some 200 bytes each.
func accountEvents(count int, kind string) (records []byte) {
	for i := range count {
		r := abi.Record{
			Sequence: uint64(i + 1), TimeNs: int64(i + 1), Subject: fmt.Appendf(nil, "bank.accounts.%d", i),
			Data: fmt.Appendf(nil, `{"account":"DE00-%08d","owner":"Ada Lovelace","amount":%d,"reference":"invoice %d","channel":"web"}`, i, 100+i, 7*i),
		}
		r.Headers, _ = abi.AppendHeader(r.Headers, "ce-id", fmt.Sprintf("event-%d", i))
		r.Headers, _ = abi.AppendHeader(r.Headers, "ce-time", "2026-03-01T10:00:00Z")
		r.Headers, _ = abi.AppendHeader(r.Headers, "ce-type", "account."+kind)
		records = r.Append(records)
	}
	return records
}
