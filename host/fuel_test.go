package host

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"gnomon/engine/guest"
	w "gnomon/internal/testutil/wasmgen"
	"gnomon/sdk/abi"
)

const testFuel = 1_000_000

// metered compiles a module with a budget and makes an instance of it.
func metered(t *testing.T, module []byte) guest.Instance {
	t.Helper()
	m, err := testHost.Load(t.Context(), module, Limits{Memory: testMemory, Fuel: testFuel})
	if err != nil {
		t.Fatal(err)
	}
	in, _ := instantiate(t, m, "{}")
	return in
}

// A guest that does not come to an end runs out of fuel, in its own code or in calls of
// the host, and the error names the limit and its setting.
func TestFuelRunsOut(t *testing.T) {
	get := w.Contract(abi.ImportStateGet)
	call := [][]byte{w.Loop, w.I32Const(0), w.I32Const(1), w.I32Const(8), w.I32Const(0), w.Call(0), w.Drop, w.Br(0), w.End, w.I32Const(0)}
	for name, module := range map[string]w.Module{
		"an endless loop":   {Pages: 1, Funcs: []w.Func{w.Apply(w.Loop, w.Br(0), w.End, w.I32Const(0))}},
		"endless recursion": {Pages: 1, Funcs: []w.Func{w.Apply(w.Call(0))}},
		"calls of the host": {Pages: 1, Imports: []w.Import{get}, Funcs: []w.Func{w.Apply(call...)}},
	} {
		in := metered(t, module.Bytes())
		err := in.Apply(t.Context(), batch("a"), &mapState{rows: map[string]string{}})
		var g *guest.Error
		if !errors.As(err, &g) || g.Kind != guest.OutOfFuel && name != "endless recursion" {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if g.Kind == guest.OutOfFuel && !strings.Contains(err.Error(), "1000000 units are its limit (projection.limits.fuel)") {
			t.Errorf("%s: %v", name, err)
		}
		if in.Fuel() == 0 {
			t.Errorf("%s: nothing was charged", name)
		}
	}
}

// An event that runs out of fuel alone is told by its type, with what to do; of several it is
// not known which of them it was.
func TestOutOfFuelNamesTheType(t *testing.T) {
	headers, _ := abi.AppendHeader(nil, "ce-type", "Sold")
	sold := abi.Record{Sequence: 1, Subject: []byte("a"), Headers: headers}
	endless := w.Module{Pages: 1, Funcs: []w.Func{w.Apply(w.Loop, w.Br(0), w.End, w.I32Const(0))}}.Bytes()
	const limit, help = "apply ran out of fuel: 1000000 units are its limit (projection.limits.fuel)", ": mend what does not end, or does too much for one event, or raise the limit"
	for _, tt := range []struct {
		name, want string
		records    []byte
	}{
		{"one with a type", limit + `, of an event of type "Sold"` + help, sold.Append(nil)},
		{"one without", limit + help, batch("a")},
		{"two", limit, sold.Append(sold.Append(nil))},
	} {
		if err := metered(t, endless).Apply(t.Context(), tt.records, &mapState{}); err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}

// What a call uses is the same each time, and it has its whole budget each time.
func TestFuelIsDeterministic(t *testing.T) {
	code := [][]byte{w.I32Const(30_000), {0x21, 0}, w.Loop, w.LocalGet(0), w.I32Const(1), {0x6b}, {0x22, 0}, {0x0d, 0}, w.End, w.I32Const(0)}
	f := w.Apply(code...)
	f.Locals = []abi.ValueType{abi.I32}
	module := w.Module{Pages: 1, Funcs: []w.Func{f}}.Bytes()
	first := metered(t, module)
	var used []uint64
	for _, in := range []guest.Instance{first, first, metered(t, module)} {
		for range 20 { // together more than one budget
			if err := in.Apply(t.Context(), batch("a"), &mapState{rows: map[string]string{}}); err != nil {
				t.Fatal(err)
			}
		}
		used = append(used, in.Fuel())
	}
	if used[0] != used[1] || used[0] != used[2] || used[0] < 30_000 || used[0] > testFuel {
		t.Errorf("used %v", used)
	}
}

// Without a budget nothing is charged.
func TestNotMetered(t *testing.T) {
	m := load(t, w.Module{Pages: 1, Funcs: []w.Func{w.Apply(w.I32Const(0))}}.Bytes())
	in, _ := instantiate(t, m, "{}")
	if err := in.Apply(t.Context(), batch("a"), &mapState{rows: map[string]string{}}); err != nil || in.Fuel() != 0 {
		t.Errorf("%v, %d units", err, in.Fuel())
	}
}

// Before its first call an instance tells what starting it used, all of its functions
// together; then what the last call did.
func TestFuelOfTheStart(t *testing.T) {
	work := func(n int) [][]byte { return slices.Repeat([][]byte{w.I32Const(0), w.Drop}, n) } // n units, and one for the entry
	first := uint32(0)
	nothing := w.Module{Pages: 1, Funcs: []w.Func{w.Apply(w.I32Const(0))}}
	all := w.Module{Pages: 1, Start: &first, Funcs: []w.Func{
		{Code: work(99)},
		{Export: abi.ExportInitialize, Code: work(999)},
		{Export: abi.ExportInit, Results: []abi.ValueType{abi.I32}, Code: append(work(9998), w.I32Const(0))},
		w.Apply(w.I32Const(0)),
	}}
	for name, tt := range map[string]struct {
		module w.Module
		want   uint64
	}{"nothing": {nothing, 0}, "start, _initialize and init": {all, 11_100}} {
		in := metered(t, tt.module.Bytes())
		if got := in.Fuel(); got != tt.want {
			t.Errorf("%s: %d units, want %d", name, got, tt.want)
		}
		if err := in.Apply(t.Context(), batch("a"), &mapState{rows: map[string]string{}}); err != nil || in.Fuel() != 2 {
			t.Errorf("%s: %v, apply took %d units", name, err, in.Fuel())
		}
	}
}

// A start function pays for what the host does for it, and a call that the host ended is told
// as what it was, as in any other call.
func TestStartCallsTheHost(t *testing.T) {
	first := uint32(1)
	start := func(at, size int32) []byte { // reads the settings, a hundred and fifty times
		code := slices.Repeat([][]byte{w.I32Const(at), w.I32Const(size), w.Call(0), w.Drop}, 150)
		return w.Module{Imports: []w.Import{w.Contract(abi.ImportConfigRead)}, Pages: 1, Start: &first, Funcs: []w.Func{{Code: code}, w.Apply(w.I32Const(0))}}.Bytes()
	}
	if got, least := metered(t, start(0, 48)).Fuel(), uint64(150*callFuel); got < least {
		t.Errorf("it took %d units, want %d at least", got, least)
	}
	m, err := testHost.Load(t.Context(), start(pageSize, 48), Limits{Memory: testMemory, Fuel: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close(t.Context())
	_, err = m.Instantiate(t.Context(), guest.Config{Memory: testMemory})
	var failed *guest.Error
	if !errors.As(err, &failed) || failed.Kind != guest.BadPointer || failed.Call != "start" || failed.Event != -1 {
		t.Errorf("error %v", err)
	}
}

// What the host does for a guest costs by how much it is: the same calls take more fuel
// when there is more to search, to pass over or to keep.
func TestHostWorkCosts(t *testing.T) {
	fail := w.Module{Imports: []w.Import{w.Contract(abi.ImportFail)}, Pages: 1, Funcs: []w.Func{
		w.Apply(w.I32Const(-1), w.I32Const(0), w.I32Const(0), w.Call(0), w.I32Const(0)),
	}}.Bytes()
	small, scan := scanning(0, 0), scanning(60_000, 0)
	one, many := jsonBatch(`{"n":1}`), jsonBatch(slices.Repeat([]string{`{"n":1}`}, 1000)...)
	large := jsonBatch(`{"n":1,"m":"` + strings.Repeat("m", 100_000) + `"}`)
	for name, tt := range map[string]struct {
		less, more            []byte // modules
		lessEvents, allEvents []byte
		least                 uint64 // units between the two
	}{
		"fields of a large event":  {jsonModule(abi.AppendName(nil, "n"), 3), jsonModule(abi.AppendName(nil, "n"), 3), one, large, 100_000 / parseFuel},
		"an event far behind":      {fail, fail, one, many, 999},
		"a scan of a large prefix": {small.Bytes(), scan.Bytes(), one, one, 60_000 / byteFuel},
	} {
		used := func(module, events []byte) uint64 {
			in := metered(t, module)
			if err := in.Apply(t.Context(), events, &mapState{rows: map[string]string{}}); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			return in.Fuel()
		}
		less, more := used(tt.less, tt.lessEvents), used(tt.more, tt.allEvents)
		if more < less+tt.least {
			t.Errorf("%s: %d units after %d, want %d more", name, more, less, tt.least)
		}
	}
}
