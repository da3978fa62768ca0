package host

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"gnomon/engine"
	w "gnomon/internal/testutil/wasmgen"
	"gnomon/sdk/abi"
)

// Modules that are made to harm an engine that loads them are refused, each with its
// reason, and one that is loaded afterwards works.
func TestHostileModules(t *testing.T) {
	ifs := func(n int) []byte { return bytes.Repeat([]byte{0x41, 0x00, 0x04, 0x40, 0x0b}, n) } // i32.const 0; if; end
	first := uint32(0)
	inStart := func(code ...[]byte) []byte {
		return w.Module{Pages: 1, Start: &first, Funcs: []w.Func{{Code: code}, ok}}.Bytes()
	}
	h, _ := trialHost(t)
	for _, c := range []struct {
		name   string
		module []byte
		want   string
	}{
		{"a million locals in 37 bytes", bodies(1, 1_000_000), "1000000 locals or more, the limit is 5000"},
		{"2000 functions of 50,000 locals", bodies(2000, 50_000), "50000 locals or more, the limit is 5000"},
		{"a br_table of 200,000 entries", w.Module{Pages: 1, Funcs: []w.Func{w.Apply(brTable(200_000), w.I32Const(0))}}.Bytes(), "takes more than 1s"},
		{"5000 locals across 20,000 ifs", w.Module{Pages: 1, Funcs: []w.Func{{
			Export: "apply", Results: []abi.ValueType{abi.I32}, Locals: slices.Repeat([]abi.ValueType{abi.I64}, 5000), Code: [][]byte{ifs(20_000), w.I32Const(0)},
		}}}.Bytes(), "takes more than 1s"},
		{"a tree of 2^60 calls in the start", callTree(60), "takes more than 1s"},
		{"a start that grows its memory for ever", inStart(w.Loop, w.I32Const(1), w.MemoryGrow, w.Drop, w.Br(0), w.End), "takes more than 1s"},
		{"a memory that starts above the limit", w.Module{Pages: 4<<20/pageSize + 1, Funcs: []w.Func{ok}}.Bytes(), "the limit is 4194304"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := h.Load(t.Context(), c.module, quickLimits)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	m, err := h.Load(t.Context(), w.Module{Pages: 1, Funcs: []w.Func{ok}}.Bytes(), quickLimits)
	if err != nil {
		t.Fatal(err)
	}
	in, _ := instantiate(t, m, "")
	if err := in.Apply(t.Context(), nil, nil); err != nil {
		t.Error(err)
	}
}

// A start that calls itself for ever ends with its stack, and is told so where the module
// is used.
func TestEndlessRecursionInStart(t *testing.T) {
	h, _ := trialHost(t)
	first := uint32(0)
	m, err := h.Load(t.Context(), w.Module{Pages: 1, Start: &first, Funcs: []w.Func{{Code: [][]byte{w.Call(0)}}, ok}}.Bytes(), Limits{Memory: testMemory})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Instantiate(t.Context(), engine.InstanceConfig{Memory: testMemory}); err == nil || !strings.Contains(err.Error(), "stack overflow") {
		t.Error(err)
	}
}

// bodies is a module of functions that declare locals, without spelling them out.
func bodies(functions int, locals uint32) []byte {
	body := slices.Concat([]byte{1}, w.U32(locals), []byte{byte(abi.I32), 0x0b})
	entry := append(w.U32(uint32(len(body))), body...)
	code := append(w.U32(uint32(functions)), bytes.Repeat(entry, functions)...)
	out := []byte("\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00")
	out = appendSection(out, sectionFunction, append(w.U32(uint32(functions)), make([]byte, functions)...))
	return appendSection(out, sectionCode, code)
}

func appendSection(out []byte, id byte, content []byte) []byte {
	return append(binary.AppendUvarint(append(out, id), uint64(len(content))), content...)
}

// brTable branches to the end of a block through a table.
func brTable(entries int) []byte {
	return slices.Concat([]byte{0x02, 0x40, 0x41, 0x00, 0x0e}, w.U32(uint32(entries)), make([]byte, entries+1), w.End)
}

// callTree is a module whose start calls a function twice, which calls another one
// twice, and so on: there is no loop in it.
func callTree(depth uint32) []byte {
	m := w.Module{Pages: 1, Start: new(uint32)}
	for n := range depth {
		m.Funcs = append(m.Funcs, w.Func{Code: [][]byte{w.Call(n + 1), w.Call(n + 1)}})
	}
	m.Funcs = append(m.Funcs, w.Func{}, ok)
	return m.Bytes()
}

// However a module's bytes are changed, it is refused or it works; memory that was taken
// meanwhile is given back.
func TestMutatedModules(t *testing.T) {
	count, err := os.ReadFile("testdata/count.wasm")
	if err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	before := heap()
	refused := 0
	const rounds = 10_000
	for range rounds {
		module := mutated(rnd, count)
		m, err := testHost.Load(t.Context(), module, Limits{Memory: testMemory})
		if err != nil {
			refused++
			continue
		}
		if err := m.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if refused == 0 || refused == rounds {
		t.Errorf("%d of %d were refused: the test tests nothing", refused, rounds)
	}
	if after := heap(); after > before+64<<20 {
		t.Errorf("the heap has grown from %d to %d bytes", before, after)
	}
}

// mutated changes, cuts or doubles a few bytes of a module.
func mutated(rnd *rand.Rand, module []byte) []byte {
	b := slices.Clone(module)
	for range 1 + rnd.IntN(4) {
		at := 8 + rnd.IntN(len(b)-8)
		switch rnd.IntN(4) {
		case 0:
			b[at] ^= 1 << rnd.IntN(8)
		case 1:
			b[at] = byte(rnd.Uint32())
		case 2:
			b = slices.Delete(b, at, at+1)
		case 3:
			b = slices.Insert(b, at, b[at:min(len(b), at+4)]...)
		}
	}
	return b
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
