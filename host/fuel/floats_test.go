package fuel

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
)

// What counts as arithmetic is what makes a signalling NaN a quiet one, for that is a new
// NaN, and the others pass it on bit by bit: of scalars and of vectors.
func TestFloatArithmetic(t *testing.T) {
	const shrU64, wrap, and = opI64ShrU, 0xa7, 0x71
	f32 := cat(appendS64(bs(opI32Const), 0x7f800001), bs(0xbe))             // a signalling NaN
	f64 := cat(appendS64(bs(opI64Const), 0x7ff0000000000001), bs(0xbf))     // and another
	v32 := cat(bs(opVector, vectorConst), bytes4x4(0x01, 0x00, 0x80, 0x7f)) // four of the first
	v64 := cat(bs(opVector, vectorConst), bs(1, 0, 0, 0, 0, 0, 0xf0, 0x7f), bs(1, 0, 0, 0, 0, 0, 0xf0, 0x7f))
	quiet32 := cat(bs(0xbc), i32c(22), bs(0x76), i32c(1), bs(and))
	quiet64 := cat(bs(0xbd, opI64Const, 51, shrU64, wrap), i32c(1), bs(and))
	lane32, lane64 := cat(bs(opVector, 0x1f, 0), quiet32), cat(bs(opVector, 0x21, 0), quiet64)
	type group struct {
		from, to        int
		operand, result []byte
		kind            func(op byte) floatKind
		want            floatKind
	}
	tried := map[bool]int{}
	for _, g := range []group{
		{0x8b, 0x98, f32, quiet32, scalarFloat, floatArithmetic},
		{0x99, 0xa6, f64, quiet64, scalarFloat, floatArithmetic},
		{0xb6, 0xb6, f64, quiet32, scalarFloat, floatArithmetic},
		{0xbb, 0xbb, f32, quiet64, scalarFloat, floatArithmetic},
		{0x5e, 0x5e, v64, lane32, vectorFloat, vectorArithmetic},
		{0x5f, 0x5f, v32, lane64, vectorFloat, vectorArithmetic},
		{0x67, 0x6a, v32, lane32, vectorFloat, vectorArithmetic},
		{0x74, 0x75, v64, lane64, vectorFloat, vectorArithmetic},
		{0x7a, 0x7a, v64, lane64, vectorFloat, vectorArithmetic},
		{0x94, 0x94, v64, lane64, vectorFloat, vectorArithmetic},
		{0xe0, 0xeb, v32, lane32, vectorFloat, vectorArithmetic},
		{0xec, 0xf7, v64, lane64, vectorFloat, vectorArithmetic},
	} {
		for op := g.from; op <= g.to; op++ {
			code := bs(byte(op))
			if g.want == vectorArithmetic {
				if vector[op] == unknown {
					continue
				}
				code = bs(opVector, byte(op))
				if op >= 0x80 {
					code = append(code, 1)
				}
			}
			quiet := runs(t, cat(g.operand, code, g.result), cat(g.operand, g.operand, code, g.result))
			if got := g.kind(byte(op)) == g.want; got != quiet {
				t.Errorf("opcode % x: arithmetic is %v, but it makes a NaN quiet: %v", code, got, quiet)
			}
			tried[quiet]++
		}
	}
	if tried[true] < 40 || tried[false] < 8 {
		t.Errorf("%v: too few instructions were tried", tried)
	}
}

func bytes4x4(b ...byte) []byte { return cat(b, b, b, b) }

// runs runs the first of two pieces of code that is valid, and reports whether its result
// is 1.
func runs(t *testing.T, codes ...[]byte) bool {
	t.Helper()
	for _, code := range codes {
		r := emptyRuntime(t, wazero.NewRuntimeConfigCompiler())
		m, err := r.Instantiate(t.Context(), funcs(body(0, code)))
		if err != nil {
			continue
		}
		result, err := m.ExportedFunction("f").Call(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		return uint32(result[0]) == 1
	}
	t.Fatalf("none of % x is valid", codes)
	return false
}

// What shows bits is counted with its functions; vectors count where there is arithmetic
// with vectors of floats, for without it they hold anything.
func TestFloatsAreCounted(t *testing.T) {
	add, reinterpret, store := bs(0x92), bs(0xbc), bs(0x39, 3, 0)
	vectorAdd, vectorStore, integerAdd := bs(opVector, 0xe4, 1), bs(opVector, 0x0b, 4, 0), bs(opVector, 0xae, 1)
	for _, tt := range []struct {
		name   string
		bodies [][]byte
		want   Floats
	}{
		{"integers", [][]byte{body(0, get0)}, Floats{}},
		{"in two functions", [][]byte{body(0, add, add, reinterpret), body(1, add, store, store, store)}, Floats{Places{3, 2}, Places{4, 2}}},
		{"arithmetic alone", [][]byte{body(0, add), body(0, get0)}, Floats{Places{1, 1}, Places{}}},
		{"vectors of integers", [][]byte{body(0, integerAdd, vectorStore, add)}, Floats{Places{1, 1}, Places{}}},
		{"vectors of floats", [][]byte{body(0, vectorAdd, add), body(0, vectorStore)}, Floats{Places{2, 1}, Places{1, 1}}},
		{"operands that look like it", [][]byte{body(0, i32c(0x12), bs(opF64Const), bytes4x4(0x92, 0xbc)[:8], bs(opBlock, typeVoid, opBrTable, 2, 0, 0, 0, opEnd))}, Floats{}},
	} {
		got, err := ReadFloats(funcs(tt.bodies...))
		if err != nil || got != tt.want {
			t.Errorf("%s: %+v, %v; want %+v", tt.name, got, err, tt.want)
		}
	}
}

// Every opcode is passed with exactly its immediates, and what is none is an error with
// function and place, as when the module is rewritten.
func TestFloatsReadEveryOpcode(t *testing.T) {
	for _, op := range everyOpcode() {
		if _, err := ReadFloats(everything(op)); err != nil {
			t.Errorf("% x: %v", op, err)
		}
		for cut := range op[:len(op)-1] {
			if got, err := floatsOf(cat(bs(0), op[:cut+1])); err == nil && op[len(op)-1] != opEnd {
				t.Errorf("% x, cut to %d bytes: %v", op, cut+1, got)
			}
		}
	}
	for _, code := range [][]byte{bs(0x06), bs(opMisc, 0x12), bs(opVector, 0x9a, 1), bs(opVector, 0xe4, 2)} {
		_, err := ReadFloats(everything(cat(bs(opNop), code)))
		if want := fmt.Sprintf("function 5: offset 0x1: opcode 0x%02x", code[0]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("% x: %v, want %s", code, err, want)
		}
	}
}
