package store

import (
	"fmt"
	"path/filepath"
	"testing"

	"gnomon/engine/state"
)

// A commit of so many changed keys, of the 102,400 that a projection has, with its
// position: one transaction; and of one key with the sync that makes it durable.
func BenchmarkCommit(b *testing.B) {
	for _, keys := range []int{1, 100, 4096, 16_384} {
		for _, synced := range []bool{false, true} {
			if synced && keys != 1 {
				continue
			}
			b.Run(fmt.Sprintf("keys=%d/sync=%v", keys, synced), func(b *testing.B) { benchCommit(b, keys, synced) })
		}
	}
}

func benchCommit(b *testing.B, keys int, synced bool) {
	ks := benchKeyspace(b)
	writes := make([]state.Write, 102_400)
	for i := range writes {
		writes[i] = state.Write{Key: fmt.Sprintf("account.%06d", i*7919%len(writes)), Value: fmt.Appendf(nil, `{"balance":%d}`, i), OldSize: 16}
	}
	sequence, at := uint64(0), 0
	commit := func(n int) {
		if at+n > len(writes) {
			at = 0
		}
		sequence++
		ck := state.Checkpoint{Version: state.VersionAt(sequence), Position: state.Position{Stream: "S", Sequence: sequence}, Keys: int64(len(writes))}
		if _, err := ks.Commit(b.Context(), state.Commit{Checkpoint: ck, Writes: writes[at : at+n]}); err != nil {
			b.Fatal(err)
		}
		at += n
		if synced {
			if _, err := ks.Sync(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	for range len(writes) / 4096 {
		commit(4096)
	}
	b.ReportAllocs()
	for b.Loop() {
		commit(keys)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*keys), "ns/key")
}

// Reads of committed state: one key, and 1,000 in order.
func BenchmarkRead(b *testing.B) {
	ks := benchKeyspace(b)
	const all = 10_000
	writes := make([]state.Write, all)
	for i := range writes {
		writes[i] = state.Write{Key: fmt.Sprintf("account.%06d", i), Value: fmt.Appendf(nil, `{"balance":%d}`, i)}
	}
	ck := state.Checkpoint{Version: state.VersionAt(1), Position: state.Position{Stream: "S", Sequence: 1}, Keys: all}
	if _, err := ks.Commit(b.Context(), state.Commit{Checkpoint: ck, Writes: writes}); err != nil {
		b.Fatal(err)
	}
	view, err := ks.View(ck.Version)
	if err != nil {
		b.Fatal(err)
	}
	defer view.Close()
	b.Run("get", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			i++
			if _, ok, err := view.Get([]byte(writes[i*7919%all].Key)); err != nil || !ok {
				b.Fatal(ok, err)
			}
		}
	})
	b.Run("scan=1000", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			rows := 0
			if err := view.Scan([]byte("account.003"), nil, func(_, _ []byte) bool { rows++; return true }); err != nil || rows != 1000 {
				b.Fatal(rows, err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*1000), "ns/key")
	})
}

// benchKeyspace opens an empty keyspace until the end of the benchmark.
func benchKeyspace(b *testing.B) state.Keyspace {
	b.Helper()
	dir, err := OpenDir(filepath.Join(b.TempDir(), "data"), quiet())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { dir.Close() })
	ks, err := dir.Open(b.Context(), "p", "g", true)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ks.Close() })
	return ks
}
