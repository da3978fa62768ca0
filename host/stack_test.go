package host

import (
	"strings"
	"testing"

	w "gnomon/internal/testutil/wasmgen"
)

// push moves the stack pointer, global 0, and stores something where it is then.
func push(bytes int32) [][]byte {
	return [][]byte{
		w.GlobalGet(0), w.I32Const(-bytes), w.I32Add, w.GlobalSet(0),
		w.GlobalGet(0), w.I64Const(1), w.I64Store,
	}
}

// A stack that is used up is told as that, with what to do, and no other access out of
// bounds is.
func TestStackOverflow(t *testing.T) {
	stacked := func(at int32, code ...[]byte) w.Module {
		return w.Module{Pages: 1, Stack: at, Funcs: []w.Func{w.Apply(append(code, w.I32Const(0))...)}}
	}
	recursion := append(push(64), w.Call(0), w.Drop)
	tests := []struct {
		name, want string
		m          w.Module
	}{
		{"calls", "stack overflow: calls within each other are too deep, as in a recursion that does not end", w.Module{Pages: 1, Funcs: []w.Func{w.Apply(w.Call(0))}}},
		{"variables", "out of bounds memory access, probably a stack overflow, for the stack pointer is 64 bytes below the memory", stacked(4096, recursion...)},
		{"one large variable", "probably a stack overflow, for the stack pointer is 95904 bytes below the memory", stacked(4096, push(100_000)...)},
		{"another access", "out of bounds memory access", stacked(4096, append(push(64), w.I32Const(-8), w.I64Load, w.Drop)...)},
		{"a global that is no stack's", "out of bounds memory access", stacked(4095, recursion...)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in, _ := instantiate(t, load(t, tt.m.Bytes()), "")
			err := in.Apply(t.Context(), batch("a"), &mapState{})
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "stack") != strings.Contains(tt.want, "stack") {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}
