package host

import (
	"bytes"
	"encoding/binary"
	"os"
	"strings"
	"testing"

	w "gnomon/internal/testutil/wasmgen"
	"gnomon/sdk/abi"
)

var ok = w.Apply(w.I32Const(0))

// A module is refused before it runs, by one line that names what is wrong and
// what was expected.
func TestRefused(t *testing.T) {
	i32 := []abi.ValueType{abi.I32}
	imports := func(i w.Import) []byte {
		return w.Module{Imports: []w.Import{i}, Pages: 1, Funcs: []w.Func{ok}}.Bytes()
	}
	preamble := func(rest ...byte) []byte { return append([]byte("\x00asm\x01\x00\x00\x00"), rest...) }
	tests := []struct {
		name   string
		module []byte
		want   string
	}{
		{"empty file", nil, "is empty"},
		{"text format", []byte("(module)"), "is in the text format: assemble it with wat2wasm"},
		{"not wasm", []byte("#!/bin/sh\necho"), "is not a WebAssembly module"},
		{"component", []byte("\x00asm\x0d\x00\x01\x00"), "is a WebAssembly component: build a core module instead"},
		{"future version", []byte("\x00asm\x02\x00\x00\x00"), "has version 2 of the binary format"},
		{"cut off", imports(w.Contract("log"))[:40], "section 2: reaches past the end of the file"},
		{"too large", append(imports(w.Contract("log")), make([]byte, 1<<20)...), "has 1048657 bytes: the limit is 1000000 (projection.limits.module)"},
		{"no apply", w.Module{Pages: 1}.Bytes(), "does not export apply, type () -> i32, which is required"},
		{"command", w.Module{Pages: 1, Funcs: []w.Func{{Export: "_start"}}}.Bytes(), "it exports _start, so it was built as a command; build a reactor"},
		{"no memory", w.Module{Funcs: []w.Func{ok}}.Bytes(), `does not export its memory: a memory named "memory" is required`},
		{"apply with another type", w.Module{Pages: 1, Funcs: []w.Func{{Export: "apply", Params: i32, Results: i32, Code: [][]byte{w.I32Const(0)}}}}.Bytes(), "exports apply with type (i32) -> i32: the expected type is () -> i32"},
		{"apply that is no function", w.Module{Pages: 1, Exports: []w.Export{{Name: "apply", Kind: kindMemory}}}.Bytes(), "exports apply as a memory: the expected type is () -> i32"},
		{"snapshot without restore", w.Module{Pages: 1, Funcs: []w.Func{ok, {Export: "snapshot", Results: i32, Code: [][]byte{w.I32Const(0)}}}}.Bytes(), "exports only one of snapshot and restore"},
		{"unknown import", imports(w.Import{Module: abi.Module, Name: "state_drop"}), "imports projection_v1.state_drop with type () -> (), which is not in projection_v1; it has batch_read, blob_read"},
		{"import with another type", imports(w.Import{Module: abi.Module, Name: "state_get", Params: i32, Results: i32}), "imports projection_v1.state_get with type (i32) -> i32: the expected type is (i32, i32, i32, i32) -> i32"},
		{"newer contract", imports(w.Import{Module: "projection_v2", Name: "state_get"}), "imports projection_v2.state_get: this engine offers projection_v1"},
		{"foreign import", imports(w.Import{Module: "env", Name: "abort", Params: []abi.ValueType{abi.I32, abi.I32, abi.I32, abi.I32}}), "imports env.abort, which nothing offers: a projection may import from projection_v1, projection_v1_json and wasi_snapshot_preview1 (AssemblyScript: build with --use abort="},
		{"name that a terminal would obey", imports(w.Import{Module: "env", Name: "a\x1b[2J\nhint: all is well"}), `imports "env.a\x1b[2J\nhint: all is well", which nothing offers`},
		{"another WASI", imports(w.Import{Module: "wasi:cli/stdout@0.2.0", Name: "get-stdout"}), "(another version of WASI: build for wasm32-wasip1"},
		{"unknown wasi import", imports(w.Import{Module: abi.WASI, Name: "fd_teleport"}), "imports wasi_snapshot_preview1.fd_teleport"},
		{"wrong code", w.Module{Pages: 1, Funcs: []w.Func{w.Apply(w.I64Const(0))}}.Bytes(), "is not valid WebAssembly: "},
		{"section of four billion entries", preamble(11, 5, 0xff, 0xff, 0xff, 0xff, 0x0f), "section 11: declares 4294967295 entries in 0 bytes"},
		{"globals of four billion entries", preamble(6, 5, 0xff, 0xff, 0xff, 0xff, 0x0f), "section 6: declares 4294967295 entries in 0 bytes"},
		{"four billion locals", preamble(10, 9, 1, 7, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x7f), "section 10: declares a function with 4294967295 locals or more, the limit is 5000"},
		{"table of 134 million entries", withTables(w.Module{Pages: 1, Funcs: []w.Func{ok}}.Bytes(), tableType(1<<27-1, -1)), "declares a table of 134217727 entries: the limit is 100000 (projection.limits.table)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := testHost.Load(t.Context(), tt.module, Limits{ModuleBytes: 1_000_000, Memory: testMemory})
			if err == nil {
				t.Fatal("module was not refused")
			}
			if got := err.Error(); !strings.Contains(got, tt.want) || strings.Contains(got, "\n") {
				t.Errorf("error = %q\nwant one line with %q", got, tt.want)
			}
		})
	}
}

// Every function of the contract is offered with the type that the contract
// states.
func TestContractIsOffered(t *testing.T) {
	for _, f := range abi.Imports() {
		m := w.Module{Imports: []w.Import{w.Contract(f.Name)}, Pages: 1, Funcs: []w.Func{ok}}
		in, _ := instantiate(t, load(t, m.Bytes()), "")
		if err := in.Apply(t.Context(), nil, nil); err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
}

// FuzzInspect holds Inspect to its promise: whatever the bytes, it neither panics
// nor needs more memory than they have, and what passes does not hurt the compiler.
func FuzzInspect(f *testing.F) {
	count, err := os.ReadFile("testdata/count.wasm")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(count)
	f.Add(w.Module{Imports: []w.Import{w.Contract("log")}, Pages: 1, Globals: []int64{1}, Funcs: []w.Func{ok}, Data: []byte("x")}.Bytes())
	f.Add([]byte("\x00asm\x0d\x00\x01\x00"))
	f.Fuzz(func(t *testing.T, module []byte) {
		if len(module) > 64<<10 {
			t.Skip("large inputs only cost time")
		}
		b, err := testHost.Check(module, Limits{Memory: testMemory})
		if err != nil {
			return
		}
		if len(b.Imports) > len(module) || len(b.Exports) > len(module) {
			t.Fatalf("%d imports and %d exports in %d bytes", len(b.Imports), len(b.Exports), len(module))
		}
		m, err := testHost.Load(t.Context(), module, Limits{Memory: testMemory})
		if err == nil {
			m.Close(t.Context())
		}
	})
}

// A number of five bytes is the longest that is read.
func TestLongNumbers(t *testing.T) {
	long := append([]byte("\x00asm\x01\x00\x00\x00\x01"), bytes.Repeat([]byte{0x80}, 10)...)
	if _, err := Inspect(long); err == nil {
		t.Error("a number of ten bytes was accepted")
	}
	if got := (&reader{b: binary.AppendUvarint(nil, 1<<32-1)}).u32(); got != 1<<32-1 {
		t.Errorf("largest number = %d", got)
	}
}
