package host

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"gnomon/engine/guest"
	w "gnomon/internal/testutil/wasmgen"
	"gnomon/sdk/abi"
)

// answerer is a module whose query has some code, whose last value is its result. It
// imports input_read as function 0, output_write as 1 and the named functions from 2 on;
// it has two locals.
func answerer(data []byte, code [][]byte, imports ...string) w.Module {
	m := w.Module{
		Imports: []w.Import{w.Contract(abi.ImportInputRead), w.Contract(abi.ImportOutputWrite)},
		Pages:   40, Data: data,
		Funcs: []w.Func{ok, {Export: abi.ExportQuery, Results: []abi.ValueType{abi.I32}, Locals: []abi.ValueType{abi.I32, abi.I32}, Code: code}},
	}
	for _, name := range imports {
		m.Imports = append(m.Imports, w.Contract(name))
	}
	return m
}

// meteredBy is an instance of a module that may use so much fuel.
func meteredBy(t *testing.T, m w.Module, fuel uint64) (guest.Instance, *logLines) {
	t.Helper()
	loaded, err := testHost.Load(t.Context(), m.Bytes(), Limits{Memory: testMemory, Fuel: fuel})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { loaded.Close(context.Background()) })
	return instantiate(t, loaded, "")
}

const queryFuel = 1_000_000

// echo answers with its request: query by hand.
var echo = [][]byte{
	w.I32Const(0), w.I32Const(2 << 20), w.Call(0), {0x21, 0}, // local 0 = input_read(0, 2 MiB)
	w.I32Const(0), w.LocalGet(0), w.Call(1), // output_write(0, local 0)
}

// valueOf answers with the value of the key that is its request.
var valueOf = [][]byte{
	w.I32Const(0), w.I32Const(1024), w.Call(0), {0x21, 0}, // local 0 = input_read(0, 1024)
	w.I32Const(0), w.LocalGet(0), w.I32Const(2048), w.I32Const(1024), w.Call(2), {0x21, 1}, // local 1 = state_get(…)
	w.I32Const(2048), w.LocalGet(1), w.Call(1), // output_write(2048, local 1)
}

// A guest gets the bytes of the request, and what it writes is the answer, call after call;
// what one call wrote is not in the next one's answer.
func TestQueryByHand(t *testing.T) {
	m := answerer(nil, echo)
	loaded := load(t, m.Bytes())
	if has := loaded.Traits(); !has.Queries || !has.Applies {
		t.Errorf("traits %+v", has)
	}
	in, _ := meteredBy(t, m, queryFuel)
	for _, request := range []string{"one", "", "\x00\xff", strings.Repeat("x", abi.MaxRequest)} {
		got, err := in.Query(t.Context(), []byte(request), nil)
		if err != nil || string(got) != request {
			t.Errorf("answer of %d bytes, %v; want the %d of the request", len(got), err, len(request))
		}
	}
	if in.Fuel() == 0 {
		t.Error("a query took no fuel")
	}
}

// A query reads the rows that it is given, at this call and not at the one before, and may
// page through them.
func TestQueryReads(t *testing.T) {
	in, _ := meteredBy(t, answerer(nil, valueOf, abi.ImportStateGet), queryFuel)
	for _, value := range []string{"1", "22"} {
		got, err := in.Query(t.Context(), []byte("k"), &mapState{rows: map[string]string{"k": value}})
		if err != nil || string(got) != value {
			t.Errorf("answer %q, %v; want %q", got, err, value)
		}
	}
	scan := [][]byte{
		w.I32Const(0), w.I32Const(0), w.I32Const(0), w.I32Const(0), w.I32Const(0), w.I32Const(64), w.I32Const(1024), w.Call(2), // state_scan
		{0xa7}, {0x21, 0}, // local 0 = its low half
		w.I32Const(64), w.LocalGet(0), w.Call(1),
	}
	in, _ = meteredBy(t, answerer(nil, scan, abi.ImportStateScan), queryFuel)
	got, err := in.Query(t.Context(), nil, &mapState{rows: map[string]string{"a": "1", "b": "2"}})
	if want := "\x01\x00\x00\x00\x01\x00\x00\x00a1\x01\x00\x00\x00\x01\x00\x00\x00b2"; err != nil || string(got) != want {
		t.Errorf("answer %q, %v; want %q", got, err, want)
	}
}

// What a guest may not do while it answers is refused with the code of docs/ABI.md, and
// changes nothing.
func TestQueryWritesNothing(t *testing.T) {
	zeros := func(n int) (code [][]byte) {
		for range n {
			code = append(code, w.I32Const(0))
		}
		return code
	}
	for name, c := range map[string]struct {
		args int
		code int32
	}{
		abi.ImportStatePut:    {4, abi.ReadOnly},
		abi.ImportStateDelete: {2, abi.ReadOnly},
		abi.ImportEmit:        {7, abi.ReadOnly},
		abi.ImportBatchRead:   {2, abi.BadArgument},
		abi.ImportBlobRead:    {2, abi.BadArgument},
		abi.ImportBlobWrite:   {2, abi.BadArgument},
	} {
		st := &mapState{rows: map[string]string{"": "kept"}}
		in, _ := meteredBy(t, answerer(nil, append(zeros(c.args), w.Call(2)), name), queryFuel)
		_, err := in.Query(t.Context(), nil, st)
		var g *guest.Error
		if !errors.As(err, &g) || g.Kind != guest.Refused || !strings.Contains(g.Text, "code "+map[int32]string{abi.ReadOnly: "-4", abi.BadArgument: "-3"}[c.code]) {
			t.Errorf("%s in query: %v, want code %d", name, err, c.code)
		}
		if len(st.rows) != 1 || len(st.emits) != 0 {
			t.Errorf("%s in query left %v, %v", name, st.rows, st.emits)
		}
	}
	// The other way round: a request is there only while one is answered.
	apply := w.Module{Imports: []w.Import{w.Contract(abi.ImportInputRead)}, Pages: 1, Funcs: []w.Func{w.Apply(w.I32Const(0), w.I32Const(8), w.Call(0))}}
	in, _ := instantiate(t, load(t, apply.Bytes()), "")
	if err := in.Apply(t.Context(), batch("a"), &mapState{}); err == nil || !strings.Contains(err.Error(), "it used input_read in apply") {
		t.Errorf("input_read in apply: %v", err)
	}
}

// Whatever a guest does that it should not, is the error of the one call, and says what it
// was.
func TestQueryFails(t *testing.T) {
	loop := [][]byte{{0x03, 0x40}, w.Br(0), {0x0b}, w.I32Const(0)} // loop br 0 end
	says := append([][]byte{w.I32Const(-1), w.I32Const(0), w.I32Const(5), w.Call(2)}, w.I32Const(7))
	writes := func(ptr, n int32) [][]byte { return [][]byte{w.I32Const(ptr), w.I32Const(n), w.Call(1)} }
	tests := []struct {
		what    string
		code    [][]byte
		imports []string
		kind    guest.ErrorKind
		text    string
	}{
		{"own words", says, []string{abi.ImportFail}, guest.Refused, "words"},
		{"a code without words", [][]byte{w.I32Const(3)}, nil, guest.Refused, "code 3"},
		{"trap", [][]byte{{0x00}}, nil, guest.Trapped, "unreachable"},
		{"loop without end", loop, nil, guest.OutOfFuel, "projection.limits.fuel"},
		{"answer outside its memory", writes(40<<16-4, 8), nil, guest.BadPointer, "output_write: 8 bytes at"},
		{"answer of negative length", writes(0, -1), nil, guest.BadPointer, "output_write: 4294967295 bytes"},
		{"answer too large", writes(0, abi.MaxAnswer+1), nil, guest.OverLimit, "answer of 1048577 bytes or more: the limit is 1048576"},
		{"answer too large in parts", append(writes(0, abi.MaxAnswer), append([][]byte{{0x1a}}, writes(0, 1)...)...), nil, guest.OverLimit, "1048577"},
		{"request to outside its memory", [][]byte{w.I32Const(40<<16 - 2), w.I32Const(8), w.Call(0)}, nil, guest.BadPointer, "input_read: 8 bytes at"},
		{"length of a request that does not fit", [][]byte{w.I32Const(0), w.I32Const(1), w.Call(0)}, nil, guest.Refused, "code 3"},
	}
	for _, test := range tests {
		in, _ := meteredBy(t, answerer([]byte("words"), test.code, test.imports...), queryFuel)
		answer, err := in.Query(t.Context(), []byte("ask"), &mapState{})
		var g *guest.Error
		if !errors.As(err, &g) || g.Call != abi.ExportQuery || g.Kind != test.kind || !strings.Contains(g.Text, test.text) || answer != nil {
			t.Errorf("%s: answer %q, %v; want %s: %s", test.what, answer, err, test.kind, test.text)
		}
	}
}

// An error of the rows, and the end of the request's context, end the call as they are: the
// guest does not get to see them.
func TestQueryEndsWithItsHost(t *testing.T) {
	lost := errors.New("disk is gone")
	in, _ := meteredBy(t, answerer(nil, valueOf, abi.ImportStateGet), queryFuel)
	if _, err := in.Query(t.Context(), []byte("k"), &mapState{err: lost}); !errors.Is(err, lost) {
		t.Errorf("error %v, want %v", err, lost)
	}
	in, _ = meteredBy(t, answerer(nil, valueOf, abi.ImportStateGet), queryFuel)
	gone := errors.New("the client is gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if _, err := in.Query(ctx, []byte("k"), &mapState{}); !errors.Is(err, gone) {
		t.Errorf("error %v, want %v", err, gone)
	}
}

// A module without query, and one that nothing would stop, are not asked.
func TestQueryIsNotForAll(t *testing.T) {
	in, _ := meteredBy(t, w.Module{Pages: 1, Funcs: []w.Func{ok}}, queryFuel)
	if _, err := in.Query(t.Context(), nil, nil); err == nil || !strings.Contains(err.Error(), "exports no query") {
		t.Errorf("without query: %v", err)
	}
	in, _ = instantiate(t, load(t, answerer(nil, echo).Bytes()), "")
	if _, err := in.Query(t.Context(), nil, nil); err == nil || !strings.Contains(err.Error(), "projection.limits.fuel is 0") {
		t.Errorf("not metered: %v", err)
	}
}

// A warning of a guest that went on after a refusal says that it was in query.
func TestQueryWarns(t *testing.T) {
	code := [][]byte{w.I32Const(0), w.I32Const(1), w.I32Const(0), w.I32Const(0), w.Call(2), {0x1a}, w.I32Const(0)}
	in, log := meteredBy(t, answerer(nil, code, abi.ImportStatePut), queryFuel)
	if _, err := in.Query(t.Context(), nil, &mapState{}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(log.lines, "\n"); got != "went on after it wrote to the state in query" {
		t.Errorf("logged %q", got)
	}
}

// Nothing of a request is left in the answer to the next one, however the sizes go.
func TestQueryAnswersDoNotMix(t *testing.T) {
	in, _ := meteredBy(t, answerer(nil, echo), queryFuel)
	first, err := in.Query(t.Context(), bytes.Repeat([]byte("a"), 1000), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Query(t.Context(), bytes.Repeat([]byte("b"), 500), nil); err != nil {
		t.Fatal(err)
	}
	if bytes.ContainsRune(first, 'b') {
		t.Error("an answer changed when the next request was answered")
	}
}
