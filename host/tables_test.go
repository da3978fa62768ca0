package host

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gnomon/engine/guest"
	w "gnomon/internal/testutil/wasmgen"
	"gnomon/sdk/abi"
)

// tableType is a table of functions as a module declares it; hi below 0: without a maximum.
func tableType(lo uint32, hi int64) []byte {
	if hi < 0 {
		return slices.Concat([]byte{typeFuncref, 0}, w.U32(lo))
	}
	return slices.Concat([]byte{typeFuncref, 1}, w.U32(lo), w.U32(uint32(hi)))
}

// withTables puts a section of tables where it belongs, before that of the memory.
func withTables(module []byte, types ...[]byte) []byte {
	r := &reader{b: module[8:]}
	for at := 8; ; at = len(module) - len(r.b) {
		id := r.byte()
		r.bytes(r.u32())
		if id == sectionMemory {
			section := append(w.U32(uint32(len(types))), slices.Concat(types...)...)
			return append(appendSection(bytes.Clone(module[:at]), sectionTable, section), module[at:]...)
		}
	}
}

// growing is a module that with every event adds so many entries to its table, and
// writes to the key "s" how many it has then.
func growing(by int32, types ...[]byte) []byte {
	refNull, tableGrow, tableSize, i32Store := []byte{0xd0, typeFuncref}, []byte{0xfc, 0x0f, 0}, []byte{0xfc, 0x10, 0}, []byte{0x36, 2, 0}
	return withTables(w.Module{Imports: []w.Import{w.Contract(abi.ImportStatePut)}, Pages: 1, Data: []byte("s"), Funcs: []w.Func{w.Apply(
		refNull, w.I32Const(by), tableGrow, w.Drop,
		w.I32Const(8), tableSize, i32Store,
		w.I32Const(0), w.I32Const(1), w.I32Const(8), w.I32Const(4), w.Call(0),
	)}}.Bytes(), types...)
}

// A table that grows with every event, for ever, ends at the limit, whatever maximum it
// declares, and metered or not; a lower maximum of its own stays.
func TestTableLimit(t *testing.T) {
	for _, tt := range []struct {
		name     string
		declared []byte
		limit    uint64
		want     int32
	}{
		{"without a maximum", tableType(1, -1), 0, 99_001},
		{"with a larger maximum", tableType(0, 1<<31), 0, 100_000},
		{"with a smaller maximum", tableType(0, 2500), 0, 2000},
		{"with a limit of its own", tableType(0, -1), 5500, 5000},
		{"that begins at the limit", tableType(3000, -1), 3000, 3000},
	} {
		for _, fuel := range []uint64{0, testFuel} {
			t.Run(fmt.Sprintf("%s, fuel %d", tt.name, fuel), func(t *testing.T) {
				m, err := testHost.Load(t.Context(), growing(1000, tt.declared), Limits{Memory: testMemory, Table: tt.limit, Fuel: fuel})
				if err != nil {
					t.Fatal(err)
				}
				in, _ := instantiate(t, m, "")
				st := &mapState{rows: map[string]string{}}
				for range 200 {
					if err := in.Apply(t.Context(), batch("a"), st); err != nil {
						t.Fatal(err)
					}
				}
				if got := le32(st.rows["s"]); got != tt.want {
					t.Errorf("the table has %d entries, want %d", got, tt.want)
				}
			})
		}
	}
}

// Every table of a module is bounded, not the first alone.
func TestEachTableIsBounded(t *testing.T) {
	section := []byte{3, typeFuncref, 0, 7, typeExternref, 1, 0, 200, 1, typeFuncref, 1, 2, 9}
	want := []byte{3, typeFuncref, 1, 7, 10, typeExternref, 1, 0, 10, typeFuncref, 1, 2, 9}
	if got := boundedTables(section, 10); !bytes.Equal(got, want) {
		t.Errorf("bounded: % x, want % x", got, want)
	}
}

// A table that begins above the limit is refused with size, limit and setting, and so is
// one of a kind that is not read.
func TestTableRefused(t *testing.T) {
	for _, tt := range []struct {
		declared []byte
		want     string
	}{
		{tableType(11, -1), "declares a table of 11 entries: the limit is 10 (projection.limits.table)"},
		{[]byte{0x40, 0, typeFuncref, 0, 1, 0xd0, typeFuncref, 0x0b}, "section 4: declares a table of type 0x40: only funcref and externref are supported"},
		{[]byte{typeFuncref, 3, 1, 1}, "section 4: declares a table with limits of kind 3: shared and 64-bit tables are not supported"},
	} {
		_, err := testHost.Load(t.Context(), growing(1, tableType(0, -1), tt.declared), Limits{Memory: testMemory, Table: 10})
		if err == nil || err.Error() != tt.want {
			t.Errorf("%v, want %s", err, tt.want)
		}
	}
}

// Growing by more than the fuel of an event is that event's failure, whatever the limit.
func TestTableGrowCosts(t *testing.T) {
	in := metered(t, growing(2_000_000, tableType(0, -1)))
	err := in.Apply(t.Context(), batch("a"), &mapState{rows: map[string]string{}})
	if err == nil || !strings.Contains(err.Error(), string(guest.OutOfFuel)) {
		t.Error(err)
	}
}
