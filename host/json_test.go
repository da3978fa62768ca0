package host

import (
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"testing"

	"gnomon/engine/guest"
	w "gnomon/internal/testutil/wasmgen"
	"gnomon/sdk/abi"
)

// jsonModule declares the names of a data segment, reads the table of the batch to
// address 1024, and stores the integer of its first cell under the key "n".
func jsonModule(names []byte, length int32) []byte {
	i32 := []abi.ValueType{abi.I32, abi.I32}
	drop := []byte{0x1a}
	return w.Module{
		Imports: []w.Import{
			{Module: abi.ModuleJSON, Name: abi.ImportFieldsDeclare, Params: i32, Results: i32[:1]},
			{Module: abi.ModuleJSON, Name: abi.ImportFieldsRead, Params: i32, Results: i32[:1]},
			w.Contract(abi.ImportStatePut),
		},
		Pages: 1,
		Data:  names,
		Funcs: []w.Func{w.Apply(
			w.I32Const(0), w.I32Const(length), w.Call(0), drop,
			w.I32Const(1024), w.I32Const(4096), w.Call(1), drop,
			w.I32Const(2), w.I32Const(1), w.I32Const(1024+24), w.I32Const(8), w.Call(2), drop,
			w.I32Const(0),
		)},
	}.Bytes()
}

func jsonBatch(data ...string) (b []byte) {
	for i, d := range data {
		r := abi.Record{Sequence: uint64(i + 1), Subject: []byte("s"), Data: []byte(d)}
		b = r.Append(b)
	}
	return b
}

// A guest gets the fields that it names as typed values, of each batch anew.
func TestFieldsOfABatch(t *testing.T) {
	in, log := instantiate(t, load(t, jsonModule(abi.AppendName(nil, "n"), 3)), "")
	st := &mapState{rows: map[string]string{}}
	for _, want := range []string{"7", "-12", "900000000000000000"} {
		if err := in.Apply(t.Context(), jsonBatch(`{"x":[1,{"n":5}],"n":`+want+`}`, `{"n":1}`), st); err != nil {
			t.Fatal(err)
		}
		got := int64(binary.LittleEndian.Uint64([]byte(st.rows["n"])))
		if strconv.FormatInt(got, 10) != want {
			t.Errorf("the guest got %d, want %s", got, want)
		}
	}
	if len(log.lines) > 0 {
		t.Errorf("log %q", log.lines)
	}
}

// Names that are cut off, or too many, declare nothing, and so there is nothing to
// read; names outside the guest's memory end the call.
func TestFieldsRefused(t *testing.T) {
	var many []byte
	for range abi.MaxFields + 1 {
		many = abi.AppendName(many, "n")
	}
	for name, names := range map[string][]byte{"cut off": {9, 0, 'n'}, "too many": many, "too long": abi.AppendName(nil, strings.Repeat("n", abi.MaxField+1))} {
		in, log := instantiate(t, load(t, jsonModule(names, int32(len(names)))), "")
		if err := in.Apply(t.Context(), jsonBatch(`{"n":1}`), &mapState{rows: map[string]string{}}); err != nil {
			t.Fatal(err)
		}
		if all := strings.Join(log.lines, "\n"); all != "went on after it used fields_read in apply, or before fields_declare" {
			t.Errorf("%s: log %q", name, all)
		}
	}
	in, _ := instantiate(t, load(t, jsonModule(nil, 1<<20)), "")
	err := in.Apply(t.Context(), jsonBatch(`{}`), &mapState{rows: map[string]string{}})
	var g *guest.Error
	if !errors.As(err, &g) || g.Kind != guest.BadPointer {
		t.Errorf("names outside the memory: %v", err)
	}
}
