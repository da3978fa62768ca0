package testdriver_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	. "gnomon/engine/testdriver"
	"gnomon/internal/testutil/wasmgen"
	"gnomon/sdk/abi"
)

// A module whose result depends on something that it must not is found out, by the variation
// that its author has to know of, and the first event of which the result differs is named.
func TestPlantedFaults(t *testing.T) {
	emitted := func(index []byte) []byte {
		return code(index, wasmgen.I32Const(1), wasmgen.I32Const(1), wasmgen.I32Const(0), wasmgen.I32Const(0), value, eight, wasmgen.Call(emit), drop)
	}
	blob := code(value, eight, wasmgen.Call(blobWrite), drop)
	unblob := code(value, eight, wasmgen.Call(blobRead), drop)
	for name, tt := range map[string]struct {
		module    []byte
		variation string
		event     int
		where     string // of the difference
		want, got string // its beginning; empty: anything
	}{
		"a variable that lives from one batch to the next": {
			guestOf(nil, counted, nil), "a fresh instance for each event", 2, `state "k"`, `"\u0002`, `"\u0001`,
		},
		"a variable that is reset for each batch": {
			guestOf(code(zero, keep), counted, nil), "batches of 7", 2, `state "k"`, `"\u0001`, `"\u0002`,
		},
		"what is done once for a batch": {
			guestOf(nil, nil, count), "batches of 7", 7, `state "k"`, `"\u0007`, `"\u0001`,
		},
		"the wall clock": {
			guestOf(nil, atEvent(5, zeroI32, zero, value, wasmgen.Call(clockTime), drop, put), nil), "another wall clock", 5, `state "k"`, `"\u0000\u0000\u0000`, "",
		},
		"random numbers": {
			guestOf(nil, atEvent(9, value, eight, wasmgen.Call(randomGet), drop, put), nil), "other random numbers", 9, `state "k"`, "", "",
		},
		"random numbers in what is emitted": {
			guestOf(nil, atEvent(4, value, eight, wasmgen.Call(randomGet), drop, emitted(zeroI32)), nil), "other random numbers", 4, "emits, event 4", `{"event":4,`, `{"event":4,`,
		},
		"an index of emit that is always 0": {
			guestOf(nil, emitted(zeroI32), nil), "batches of 7", 2, "emits, event 2", `{"event":2,`, `{"event":1,`,
		},
		"a line of the log with a variable": {
			guestOf(nil, code(fetch, one, addI64, keep, value, fetch, wasmgen.I64Const(0x3030303030303030), addI64, storeI64, zeroI32, value, eight, wasmgen.Call(logLine)), nil),
			"a fresh instance for each event", 2, "logs, event 2", `"info: 2`, `"info: 1`,
		},
		"a snapshot that forgets": {
			guestOf(nil, counted, nil, export(abi.ExportSnapshot), export(abi.ExportRestore, zero, keep)), "a fresh instance for each event", 2, `state "k"`, `"\u0002`, `"\u0001`,
		},
		"a snapshot of which restore forgets, which no event shows": {
			guestOf(nil, code(fetch, one, addI64, keep), nil, export(abi.ExportSnapshot, value, fetch, storeI64, blob), export(abi.ExportRestore, unblob)), "a fresh instance for each event", 0, "snapshot", "", "",
		},
		"a total over all keys": {
			guestOf(nil, count, nil), "3 partitions", 2, `state "k"`, `"\u0002`, `"\u0001`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, list := load(t, tt.module), events(30, "x")
			f := vary(t, s, list, VaryOptions{Seed: 1, Keys: true}).Finding
			if f == nil {
				t.Fatal("it is not found")
			}
			d := f.Difference
			if f.Variation != tt.variation || f.Event != uint64(tt.event) || f.Cause == "" || !strings.HasPrefix(d.Title(), tt.where) || !strings.HasPrefix(d.Want, tt.want) || !strings.HasPrefix(d.Got, tt.got) {
				t.Errorf("found %+v\nwant event %d by %s at %s: %s, %s", f, tt.event, tt.variation, tt.where, tt.want, tt.got)
			}
			if tt.event > 0 && (f.Line != 10*tt.event || f.Type != string("ba"[tt.event%2]) || f.Subject != "s."+f.Type) {
				t.Errorf("event %d is in line %d, of type %s and subject %s", f.Event, f.Line, f.Type, f.Subject)
			}
		})
	}
}

// What shows in one event of many, or every other time, is found whatever the seed is: a bit of
// a random number, a variable that one event leaves for the next, and a clock that is held
// against the time of an event.
func TestFaultsThatHardlyShow(t *testing.T) {
	readClock := code(zeroI32, zero, value, wasmgen.Call(clockTime), drop)
	eventTime, laterThan := []byte{0x29, 3, 16}, []byte{0x54, 0xad} // i64.lt_u, and an i64 of that
	bit := code(value, value, loadI64, one, []byte{0x83}, storeI64) // i64.and
	for name, tt := range map[string]struct {
		module    []byte
		variation string
	}{
		"a random bit": {guestOf(nil, atEvent(900, value, eight, wasmgen.Call(randomGet), drop, bit, put), nil), "other random numbers"},
		"a variable from one event to the next": {
			guestOf(nil, code(atEvent(899, one, keep), atEvent(900, value, fetch, storeI64, put)), nil), "a fresh instance for each event",
		},
		"is it past?": {guestOf(nil, atEvent(900, readClock, value, eachEvent, eventTime, value, loadI64, laterThan, storeI64, put), nil), "another wall clock"},
	} {
		t.Run(name, func(t *testing.T) {
			s, list := load(t, tt.module), NewEvents(nil)
			for i := range 1000 {
				list.Add(abi.Record{Sequence: uint64(i + 1), TimeNs: time.Date(2060, 1, 1, 0, 0, i, 0, time.UTC).UnixNano(), Subject: []byte("s")}, i+1)
			}
			for seed := range uint64(20) {
				if f := vary(t, s, list, VaryOptions{Seed: seed}).Finding; f == nil || f.Variation != tt.variation || f.Event != 900 {
					t.Fatalf("seed %d: found %+v", seed, f)
				}
			}
		})
	}
}

var zeroI32 = wasmgen.I32Const(0)

func vary(t *testing.T, s Subject, list *Events, o VaryOptions) *Varied {
	t.Helper()
	base, err := Run(t.Context(), s, list, Options{})
	if err != nil {
		t.Fatal(err)
	}
	v, err := Vary(t.Context(), base, o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// The order of a map in Go is found out by other random numbers, and the first event that has
// more than one name is named.
func TestMapOrder(t *testing.T) {
	s := load(t, compile(t, "./testdata/maporder"))
	list := events(3, "same same")
	for i := range 20 {
		list.Add(abi.Record{Sequence: uint64(i + 4), Subject: []byte("names"), Data: []byte("a b c d e f g h")}, i+4)
	}
	f := vary(t, s, list, VaryOptions{Seed: 1}).Finding
	if f == nil || f.Variation != "other random numbers" || f.Event != 4 || f.Difference.Place != "names" || !strings.Contains(f.Cause, "order of a hash map") {
		t.Errorf("found %+v", f)
	}
}

// A sound module passes all variations, with failing events, snapshots, and batches that are
// too large for its buffer; its memory is what it was when an event fails.
func TestSoundModules(t *testing.T) {
	load4 := []byte{0x29, 3, 8}
	// Event 5, and each after 26, fails.
	failing := code(
		atEvent(5, wasmgen.I32Const(9), []byte{0x0f}),
		eachEvent, load4, wasmgen.I64Const(26), []byte{0x56, 0x04, 0x40}, wasmgen.I32Const(9), []byte{0x0f, 0x0b},
	)
	remember := []wasmgen.Func{
		export(abi.ExportSnapshot, value, fetch, storeI64, value, eight, wasmgen.Call(blobWrite), drop),
		export(abi.ExportRestore, value, eight, wasmgen.Call(blobRead), drop, value, loadI64, keep),
	}
	for name, tt := range map[string]struct {
		module []byte
		data   string
		failed int
	}{
		"count in the state":     {guestOf(nil, code(failing, count), nil), "x", 5},
		"count in a snapshot":    {guestOf(nil, code(failing, counted), nil, remember...), "x", 5},
		"a buffer that is small": {guestOf(nil, count, nil), strings.Repeat("x", 20<<10), 0},
	} {
		t.Run(name, func(t *testing.T) {
			s, list := load(t, tt.module), events(30, tt.data)
			base, err := Run(t.Context(), s, list, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got, want := base.Outcome.State["k"], fmt.Sprintf("%c\x00\x00\x00\x00\x00\x00\x00", 30-tt.failed); got != want || len(base.Outcome.Errors) != tt.failed {
				t.Errorf("k is %q, want %q; errors %v", got, want, base.Outcome.Errors)
			}
			v, err := Vary(t.Context(), base, VaryOptions{Seed: 2})
			if err != nil {
				t.Fatal(err)
			}
			if v.Finding != nil || len(v.Names) != 5 {
				t.Errorf("%q: found %+v", v.Names, v.Finding)
			}
		})
	}
}
