package host

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"gnomon/engine/guest"
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

// Where a guest prints and then traps, what it printed is the reason: the first line that it
// wrote to standard error in that call, or the last one to standard output. The lines are
// logged, too.
func TestLastWords(t *testing.T) {
	const text = "thread panicked\nat src\nlib\n" // at 32, after an entry of each list of buffers
	write := func(fd, line int32) []byte {
		return slices.Concat(w.I32Const(fd), w.I32Const(8*line), w.I32Const(1), w.I32Const(24), w.Call(0), w.Drop)
	}
	entry := func(at, length byte) string { return string([]byte{32 + at, 0, 0, 0, length, 0, 0, 0}) }
	data := entry(0, 16) + entry(16, 7) + entry(23, 4) + "\x00\x00\x00\x00\x00\x00\x00\x00" + text
	for _, c := range []struct {
		name  string
		calls [][]byte
		want  string
	}{
		{"nothing", nil, "unreachable"},
		{"standard error", [][]byte{write(2, 0), write(2, 1)}, "unreachable: thread panicked"},
		{"standard output", [][]byte{write(1, 0), write(1, 1)}, "unreachable: at src"},
		{"both", [][]byte{write(1, 0), write(2, 1), write(2, 2), write(1, 0)}, "unreachable: at src"},
	} {
		t.Run(c.name, func(t *testing.T) {
			i32 := abi.I32
			m := load(t, w.Module{
				Imports: []w.Import{{Module: abi.WASI, Name: "fd_write", Params: []abi.ValueType{i32, i32, i32, i32}, Results: []abi.ValueType{i32}}},
				Pages:   1, Data: []byte(data),
				Funcs: []w.Func{w.Apply(append(c.calls, w.Unreachable)...)},
			}.Bytes())
			in, log := instantiate(t, m, "")
			err := in.Apply(t.Context(), nil, &mapState{})
			var g *guest.Error
			if !errors.As(err, &g) || g.Kind != guest.Trapped || g.Text != c.want {
				t.Errorf("error %v, want %s", err, c.want)
			}
			if len(log.lines) != len(c.calls) {
				t.Errorf("logged %q, want a line for each that was written", log.lines)
			}
		})
	}
}
