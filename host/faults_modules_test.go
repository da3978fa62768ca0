package host

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"

	"gnomon/engine/guest"
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

// Lengths and counts that a module claims anywhere, beyond those of its sections, take no
// memory: metered or not, by the process that has no trial for it.
func TestClaims(t *testing.T) {
	const billions = "\xff\xff\xff\xff\x0f"
	plain := w.Module{Pages: 1, Funcs: []w.Func{ok}}.Bytes()
	with := func(id byte, content string) []byte { return appendSection(bytes.Clone(plain), id, []byte(content)) }
	elements := func(content string) []byte { // comes before the code
		at := bytes.LastIndexByte(plain, sectionCode)
		return slices.Concat(appendSection(plain[:at:at], 9, []byte(content)), plain[at:])
	}
	for _, tt := range []struct {
		name   string
		module []byte
		want   string
	}{
		{"a data segment of 4 GiB", with(11, "\x01\x01"+billions), "section 11: ends in the middle of a field"},
		{"an active data segment of 4 GiB", with(11, "\x01\x00\x41\x00\x0b"+billions), "section 11: ends in the middle of a field"},
		{"an element segment of four billion functions", elements("\x01\x01\x00" + billions), "section 9: declares 4294967295 entries in 0 bytes"},
		{"an element segment of four billion expressions", elements("\x01\x05\x70" + billions), "section 9: declares 4294967295 entries in 0 bytes"},
		{"a br_table of four billion labels", w.Module{Pages: 1, Funcs: []w.Func{w.Apply(w.I32Const(0), []byte("\x0e"+billions), w.I32Const(0))}}.Bytes(), "declares 4294967295 entries"},
		{"four billion names of functions", with(0, "\x04name\x01\x05"+billions), ""},
		{"four billion names of locals", with(0, "\x04name\x02\x07\x01\x00"+billions), ""},
		{"a custom section whose name has 4 GiB", with(0, billions), ""},
	} {
		for _, fuel := range []uint64{0, testFuel} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			m, err := testHost.Load(t.Context(), tt.module, Limits{Memory: testMemory, Fuel: fuel})
			if err == nil {
				m.Close(t.Context())
				err = errors.New("")
			}
			if runtime.ReadMemStats(&after); after.TotalAlloc > before.TotalAlloc+64<<20 {
				t.Errorf("%s, fuel %d: it took %d bytes", tt.name, fuel, after.TotalAlloc-before.TotalAlloc)
			}
			if said := err.Error(); !strings.Contains(said, tt.want) || (said == "") != (tt.want == "") {
				t.Errorf("%s, fuel %d: %q, want %q", tt.name, fuel, said, tt.want)
			}
		}
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
	if _, err := m.Instantiate(t.Context(), guest.Config{Memory: testMemory}); err == nil || !strings.Contains(err.Error(), "stack overflow") {
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
