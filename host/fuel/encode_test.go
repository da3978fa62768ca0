package fuel

import (
	"context"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// cat joins bytes of instructions.
func cat(parts ...[]byte) (out []byte) {
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// bs is short for bytes.
func bs(b ...byte) []byte { return b }

func i32c(v int32) []byte { return appendS64(bs(opI32Const), int64(v)) }

// vec prefixes bytes with their number.
func vec(b []byte) []byte { return append(appendU32(nil, uint32(len(b))), b...) }

// sect is a section with its entries.
func sect(id byte, entries ...[]byte) []byte {
	return append(bs(id), vec(append(appendU32(nil, uint32(len(entries))), cat(entries...)...))...)
}

func assemble(sections ...[]byte) []byte {
	return append([]byte("\x00asm\x01\x00\x00\x00"), cat(sections...)...)
}

func expo(name string, kind byte, index uint32) []byte {
	return appendU32(append(vec([]byte(name)), kind), index)
}

// body is a function's code with a final end; locals are i32.
func body(locals byte, code ...[]byte) []byte {
	head := bs(0)
	if locals > 0 {
		head = bs(1, locals, typeI32)
	}
	return vec(cat(head, cat(code...), bs(opEnd)))
}

// funcs is a module of functions of type (i32) → i32, of which the first is exported as
// f, with a page of memory, of two at most, and a table of ten functions, of a hundred
// at most, each of which is the first; type 1 is () → ().
func funcs(bodies ...[]byte) []byte {
	var types [][]byte
	for range bodies {
		types = append(types, bs(0))
	}
	return assemble(
		sect(sectionType, bs(formFunc, 1, typeI32, 1, typeI32), bs(formFunc, 0, 0)),
		sect(sectionFunction, types...),
		sect(sectionTable, bs(typeFuncref, 1, 10, 100)),
		sect(sectionMemory, bs(1, 1, 2)),
		sect(sectionExport, expo("f", kindFunc, 0), expo("table", kindTable, 0)),
		sect(sectionElement, cat(bs(0), i32c(0), bs(opEnd), vec(make([]byte, 10)))),
		bs(sectionDataCount, 1, 1),
		sect(sectionCode, bodies...),
		sect(sectionData, cat(bs(1), vec(make([]byte, 1000)))),
	)
}

// running is an instance of a rewritten module.
type running struct {
	Meter
	module api.Module
}

// engines are the two that wazero has.
func engines() map[string]wazero.RuntimeConfig {
	return map[string]wazero.RuntimeConfig{"compiler": wazero.NewRuntimeConfigCompiler(), "interpreter": wazero.NewRuntimeConfigInterpreter()}
}

func start(tb testing.TB, r wazero.Runtime, rewritten []byte) *running {
	tb.Helper()
	m, err := r.InstantiateWithConfig(context.Background(), rewritten, wazero.NewModuleConfig().WithName(""))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { m.Close(context.Background()) })
	return &running{NewMeter(m.ExportedGlobal(Global).(api.MutableGlobal)), m}
}

// call gives a budget and calls f.
func (r *running) call(budget uint64, arg int32) (int32, error) {
	r.Fill(budget)
	out, err := r.module.ExportedFunction("f").Call(context.Background(), uint64(uint32(arg)))
	if err != nil {
		return 0, err
	}
	return int32(uint32(out[0])), nil
}

// emptyRuntime has no functions to import.
func emptyRuntime(tb testing.TB, c wazero.RuntimeConfig) wazero.Runtime {
	tb.Helper()
	r := wazero.NewRuntimeWithConfig(context.Background(), c.WithCoreFeatures(api.CoreFeaturesV2).WithMemoryLimitPages(256))
	tb.Cleanup(func() { r.Close(context.Background()) })
	return r
}
