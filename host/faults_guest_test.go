package host

import (
	"maps"
	"testing"

	w "gnomon/internal/testutil/wasmgen"
	"gnomon/sdk/abi"
)

// A guest that asks for the time, or for random bytes, gets the same ones in every
// instance: neither the machine's clock nor chance can get into the state.
func TestGuestHasNoClock(t *testing.T) {
	const result, random = 16, 24 // addresses
	i32, i64 := abi.I32, abi.I64
	module := load(t, w.Module{
		Imports: []w.Import{
			{Module: abi.WASI, Name: "clock_time_get", Params: []abi.ValueType{i32, i64, i32}, Results: []abi.ValueType{i32}},
			{Module: abi.WASI, Name: "random_get", Params: []abi.ValueType{i32, i32}, Results: []abi.ValueType{i32}},
			w.Contract(abi.ImportStatePut),
		},
		Pages: 1, Data: []byte("tr"),
		Funcs: []w.Func{w.Apply(
			w.I32Const(0), w.I64Const(1), w.I32Const(result), w.Call(0), w.Drop,
			w.I32Const(random), w.I32Const(8), w.Call(1), w.Drop,
			w.I32Const(0), w.I32Const(1), w.I32Const(result), w.I32Const(8), w.Call(2), w.Drop,
			w.I32Const(1), w.I32Const(1), w.I32Const(random), w.I32Const(8), w.Call(2), w.Drop,
			w.I32Const(0),
		)},
	}.Bytes())
	var states []map[string]string
	for range 2 {
		in, _ := instantiate(t, module, "")
		st := &mapState{rows: map[string]string{}}
		if err := in.Apply(t.Context(), batch("a"), st); err != nil {
			t.Fatal(err)
		}
		states = append(states, st.rows)
	}
	if now := states[0]["t"]; now != "\x00\x00\x00\x00\x00\x00\x00\x00" || states[0]["r"] == now {
		t.Errorf("the time is %q, random bytes are %q", now, states[0]["r"])
	}
	if !maps.Equal(states[0], states[1]) {
		t.Errorf("instances saw %q and %q", states[0], states[1])
	}
}
