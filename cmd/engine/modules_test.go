package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/rogpeppe/go-internal/testscript"

	"gnomon/internal/testutil/wasmgen"
	"gnomon/sdk/abi"
)

var (
	i32     = []abi.ValueType{abi.I32}
	nothing = wasmgen.Apply(wasmgen.I32Const(0)) // an apply that commits every batch
	sound   = module(nothing).Bytes()
)

// module has one page of memory and these functions.
func module(funcs ...wasmgen.Func) wasmgen.Module {
	return wasmgen.Module{Pages: 1, Funcs: funcs}
}

// importing does nothing, but imports.
func importing(i wasmgen.Import) []byte {
	m := module(nothing)
	m.Imports = []wasmgen.Import{i}
	return m.Bytes()
}

// scriptModules are modules that scripts try, by name: most are broken in one way.
var scriptModules = map[string]func() []byte{
	"sound":     func() []byte { return sound },
	"empty":     func() []byte { return nil },
	"prose":     func() []byte { return []byte("This is not a module.\n") },
	"wat":       func() []byte { return []byte("(module)\n") },
	"gzip":      func() []byte { return []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03") },
	"component": func() []byte { return []byte("\x00asm\x0d\x00\x01\x00") },
	"version-2": func() []byte { return []byte("\x00asm\x02\x00\x00\x00") },
	"preamble":  func() []byte { return sound[:8] },
	"truncated": func() []byte { return sound[:len(sound)-3] },
	"large":     func() []byte { return slices.Concat(sound, []byte{0}, wasmgen.U32(32<<20), make([]byte, 32<<20)) },

	"no-memory":     func() []byte { return wasmgen.Module{Funcs: []wasmgen.Func{nothing}}.Bytes() },
	"much-memory":   func() []byte { return wasmgen.Module{Pages: 1025, Funcs: []wasmgen.Func{nothing}}.Bytes() },
	"no-apply":      func() []byte { return module().Bytes() },
	"command":       func() []byte { return module(wasmgen.Func{Export: "_start"}).Bytes() },
	"apply-i64":     func() []byte { return module(applyI64()).Bytes() },
	"snapshot-only": func() []byte { return module(nothing, returning("snapshot", 0)).Bytes() },
	"invalid":       func() []byte { return module(wasmgen.Apply(wasmgen.I64Const(0))).Bytes() },

	"unknown-import": func() []byte {
		return importing(wasmgen.Import{Module: abi.Module, Name: "state_gett", Params: i32, Results: i32})
	},
	"import-type": func() []byte {
		return importing(wasmgen.Import{Module: abi.Module, Name: abi.ImportStateGet, Params: i32, Results: i32})
	},
	"unknown-library": func() []byte { return importing(wasmgen.Import{Module: "env", Name: "abort"}) },
	"next-contract":   func() []byte { return importing(wasmgen.Import{Module: "projection_v2", Name: abi.ImportBatchRead}) },
	"emits":           func() []byte { return importing(wasmgen.Contract(abi.ImportEmit)) },

	"init-traps": func() []byte {
		return module(nothing, wasmgen.Func{Export: abi.ExportInit, Results: i32, Code: trap()}).Bytes()
	},
	"init-refuses": func() []byte { return module(nothing, returning(abi.ExportInit, 7)).Bytes() },
	"initialize-traps": func() []byte {
		return module(nothing, wasmgen.Func{Export: abi.ExportInitialize, Code: trap()}).Bytes()
	},
	"start-traps": func() []byte {
		m := module(nothing, wasmgen.Func{Code: trap()})
		m.Start = new(uint32(1))
		return m.Bytes()
	},
	"bytes":       func() []byte { return writes("\xff\xfe", "\x80", "j", `{"n": 1e2}`, "no\nline", "plain") },
	"renames":     func() []byte { return rewrites(2, abi.Record{Subject: []byte("log.new"), Data: []byte("{}")}) },
	"drops":       func() []byte { return module(wasmgen.Upcast(wasmgen.I32Const(0))).Bytes() },
	"refuses":     func() []byte { return module(wasmgen.Upcast(wasmgen.I32Const(7))).Bytes() },
	"apply-traps": func() []byte { return module(wasmgen.Apply(wasmgen.Unreachable)).Bytes() },
}

func trap() [][]byte { return [][]byte{wasmgen.Unreachable} }

func returning(export string, code int32) wasmgen.Func {
	return wasmgen.Func{Export: export, Results: i32, Code: [][]byte{wasmgen.I32Const(code)}}
}

func applyI64() wasmgen.Func {
	return wasmgen.Func{Export: abi.ExportApply, Results: []abi.ValueType{abi.I64}, Code: [][]byte{wasmgen.I64Const(0)}}
}

// writes is a module whose apply writes keys and values, which follow each other.
func writes(text ...string) []byte {
	m := module()
	m.Imports = []wasmgen.Import{wasmgen.Contract(abi.ImportStatePut)}
	var code [][]byte
	for i, s := range text {
		code = append(code, wasmgen.I32Const(int32(len(m.Data))), wasmgen.I32Const(int32(len(s))))
		m.Data = append(m.Data, s...)
		if i%2 == 1 {
			code = append(code, wasmgen.Call(0), wasmgen.Drop)
		}
	}
	m.Funcs = []wasmgen.Func{wasmgen.Apply(append(code, wasmgen.I32Const(0))...)}
	return m.Bytes()
}

// rewrites is an upcaster that makes the same record of each event, so many times.
func rewrites(times int, r abi.Record) []byte {
	const input, room = 1 << 16, 2 << 20
	made := r.Append(nil)
	get, ge, branchIf := wasmgen.LocalGet, []byte{0x4f}, []byte{0x0d, 1}
	set := func(local byte) []byte { return []byte{0x21, local} }
	load32, load64, store64 := []byte{0x28, 2, 0}, []byte{0x29, 3, abi.OffSequence}, []byte{0x37, 3, abi.OffSequence}
	code := [][]byte{
		wasmgen.I32Const(input), wasmgen.I32Const(room), wasmgen.Call(0), wasmgen.I32Const(input), wasmgen.I32Add, set(0), // the end of the input
		wasmgen.I32Const(input), set(1), // an event of it
		{0x02, 0x40}, wasmgen.Loop, get(1), get(0), ge, branchIf,
		wasmgen.I32Const(0), get(1), load64, store64,
	}
	for range times {
		code = append(code, wasmgen.I32Const(0), wasmgen.I32Const(int32(len(made))), wasmgen.Call(1), wasmgen.Drop)
	}
	f := wasmgen.Upcast(append(code, get(1), get(1), load32, wasmgen.I32Add, set(1), wasmgen.Br(0), wasmgen.End, wasmgen.End, wasmgen.I32Const(0))...)
	f.Locals = []abi.ValueType{abi.I32, abi.I32}
	m := module(f)
	m.Imports = []wasmgen.Import{wasmgen.Contract(abi.ImportInputRead), wasmgen.Contract(abi.ImportOutputWrite)}
	m.Pages, m.Data = 40, made
	return m.Bytes()
}

func scriptWasm(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 || scriptModules[args[0]] == nil {
		ts.Fatalf("usage: wasm NAME FILE, with a NAME of scriptModules")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), scriptModules[args[0]](), 0o600))
}

// scriptBroken holds that run and check refuse a module with the same words.
func scriptBroken(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: broken NAME REGEXP")
	}
	file := filepath.Join("modules", args[0]+".wasm")
	scriptWasm(ts, false, []string{args[0], file})
	ts.Setenv("MODULE", args[0])
	for _, command := range [][]string{{"engine", "run"}, {"engine", "check", file}} {
		scriptRefused(ts, false, command)
		says := regexp.MustCompile(`(?m)^engine: (projection p: module |modules/)` + args[0] + `\.wasm.* ?` + args[1] + `$`)
		if !says.MatchString(ts.ReadFile("stderr")) {
			ts.Fatalf("%q does not say %s", command, says)
		}
	}
}
