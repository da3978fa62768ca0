package testdriver_test

import (
	"bytes"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"gnomon/engine/fields"
	. "gnomon/engine/testdriver"
	"gnomon/internal/testutil/wasmgen"
	"gnomon/sdk/abi"
	"gnomon/sdk/outcome"
)

const balances = "../../examples/wasm-projections/account-balances/"

// read returns what a file of the example has.
func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(balances + file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A module that is built as its author does makes of the events of account-balances what is
// expected, byte for byte, and in all variations; what it took is counted by type.
func TestAccountBalances(t *testing.T) {
	s := load(t, compile(t, balances+"go"))
	s.Settings = read(t, "testdata/settings.json")
	want, err := outcome.Decode(read(t, "testdata/expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := fields.Key("json:account")
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(balances + "testdata/events.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	list, err := ReadEvents(t.Context(), "events.jsonl", f, key)
	if err != nil {
		t.Fatal(err)
	}
	base, err := Run(t.Context(), s, list, Options{Queries: Requests(want)})
	if err != nil {
		t.Fatal(err)
	}
	if all := outcome.Compare(want, &base.Outcome); len(all) > 0 {
		t.Error(outcome.Report(all, 10))
	}
	v, err := Vary(t.Context(), base, VaryOptions{Seed: 3, Keys: true})
	if err != nil || v.Finding != nil || len(v.Names) != 7 {
		t.Errorf("%+v, %+v, %v", v, v.Finding, err)
	}
	events, types := 0, map[string]TypeStats{}
	for _, kind := range base.Stats.Types {
		events += kind.Events
		types[kind.Type] = kind
		if kind.LeastFuel == 0 || kind.LeastFuel > kind.MedianFuel || kind.MedianFuel > kind.Most || kind.HostCalls < 1 {
			t.Errorf("costs: %+v", kind)
		}
	}
	if _, ok := types["account.opened"]; !ok || events != list.Len() {
		t.Errorf("%d events of the types %q, want %d", events, slices.Sorted(maps.Keys(types)), list.Len())
	}
}

// A run that halts ends with the first event that fails, and says so.
func TestHalt(t *testing.T) {
	s := load(t, guestOf(nil, code(atEvent(3, wasmgen.I32Const(7), []byte{0x0f}), count), nil))
	r, err := Run(t.Context(), s, events(6, "x"), Options{Halt: true})
	if err != nil {
		t.Fatal(err)
	}
	if want := []outcome.Failure{{Event: 3, Error: "code 7"}}; !slices.Equal(r.Outcome.Errors, want) || r.Stats.Events != 3 || r.Stats.Failed != 1 || !strings.HasPrefix(r.Outcome.State["k"], "\x02") {
		t.Errorf("%+v", r)
	}
	r, err = Run(t.Context(), s, events(6, "x"), Options{})
	if err != nil || r.Stats.Events != 6 || !strings.HasPrefix(r.Outcome.State["k"], "\x05") {
		t.Errorf("going on: %+v, %v", r, err)
	}
}

// What a projection may not emit fails the event, as it does in an engine, and takes back what
// the event wrote.
func TestBadEmits(t *testing.T) {
	m := guestOf(nil, code(count, wasmgen.I32Const(0), wasmgen.I32Const(1), wasmgen.I32Const(1), wasmgen.I32Const(0), wasmgen.I32Const(0), value, eight, wasmgen.Call(emit), drop), nil)
	m[bytes.LastIndex(m, []byte("kt"))+1] = ' ' // the subject
	r, err := Run(t.Context(), load(t, m), events(2, "x"), Options{})
	if err != nil || len(r.Outcome.State) != 0 || len(r.Outcome.Emits) != 0 || len(r.Outcome.Errors) != 2 || !strings.Contains(r.Outcome.Errors[0].Error, `emit: subject " "`) {
		t.Errorf("%+v, %v", r, err)
	}
}

// Memory that grows with each event is told from memory that comes to rest.
func TestLeak(t *testing.T) {
	grow := []byte{0x40, 0} // memory.grow
	leaks := guestOf(nil, code(wasmgen.I32Const(1), grow, drop), nil)
	rests := guestOf(nil, atEvent(2, wasmgen.I32Const(5), grow, drop), nil)
	for module, want := range map[string]uint64{string(leaks): 64 << 10, string(rests): 0} {
		r, err := Run(t.Context(), load(t, []byte(module)), events(100, "x"), Options{})
		if err != nil || r.Stats.Leak() != want {
			t.Errorf("%d bytes an event, want %d: %+v, %v", r.Stats.Leak(), want, r.Stats, err)
		}
	}
}

// What an upcaster makes of events is the outcome of its run, and is varied likewise.
func TestUpcaster(t *testing.T) {
	copied := code( // the input as it is, and a second time what the variable has counted
		wasmgen.I32Const(batchAt), wasmgen.I32Const(batchRoom), wasmgen.Call(0), []byte{0x21, 0},
		fetch, one, addI64, keep,
		wasmgen.I32Const(batchAt), wasmgen.LocalGet(0), wasmgen.Call(1), drop,
	)
	shown := code(wasmgen.I32Const(batchAt+40), fetch, wasmgen.I64Const('0'), addI64, []byte{0x3c, 0, 0}) // into the subject
	make := func(each ...[]byte) []byte {
		f := wasmgen.Upcast(copied, code(each...), wasmgen.I32Const(0))
		f.Locals = []abi.ValueType{abi.I32}
		return wasmgen.Module{
			Imports: []wasmgen.Import{wasmgen.Contract(abi.ImportInputRead), wasmgen.Contract(abi.ImportOutputWrite)},
			Funcs:   []wasmgen.Func{f}, Pages: 1, Globals: []int64{0},
		}.Bytes()
	}
	s, list := load(t, make()), events(12, "x")
	r, err := Run(t.Context(), s, list, Options{})
	if err != nil || len(r.Outcome.Records) != 12 || r.Outcome.State != nil || r.Outcome.Records[1].Subject != "s.b" || r.Outcome.Records[1].Headers[0] != (outcome.Header{Name: "ce-type", Value: "b"}) {
		t.Fatalf("%+v, %v", r.Outcome, err)
	}
	if f := vary(t, s, list, VaryOptions{}).Finding; f != nil {
		t.Errorf("found %+v", f)
	}
	again := code(wasmgen.I32Const(batchAt), wasmgen.LocalGet(0), wasmgen.Call(1), drop)
	f := vary(t, load(t, make(shown, again)), list, VaryOptions{}).Finding
	if f == nil || f.Event != 2 || f.Difference.Section != "records" {
		t.Errorf("found %+v", f)
	}
}
