package host

import (
	"strings"
	"testing"

	w "gnomon/internal/testutil/wasmgen"
	"gnomon/sdk/abi"
)

// floating is a module that divides zero by zero and, when it takes the bits of that,
// writes them to the key "n".
func floating(bits bool) []byte {
	zero, div, store := []byte{0x44, 0, 0, 0, 0, 0, 0, 0, 0}, []byte{0xa3}, []byte{0x39, 3, 0}
	code := [][]byte{w.I32Const(8), zero, zero, div}
	if bits {
		code = append(code, store, w.I32Const(0), w.I32Const(1), w.I32Const(8), w.I32Const(8), w.Call(0))
	} else {
		code = append(code, w.Drop)
	}
	return w.Module{Imports: []w.Import{w.Contract(abi.ImportStatePut)}, Pages: 1, Data: []byte("n"), Funcs: []w.Func{w.Apply(code...)}}.Bytes()
}

// A module whose NaNs may come into its state is warned of, in one line that says where
// they come from and what to do; one that only computes, or computes with integers, is not.
func TestFloatWarning(t *testing.T) {
	for _, tt := range []struct {
		name   string
		module []byte
		want   string
	}{
		{"writes a quotient", floating(true), "computes with floats (1 instruction in 1 function) and takes their bits (1 instruction in 1 function): the bits of a NaN differ between processors, so write floats to the state as decimal text, or test for NaN (x != x) and write one fixed value for it"},
		{"computes and forgets", floating(false), ""},
		{"integers", w.Module{Pages: 1, Funcs: []w.Func{ok}}.Bytes(), ""},
	} {
		load(t, tt.module)
		if got := FloatWarning(tt.module); got != tt.want || strings.Contains(got, "\n") {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
