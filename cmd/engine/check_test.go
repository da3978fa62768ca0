package main

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gnomon/engine"
	"gnomon/internal/testutil/wasmgen"
	"gnomon/sdk/abi"
)

func init() {
	maps.Copy(scriptModules, map[string]func() []byte{
		"table": func() []byte {
			at := bytes.Index(sound, []byte{5, 3, 1, 0, 1}) // the memory's section; that of tables comes before
			return slices.Concat(sound[:at], []byte{4, 6, 1, 0x70, 0}, wasmgen.U32(100_001), sound[at:])
		},
		"floats": func() []byte {
			zero, div, store := []byte{0x44, 0, 0, 0, 0, 0, 0, 0, 0}, []byte{0xa3}, []byte{0x39, 3, 0} // of f64
			m := module(wasmgen.Apply(wasmgen.I32Const(8), zero, zero, div, store, wasmgen.I32Const(0), wasmgen.I32Const(1), wasmgen.I32Const(8), wasmgen.I32Const(8), wasmgen.Call(0)))
			m.Imports, m.Data = []wasmgen.Import{wasmgen.Contract(abi.ImportStatePut)}, []byte("n")
			return m.Bytes()
		},
		"seven": func() []byte {
			m := module(nothing, wasmgen.Func{Export: abi.ExportInit, Results: i32, Code: [][]byte{
				wasmgen.I32Const(0), wasmgen.I32Const(64), wasmgen.Call(0), wasmgen.I32Const(-7), wasmgen.I32Add,
			}})
			m.Imports = []wasmgen.Import{wasmgen.Contract(abi.ImportConfigRead)}
			return m.Bytes()
		},
		"key-length": func() []byte {
			load := []byte{0x28, 2, 0} // of i32
			m := module(wasmgen.Apply(wasmgen.I32Const(64), wasmgen.I32Const(4096), wasmgen.Call(0), wasmgen.Drop, wasmgen.I32Const(64+abi.OffKeyLen), load))
			m.Imports = []wasmgen.Import{wasmgen.Contract(abi.ImportBatchRead)}
			return m.Bytes()
		},
	})
}

// The state that check keeps in memory is read as a sorted map is, whatever is written,
// deleted and scanned in between.
func TestMemoryState(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	s, want := newMemoryState(engine.TxLimit{Writes: 1 << 20, Bytes: 1 << 30}), map[string]string{}
	key := func() []byte {
		return []byte(strings.Repeat(string(rune('a'+rnd.IntN(3))), 1+rnd.IntN(3)) + string(rune('a'+rnd.IntN(26))))
	}
	for step := range 20_000 {
		s.begin()
		k := key()
		switch n := rnd.IntN(10); {
		case n < 4:
			v := bytes.Repeat([]byte{byte(step)}, rnd.IntN(5))
			want[string(k)] = string(v)
			if err := s.Put(k, v); err != nil {
				t.Fatal(err)
			}
		case n < 8:
			delete(want, string(k))
			if err := s.Delete(k); err != nil {
				t.Fatal(err)
			}
		case n == 8:
			v, ok, err := s.Get(k)
			if w, there := want[string(k)]; err != nil || ok != there || string(v) != w {
				t.Fatalf("step %d: %q is %q, %v, %v; want %q, %v", step, k, v, ok, err, w, there)
			}
		default:
			checkScan(t, s, want, k[:rnd.IntN(len(k)+1)], key()[:rnd.IntN(3)], 1+rnd.IntN(20))
		}
	}
	size := 0
	for k, v := range want {
		size += len(k) + len(v)
	}
	if s.keys != len(want) || s.bytes != size || size == 0 {
		t.Errorf("%d keys of %d bytes, want %d of %d", s.keys, s.bytes, len(want), size)
	}
}

func checkScan(t *testing.T, s *memoryState, all map[string]string, prefix, after []byte, limit int) {
	t.Helper()
	var want, got []string
	for _, k := range slices.Sorted(maps.Keys(all)) {
		if strings.HasPrefix(k, string(prefix)) && k > string(after) && len(want) < limit {
			want = append(want, k+"="+all[k])
		}
	}
	err := s.Scan(prefix, after, func(k, v []byte) bool {
		got = append(got, string(k)+"="+string(v))
		return len(got) < limit
	})
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("scan of %q after %q: %q, %v; want %q", prefix, after, got, err, want)
	}
}

// An event that writes more than fits a commit is refused as it would be where it counts:
// by keys or by bytes, of which those that it overwrites itself count once.
func TestMemoryStateLimit(t *testing.T) {
	s := newMemoryState(engine.TxLimit{Writes: 2, Bytes: 10})
	for i, step := range []struct {
		key, value string
		begin, ok  bool
	}{
		{"a", "1", true, true}, {"b", "1", false, true}, {"a", "2", false, true}, {"c", "1", false, false},
		{"c", "1", true, true}, {"d", "12345678", false, false},
		{"d", "123456789", true, true}, {"d", "1", false, true}, {"e", "1234567", false, true},
	} {
		if step.begin {
			s.begin()
		}
		err := s.Put([]byte(step.key), []byte(step.value))
		if (err == nil) != step.ok || err != nil && err.Error() != "apply went over a limit: its writes do not fit one commit: the limit is 2 keys or 10 bytes; write less for one event" {
			t.Errorf("step %d: %v", i, err)
		}
	}
}
