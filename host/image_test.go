package host

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero/api"

	"gnomon/engine/guest"
	w "gnomon/internal/testutil/wasmgen"
	"gnomon/sdk/abi"
)

// beginning is a module whose init reads the settings, adds 5 to what is at 128, grows
// the memory and runs code; whose events put 64 bytes of memory, from 72 on, under the key
// that is at 0, after they have added 1 to what is at 128.
func beginning(code ...[]byte) w.Module {
	add := func(n int64) [][]byte {
		return [][]byte{w.I32Const(0), w.I32Const(0), {0x29, 3, 128, 1}, w.I64Const(n), w.I64Add, {0x37, 3, 128, 1}} // at offset 128
	}
	init := append([][]byte{w.I32Const(72), w.I32Const(48), w.Call(0), w.Drop, w.I32Const(1), w.MemoryGrow, w.Drop}, add(5)...)
	init = append(append(init, code...), w.I32Const(0))
	apply := append(add(1), w.I32Const(0), w.I32Const(1), w.I32Const(72), w.I32Const(64), w.Call(1))
	return w.Module{
		Imports: []w.Import{w.Contract(abi.ImportConfigRead), w.Contract(abi.ImportStatePut)},
		Pages:   1, Data: []byte("s"), Globals: []int64{7},
		Funcs: []w.Func{{Export: abi.ExportInit, Results: []abi.ValueType{abi.I32}, Code: init}, w.Apply(apply...)},
	}
}

// with is a module with an import more, which is the last: the functions of its own follow.
func with(m w.Module, i w.Import) w.Module {
	m.Imports = append(m.Imports, i)
	return m
}

// Instances that are made of an image are those that init would have made, and there is none
// of a module of which more changes than its memory.
func TestImages(t *testing.T) {
	tests := []struct {
		name  string
		m     []byte
		image bool
	}{
		{"memory", beginning().Bytes(), true},
		{"a global", beginning(w.I64Const(1), w.GlobalSet(0)).Bytes(), false},
		{"a global that is put back", beginning(w.I64Const(1), w.GlobalSet(0), w.I64Const(7), w.GlobalSet(0)).Bytes(), true},
		{"a line", with(beginning(w.I32Const(0), w.I32Const(0), w.I32Const(1), w.Call(2)), w.Contract(abi.ImportLog)).Bytes(), false},
		{"whether lines are kept", with(beginning(w.I32Const(-4), w.Call(2), w.Drop), w.Contract(abi.ImportLogEnabled)).Bytes(), false},
		{"memory up to the limit", beginning(w.I32Const(testMemory/pageSize-2), w.MemoryGrow, w.Drop).Bytes(), true},
		{"memory above the limit", beginning(w.I32Const(testMemory/pageSize), w.MemoryGrow, w.Drop).Bytes(), false},
		{"a warning", beginning(w.I32Const(0), w.I32Const(1), w.I32Const(0), w.I32Const(1), w.Call(1), w.Drop).Bytes(), false},
		{"fields", with(beginning(w.I32Const(0), w.I32Const(0), w.Call(2), w.Drop), jsonImport(abi.ImportFieldsDeclare)).Bytes(), false},
		{"a table", withTables(beginning([]byte{0xd0, typeFuncref}, w.I32Const(1), []byte{0xfc, 0x0f, 0}, w.Drop).Bytes(), tableType(1, -1)), false},
		{"the system", with(beginning(), w.Import{Module: abi.WASI, Name: "sched_yield", Results: []abi.ValueType{abi.I32}}).Bytes(), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := testHost.Load(t.Context(), tt.m, Limits{Memory: testMemory, Fuel: 1_000_000})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close(t.Context())
			var first, other string
			for _, settings := range []string{`{"a":1}`, `{"a":2}`} {
				other = first
				for i := range imageAfter + 3 {
					if got := begun(t, m, settings); i == 0 {
						first = got
					} else if got != first {
						t.Errorf("instance %d with %s: %s, want %s", i, settings, got, first)
					}
				}
				if first == other {
					t.Errorf("with %s they are what they are with other settings: %s", settings, first)
				}
				if m.images.of.taken != tt.image {
					t.Errorf("with %s an image: %t, want %t", settings, !tt.image, tt.image)
				}
			}
		})
	}
}

// Where instances have no log, what would be a line of it is no part of an image either: the
// next one, which has a log, writes it.
func TestImagesWithoutLog(t *testing.T) {
	m := load(t, beginning(w.I32Const(testMemory/pageSize), w.MemoryGrow, w.Drop).Bytes())
	for range imageAfter + 2 {
		in, err := m.Instantiate(t.Context(), guest.Config{Memory: testMemory})
		if err != nil {
			t.Fatal(err)
		}
		in.Close(t.Context())
	}
	if _, log := instantiate(t, m, ""); len(log.lines) != 1 {
		t.Errorf("logged %q, want one line about the memory", log.lines)
	}
}

// Instances that are made at the same time, with settings that alternate, are what they are alone.
func TestImagesAtOnce(t *testing.T) {
	m := load(t, beginning().Bytes())
	settings := []string{`{"a":1}`, `{"a":2}`}
	want := []string{begun(t, m, settings[0]), begun(t, m, settings[1])}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 40 {
				of := (i/7 + n/30) % 2 // most have the same for long enough that there are images
				if got := begun(t, m, settings[of]); got != want[of] {
					t.Errorf("with %s: %s, want %s", settings[of], got, want[of])
				}
			}
		})
	}
	all.Wait()
}

// What an image has is the blocks that changed, joined, and what they leave is the memory:
// also where there was something and is nothing now.
func TestChangedBlocks(t *testing.T) {
	const blocks = 16 // those of a page
	memory := func(pages int, ones ...int) []byte {
		m := make([]byte, pages*blocks*imageBlock)
		for _, i := range ones {
			m[i*imageBlock+i] = 1
		}
		return m
	}
	for _, tt := range []struct {
		name          string
		before, after []byte
		want          []int64 // where they begin, and their lengths, in blocks
	}{
		{"no memory", nil, nil, nil},
		{"nothing", memory(1, 3), memory(1, 3), nil},
		{"growth", memory(1, 3), memory(2, 3), nil},
		{"first and last", memory(1), memory(1, 0, 15), []int64{0, 1, 15, 1}},
		{"two that are adjacent", memory(1, 3), memory(1, 3, 4, 5), []int64{4, 2}},
		{"what grew", memory(1), memory(2, 15, 16), []int64{15, 2}},
		{"what became zero", memory(1, 3), memory(1), []int64{3, 1}},
		{"from nothing", nil, memory(1, 7), []int64{7, 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var at []int64
			left := make([]byte, len(tt.after))
			copy(left, tt.before)
			for _, s := range changedBlocks(tt.before, tt.after) {
				at = append(at, s.offset/imageBlock, int64(len(s.data)/imageBlock))
				copy(left[s.offset:], s.data)
			}
			if !slices.Equal(at, tt.want) || !bytes.Equal(left, tt.after) {
				t.Errorf("blocks %d, want %d; they leave the memory: %t", at, tt.want, bytes.Equal(left, tt.after))
			}
		})
	}
}

// largest is a memory of 4 GiB as wazero tells of it.
type largest struct{ api.Memory }

func (largest) Size() uint32               { return 0 }
func (largest) Grow(uint32) (uint32, bool) { return 65536, true }

// The largest memory is not taken for none.
func TestMemoryBytes(t *testing.T) {
	if got := memoryBytes(largest{}); got != 4<<30 {
		t.Errorf("%d bytes, want 4 GiB", got)
	}
}

func jsonImport(name string) w.Import {
	for _, f := range abi.ImportsJSON() {
		if f.Name == name {
			return w.Import{Module: abi.ModuleJSON, Name: name, Params: f.Params, Results: f.Results}
		}
	}
	panic(name)
}

// begun is what an instance begins with, and what its first two events leave.
func begun(t *testing.T, m *Module, settings string) string {
	t.Helper()
	in, err := m.Instantiate(t.Context(), guest.Config{Settings: []byte(settings), Memory: testMemory, Log: &logLines{}})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close(t.Context())
	fuel, size := in.Fuel(), in.MemoryBytes()
	st := &mapState{rows: map[string]string{}}
	var all []string
	for range 2 {
		if err := in.Apply(t.Context(), batch("a"), st); err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%q", st.rows["s"]))
	}
	return fmt.Sprint(fuel, size, all)
}
