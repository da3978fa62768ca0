package host

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"gnomon/engine/guest"
	"gnomon/engine/state"
	w "gnomon/internal/testutil/wasmgen"
	"gnomon/sdk/abi"
)

// upcaster is a module that exports upcast alone, and imports input_read as function 0 and
// output_write as 1.
func upcaster(data []byte, code ...[]byte) w.Module {
	return w.Module{
		Imports: []w.Import{w.Contract(abi.ImportInputRead), w.Contract(abi.ImportOutputWrite)},
		Pages:   40, Data: data, Funcs: []w.Func{w.Upcast(code...)},
	}
}

// handsOn writes its input out as it is: upcast by hand.
func handsOn(capacity int32) w.Module {
	f := w.Upcast(
		w.I32Const(0), w.I32Const(capacity), w.Call(0), []byte{0x21, 0}, // local 0 = input_read(0, capacity)
		w.I32Const(0), w.LocalGet(0), w.Call(1), // output_write(0, local 0)
	)
	f.Locals = []abi.ValueType{abi.I32}
	m := upcaster(nil)
	m.Funcs = []w.Func{f}
	return m
}

// writes is a module that writes the same bytes out, whatever its input is.
func writes(output []byte) w.Module {
	return upcaster(output, w.I32Const(0), w.I32Const(int32(len(output))), w.Call(1))
}

func records(all ...abi.Record) (b []byte) {
	for _, r := range all {
		b = r.Append(b)
	}
	return b
}

// An upcaster by hand, in a hundred bytes: what it writes is what comes out, call after
// call, and a module need not be a projection for it.
func TestUpcastByHand(t *testing.T) {
	m := load(t, handsOn(1<<20).Bytes())
	if has := m.Traits(); !has.Upcasts || has.Applies {
		t.Errorf("traits %+v", has)
	}
	in, _ := instantiate(t, m, "")
	for _, b := range [][]byte{batch("a", "b"), batch("c"), nil} {
		got, err := in.Upcast(t.Context(), b)
		if err != nil || !bytes.Equal(got, b) {
			t.Errorf("upcast %q, %v; want %q", got, err, b)
		}
	}
	if err := in.Apply(t.Context(), batch("a"), nil); err == nil {
		t.Error("a module without apply applied events")
	}
	in, _ = instantiate(t, load(t, w.Module{Pages: 1, Funcs: []w.Func{ok}}.Bytes()), "")
	if _, err := in.Upcast(t.Context(), batch("a")); err == nil {
		t.Error("a module without upcast rewrote events")
	}
}

// Of each event of the input an upcaster may make none, one or several. They get the time
// of their event, whatever the guest writes there.
func TestUpcastResults(t *testing.T) {
	headers := func(pairs ...string) (h []byte) {
		for i := 0; i < len(pairs); i += 2 {
			h, _ = abi.AppendHeader(h, pairs[i], pairs[i+1])
		}
		return h
	}
	out := records(
		abi.Record{Sequence: 101, TimeNs: 99, Subject: []byte("x"), Data: []byte("1")},
		abi.Record{Sequence: 101, Subject: []byte("y.z"), Headers: headers("A", "1", "a", "2", "a", "3")},
		abi.Record{Sequence: 103, TimeNs: -1, Subject: bytes.Repeat([]byte("s"), abi.MaxSubject)},
	)
	in, _ := instantiate(t, load(t, writes(out).Bytes()), "")
	got, err := in.Upcast(t.Context(), batch("a", "b", "c", "d"))
	want := records(
		abi.Record{Sequence: 101, TimeNs: 1, Subject: []byte("x"), Data: []byte("1")},
		abi.Record{Sequence: 101, TimeNs: 1, Subject: []byte("y.z"), Headers: headers("A", "1", "a", "2", "a", "3")},
		abi.Record{Sequence: 103, TimeNs: 3, Subject: bytes.Repeat([]byte("s"), abi.MaxSubject)},
	)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
	in, _ = instantiate(t, load(t, upcaster(nil, w.I32Const(0)).Bytes()), "")
	if got, err := in.Upcast(t.Context(), batch("a")); len(got) != 0 || err != nil {
		t.Errorf("of one that writes nothing there came %q, %v", got, err)
	}
}

// Whatever an upcaster does that it should not, is its error, and says what it was.
func TestUpcastFails(t *testing.T) {
	r := abi.Record{Sequence: 101, Subject: []byte("s")}
	with := func(change func(r *abi.Record)) w.Module {
		bad := r
		change(&bad)
		return writes(records(bad))
	}
	refused := func(name string, code ...[]byte) w.Module { // whose code the guest returns
		m := upcaster(nil, code...)
		m.Imports = append(m.Imports, w.Contract(name))
		return m
	}
	zeros := func(n int, then ...[]byte) (code [][]byte) {
		for range n {
			code = append(code, w.I32Const(0))
		}
		return append(code, then...)
	}
	large := records(abi.Record{Sequence: 100, Subject: []byte("s"), Data: make([]byte, 1<<20)})
	tests := []struct {
		name   string
		module w.Module
		kind   guest.ErrorKind
		text   string
	}{
		{"cut off", writes(records(r)[:47]), guest.BadArgument, "output_write: a record of 47 bytes is malformed, or cut off"},
		{"of no event", with(func(r *abi.Record) { r.Sequence = 99 }), guest.BadArgument, "a record has the sequence 99: it must be that of an event of the input, and not go backwards"},
		{"of an event to come", with(func(r *abi.Record) { r.Sequence = 102 }), guest.BadArgument, "a record has the sequence 102"},
		{"backwards", writes(records(r, abi.Record{Sequence: 100, Subject: []byte("s")})), guest.BadArgument, "a record has the sequence 100"},
		{"no subject", with(func(r *abi.Record) { r.Subject = nil }), guest.BadArgument, "a record of sequence 101 has a subject of 0 bytes: it must have 1 to 1024 (fixed by projection_v1)"},
		{"long subject", with(func(r *abi.Record) { r.Subject = make([]byte, 1025) }), guest.BadArgument, "has a subject of 1025 bytes"},
		{"key", with(func(r *abi.Record) { r.Key = []byte("k") }), guest.BadArgument, "has a key: the host takes it out of the record"},
		{"many headers", with(func(r *abi.Record) { r.Headers = make([]byte, 64<<10+1) }), guest.BadArgument, "has headers of 65537 bytes: the limit is 65536"},
		{"malformed headers", with(func(r *abi.Record) { r.Headers = []byte("\x01\x00\xff\x00a") }), guest.BadArgument, "headers of a record of sequence 101 are malformed, or not ordered by name"},
		{"unordered headers", with(func(r *abi.Record) { r.Headers = []byte("\x01\x00\x00\x00b\x01\x00\x00\x00a") }), guest.BadArgument, "not ordered by name"},
		{"outside of memory", upcaster(nil, w.I32Const(40<<16-8), w.I32Const(16), w.Call(1)), guest.BadPointer, "output_write: 16 bytes at 2621432, memory has 2621440"},
		{"without end", upcaster(large, w.Loop, w.I32Const(0), w.I32Const(int32(len(large))), w.Call(1), w.Drop, w.Br(0), w.End, w.I32Const(0)), guest.OverLimit, "the limit for an input of 96 is 16777216 (fixed by projection_v1)"},
		{"trap", upcaster(nil, w.Unreachable), guest.Trapped, "unreachable"},
		{"code", upcaster(nil, w.I32Const(7)), guest.Refused, "code 7"},
		{"small buffer", handsOn(95), guest.SmallBuffer, ""},
		{"state_get", refused(abi.ImportStateGet, zeros(4, w.Call(2))...), guest.Refused, "code -4 (after it used the state in upcast)"},
		{"state_put", refused(abi.ImportStatePut, zeros(4, w.Call(2))...), guest.Refused, "code -4 (after it used the state in upcast)"},
		{"emit", refused(abi.ImportEmit, zeros(7, w.Call(2))...), guest.Refused, "code -4 (after it used the state in upcast)"},
		{"batch_read", refused(abi.ImportBatchRead, zeros(2, w.Call(2))...), guest.Refused, "code -3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in, _ := instantiate(t, load(t, tt.module.Bytes()), "")
			got, err := in.Upcast(t.Context(), batch("a", "b"))
			var g *guest.Error
			if !errors.As(err, &g) || g.Call != "upcast" || g.Kind != tt.kind || !strings.Contains(err.Error(), tt.text) || got != nil {
				t.Errorf("got %d bytes, error %v", len(got), err)
			}
			if tt.kind == guest.SmallBuffer && (g.Have != 95 || g.Need != 96) {
				t.Errorf("%+v", g)
			}
		})
	}
}

// Input and output belong to upcast alone, and an event that fail names is known by its
// place in the input.
func TestInputOutsideUpcast(t *testing.T) {
	for _, name := range []string{abi.ImportInputRead, abi.ImportOutputWrite} {
		m := w.Module{Imports: []w.Import{w.Contract(name)}, Pages: 1, Funcs: []w.Func{w.Apply(w.I32Const(0), w.I32Const(0), w.Call(0))}}
		in, _ := instantiate(t, load(t, m.Bytes()), "")
		if err := in.Apply(t.Context(), batch("a"), nil); err == nil || !strings.Contains(err.Error(), "code -3 (after it used "+name+" in apply: it belongs to query and upcast)") {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := upcaster([]byte("because"), w.I32Const(1), w.I32Const(0), w.I32Const(7), w.Call(2), w.I32Const(1))
	m.Imports = append(m.Imports, w.Contract(abi.ImportFail))
	in, _ := instantiate(t, load(t, m.Bytes()), "")
	_, err := in.Upcast(t.Context(), batch("a", "b"))
	var guest *guest.Error
	if !errors.As(err, &guest) || guest.Event != 1 || guest.Text != "because" {
		t.Errorf("%+v, %v", guest, err)
	}
}

// An upcaster has the fuel of a projection, and what it hands over costs some; the error
// names the section of the configuration that its limits are in.
func TestUpcastIsMetered(t *testing.T) {
	meter := func(m w.Module) guest.Instance {
		loaded, err := testHost.Load(t.Context(), m.Bytes(), Limits{Memory: testMemory, Fuel: testFuel, Section: "upcaster"})
		if err != nil {
			t.Fatal(err)
		}
		in, _ := instantiate(t, loaded, "")
		return in
	}
	_, err := meter(upcaster(nil, w.Loop, w.Br(0), w.End, w.I32Const(0))).Upcast(t.Context(), batch("a"))
	if err == nil || !strings.Contains(err.Error(), "upcast ran out of fuel: 1000000 units are its limit (upcaster.limits.fuel)") {
		t.Errorf("error = %v", err)
	}
	in := meter(handsOn(1 << 20))
	large := records(abi.Record{Sequence: 1, Subject: []byte("s"), Data: make([]byte, 1<<19)})
	if got, err := in.Upcast(t.Context(), large); err != nil || !bytes.Equal(got, large) || in.Fuel() < 2*(1<<19)/byteFuel {
		t.Errorf("%d bytes for %d units, %v", len(got), in.Fuel(), err)
	}
	_, err = testHost.Load(t.Context(), handsOn(1).Bytes(), Limits{ModuleBytes: 10, Section: "upcaster"})
	if err == nil || !strings.Contains(err.Error(), "(upcaster.limits.module)") {
		t.Errorf("error = %v", err)
	}
}

// Emits are counted for each event, also when upcasters made several records of it: what
// identifies an emit does not depend on them.
func TestEmitsOfOneSequence(t *testing.T) {
	emits := func(index int32) []byte {
		return bytes.Join([][]byte{w.I32Const(index), w.I32Const(0), w.I32Const(1), w.I32Const(0), w.I32Const(0), w.I32Const(0), w.I32Const(0), w.Call(0), w.Drop}, nil)
	}
	m := w.Module{Imports: []w.Import{w.Contract(abi.ImportEmit)}, Pages: 1, Data: []byte("s"), Funcs: []w.Func{w.Apply(emits(0), emits(1), emits(2), w.I32Const(0))}}
	in, _ := instantiate(t, load(t, m.Bytes()), "")
	st := &mapState{rows: map[string]string{}}
	r := abi.Record{Sequence: 5, Subject: []byte("s")}
	if err := in.Apply(t.Context(), records(r, r, abi.Record{Sequence: 6, Subject: []byte("s")}), st); err != nil {
		t.Fatal(err)
	}
	for i, want := range []state.Emit{{Cause: 5, Index: 0}, {Cause: 5, Index: 1}, {Cause: 6, Index: 0}} {
		if got := st.emits[i]; got.Cause != want.Cause || got.Index != want.Index {
			t.Errorf("emit %d is %+v, want %+v", i, got, want)
		}
	}
}

// FuzzOutput holds what is taken of an upcaster to its promise, whatever bytes it writes,
// in whatever portions: records of the input's sequences and times, in order, without
// keys, within the limit.
func FuzzOutput(f *testing.F) {
	input := batch("a", "b", "c")
	f.Add(input, 0)
	f.Add(records(abi.Record{Sequence: 101, Subject: []byte("s"), Data: []byte("{}")}), 48)
	f.Add(records(abi.Record{Sequence: 102, Subject: []byte("s"), Headers: []byte("\x01\x00\x00\x00a")}, abi.Record{Sequence: 102, Subject: []byte("t")}), 56)
	f.Fuzz(func(t *testing.T, output []byte, cut int) {
		c := &call{batch: input, matched: input, name: abi.ExportUpcast, event: -1}
		cut = min(max(cut, 0), len(output))
		for _, part := range [][]byte{output[:cut], output[cut:]} {
			var guest *guest.Error
			if err := c.takeOutput(part); err != nil {
				if !errors.As(err, &guest) {
					t.Fatalf("error %v is none of the guest's", err)
				}
				return
			}
		}
		if len(c.output) > len(output) || len(c.output)%8 != 0 {
			t.Fatalf("%d bytes of %d", len(c.output), len(output))
		}
		last := uint64(0)
		for rest := c.output; len(rest) > 0; {
			r, after, err := abi.Next(rest)
			if err != nil || r.Sequence < max(last, 100) || r.Sequence > 102 || r.TimeNs != int64(r.Sequence-100) || len(r.Key) > 0 || len(r.Subject) == 0 || !headersInOrder(r.Headers) {
				t.Fatalf("%+v, %v", r, err)
			}
			last, rest = r.Sequence, after
		}
	})
}

// A call of an upcaster that hands on what it is given: reading, checking and copying.
func BenchmarkUpcast(b *testing.B) {
	m, err := testHost.Load(b.Context(), handsOn(1<<20).Bytes(), Limits{Memory: testMemory, Fuel: testFuel})
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close(b.Context())
	in, err := m.Instantiate(b.Context(), guest.Config{Memory: testMemory})
	if err != nil {
		b.Fatal(err)
	}
	defer in.Close(b.Context())
	const events = 256
	var input []byte
	headers, _ := abi.AppendHeader(nil, "ce-type", "named")
	for i := range events {
		r := abi.Record{Sequence: uint64(i + 1), Subject: []byte("events.customer.17"), Headers: headers, Data: make([]byte, 200)}
		input = r.Append(input)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := in.Upcast(b.Context(), input); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*events), "ns/event")
}
