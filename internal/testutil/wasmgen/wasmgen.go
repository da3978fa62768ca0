// Package wasmgen assembles small WebAssembly modules for tests, from functions
// given as lists of instructions, so that a test shows the module it is about.
package wasmgen

import (
	"encoding/binary"

	"gnomon/sdk/abi"
)

// Module is a module to assemble. The zero value is an empty one.
type Module struct {
	Imports []Import
	Funcs   []Func
	// Pages is the minimum of a memory exported as "memory"; 0: there is none.
	Pages uint32
	// Stack is the start value of a mutable i32 global, which is the first, as that of a stack
	// in memory; 0: there is none.
	Stack int32
	// Globals are mutable i64 globals, by their start values.
	Globals []int64
	// Start runs the function with this index, counted with the imports; nil: none.
	Start *uint32
	Data  []byte // at address 0
	// Exports adds exports beyond those of the functions and the memory.
	Exports []Export
}

// Import is an imported function.
type Import struct {
	Module, Name    string
	Params, Results []abi.ValueType
}

// Func is a function of the module; its index follows those of the imports.
type Func struct {
	Export          string // empty: not exported
	Params, Results []abi.ValueType
	Locals          []abi.ValueType
	Code            [][]byte // instructions, without the final end
}

// Export is an export of any kind.
type Export struct {
	Name  string
	Kind  byte
	Index uint32
}

// Contract returns the import of a function of projection_v1.
func Contract(name string) Import {
	for _, f := range abi.Imports() {
		if f.Name == name {
			return Import{abi.Module, name, f.Params, f.Results}
		}
	}
	panic("wasmgen: no such import: " + name)
}

// Apply returns an exported apply.
func Apply(code ...[]byte) Func {
	return Func{Export: abi.ExportApply, Results: []abi.ValueType{abi.I32}, Code: code}
}

// Upcast returns an exported upcast.
func Upcast(code ...[]byte) Func {
	return Func{Export: abi.ExportUpcast, Results: []abi.ValueType{abi.I32}, Code: code}
}

// Bytes assembles the module.
func (m Module) Bytes() []byte {
	out := []byte("\x00asm\x01\x00\x00\x00")
	var types, imports, funcs, exports, codes [][]byte
	for _, i := range m.Imports {
		imports = append(imports, join(name(i.Module), name(i.Name), []byte{0}, U32(uint32(len(types)))))
		types = append(types, funcType(i.Params, i.Results))
	}
	for n, f := range m.Funcs {
		funcs = append(funcs, U32(uint32(len(types))))
		types = append(types, funcType(f.Params, f.Results))
		if f.Export != "" {
			exports = append(exports, join(name(f.Export), []byte{0}, U32(uint32(len(m.Imports)+n))))
		}
		codes = append(codes, f.body())
	}
	if m.Pages > 0 {
		exports = append(exports, join(name(abi.ExportMemory), []byte{2, 0}))
	}
	for _, e := range m.Exports {
		exports = append(exports, join(name(e.Name), []byte{e.Kind}, U32(e.Index)))
	}
	out = section(out, 1, types)
	out = section(out, 2, imports)
	out = section(out, 3, funcs)
	if m.Pages > 0 {
		out = section(out, 5, [][]byte{join([]byte{0}, U32(m.Pages))})
	}
	var globals [][]byte
	if m.Stack != 0 {
		globals = append(globals, join([]byte{byte(abi.I32), 1}, I32Const(m.Stack), End))
	}
	for _, g := range m.Globals {
		globals = append(globals, join([]byte{byte(abi.I64), 1}, I64Const(g), End))
	}
	out = section(out, 6, globals)
	out = section(out, 7, exports)
	if m.Start != nil {
		out = append(out, join([]byte{8}, vec(U32(*m.Start)))...)
	}
	out = section(out, 10, codes)
	if len(m.Data) > 0 {
		out = section(out, 11, [][]byte{join([]byte{0}, I32Const(0), End, vec(m.Data))})
	}
	return out
}

func (f Func) body() []byte {
	locals := U32(uint32(len(f.Locals)))
	for _, t := range f.Locals {
		locals = append(locals, 1, byte(t))
	}
	return vec(join(locals, join(f.Code...), End))
}

// Instructions.
var (
	End         = []byte{0x0b}
	Unreachable = []byte{0x00}
	Drop        = []byte{0x1a}
	Return      = []byte{0x0f}
	Loop        = []byte{0x03, 0x40}
	I32Add      = []byte{0x6a}
	I64Add      = []byte{0x7c}
	MemoryGrow  = []byte{0x40, 0}
	I64Load     = []byte{0x29, 3, 0}
	I64Store    = []byte{0x37, 3, 0}
)

// I32Const pushes a constant.
func I32Const(v int32) []byte { return append([]byte{0x41}, sleb(int64(v))...) }

// I64Const pushes a constant.
func I64Const(v int64) []byte { return append([]byte{0x42}, sleb(v)...) }

// Call calls a function by its index.
func Call(index uint32) []byte { return append([]byte{0x10}, U32(index)...) }

// Br branches to an enclosing label.
func Br(depth uint32) []byte { return append([]byte{0x0c}, U32(depth)...) }

// LocalGet pushes a local.
func LocalGet(index uint32) []byte { return append([]byte{0x20}, U32(index)...) }

// GlobalGet pushes a global.
func GlobalGet(index uint32) []byte { return append([]byte{0x23}, U32(index)...) }

// GlobalSet pops a value into a global.
func GlobalSet(index uint32) []byte { return append([]byte{0x24}, U32(index)...) }

// U32 encodes an unsigned LEB128 number.
func U32(v uint32) []byte { return binary.AppendUvarint(nil, uint64(v)) }

func sleb(v int64) []byte {
	var out []byte
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if (v == 0 && c&0x40 == 0) || (v == -1 && c&0x40 != 0) {
			return append(out, c)
		}
		out = append(out, c|0x80)
	}
}

func funcType(params, results []abi.ValueType) []byte {
	return join([]byte{0x60}, vec(typeBytes(params)), vec(typeBytes(results)))
}

func typeBytes(types []abi.ValueType) []byte {
	out := make([]byte, len(types))
	for i, t := range types {
		out[i] = byte(t)
	}
	return out
}

func name(s string) []byte { return vec([]byte(s)) }

// vec prefixes bytes with their number.
func vec(b []byte) []byte { return append(U32(uint32(len(b))), b...) }

func join(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// section appends a section with its entries, unless it has none.
func section(out []byte, id byte, entries [][]byte) []byte {
	if len(entries) == 0 {
		return out
	}
	return append(append(out, id), vec(append(U32(uint32(len(entries))), join(entries...)...))...)
}
