package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"gnomon/engine/guest"
	"gnomon/engine/state"
	w "gnomon/internal/testutil/wasmgen"
	"gnomon/sdk/abi"
)

const testMemory = 4 << 20

var testHost *Host

func TestMain(m *testing.M) {
	if IsTrial() {
		os.Exit(ServeTrial())
	}
	var err error
	if testHost, err = New(context.Background(), Options{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	testHost.Close(context.Background())
	os.Exit(code)
}

// load compiles a module that is expected to pass.
func load(t *testing.T, module []byte) *Module {
	t.Helper()
	m, err := testHost.Load(t.Context(), module, Limits{Memory: testMemory})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close(context.Background()) })
	return m
}

// instantiate makes an instance that is closed at the end.
func instantiate(t *testing.T, m *Module, settings string) (guest.Instance, *logLines) {
	t.Helper()
	log := &logLines{}
	in, err := m.Instantiate(t.Context(), guest.Config{Settings: []byte(settings), Memory: testMemory, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(context.Background()) })
	return in, log
}

// logLines keeps the lines of a guest.
type logLines struct {
	lines []string
	about []guest.Line // the same, with all that is known of them
}

func (l *logLines) Enabled(level int) bool { return level >= int(abi.LevelInfo) }
func (l *logLines) Line(n guest.Line) {
	l.lines, l.about = append(l.lines, n.Text), append(l.about, n)
}

// mapState is a guest.State in a map.
type mapState struct {
	rows  map[string]string
	emits []state.Emit
	err   error // of every call
}

func (s *mapState) Get(k []byte) ([]byte, bool, error) {
	v, ok := s.rows[string(k)]
	return []byte(v), ok, s.err
}

func (s *mapState) Put(k, v []byte) error { s.rows[string(k)] = string(v); return s.err }

func (s *mapState) Delete(k []byte) error { delete(s.rows, string(k)); return s.err }

func (s *mapState) Emit(e state.Emit) error { s.emits = append(s.emits, e); return s.err }

func (s *mapState) Scan(prefix, after []byte, fn func(k, v []byte) bool) error {
	for _, k := range slices.Sorted(maps.Keys(s.rows)) {
		if strings.HasPrefix(k, string(prefix)) && k > string(after) && !fn([]byte(k), []byte(s.rows[k])) {
			break
		}
	}
	return s.err
}

func batch(subjects ...string) []byte {
	var b []byte
	for i, s := range subjects {
		r := abi.Record{Sequence: uint64(100 + i), TimeNs: int64(i), Subject: []byte(s), Data: []byte("data")}
		b = r.Append(b)
	}
	return b
}

// The example in docs/ABI.md, assembled from its text, is all that a projection
// needs to be: 300 bytes without an SDK.
func TestCountByHand(t *testing.T) {
	module, err := os.ReadFile("testdata/count.wasm")
	if err != nil {
		t.Fatal(err)
	}
	in, _ := instantiate(t, load(t, module), "")
	st := &mapState{rows: map[string]string{}}
	for _, b := range [][]byte{batch("a", "b", "a"), batch("a"), batch()} {
		if err := in.Apply(t.Context(), b, st); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{"a": "\x03\x00\x00\x00\x00\x00\x00\x00", "b": "\x01\x00\x00\x00\x00\x00\x00\x00"}
	if !maps.Equal(st.rows, want) {
		t.Errorf("state = %q, want %q", st.rows, want)
	}
}

// A guest with a fixed buffer is told apart from one that fails, so that the
// batch can be cut to its buffer.
func TestSmallBuffer(t *testing.T) {
	module, err := os.ReadFile("testdata/count.wasm")
	if err != nil {
		t.Fatal(err)
	}
	in, _ := instantiate(t, load(t, module), "")
	large := abi.Record{Sequence: 1, Subject: []byte("a"), Data: make([]byte, 2<<20)}
	err = in.Apply(t.Context(), large.Append(nil), &mapState{rows: map[string]string{}})
	var g *guest.Error
	if !errors.As(err, &g) || g.Kind != guest.SmallBuffer || g.Have != 1114112 || g.Need != large.Size() {
		t.Errorf("error = %#v, want a buffer of 1114112 bytes for %d", err, large.Size())
	}
}

// A batch that a guest did not read, because its buffer is too small, is not taken
// for applied, whatever the guest returns.
func TestSmallBufferOverlooked(t *testing.T) {
	m := w.Module{Imports: []w.Import{w.Contract("batch_read")}, Pages: 1, Funcs: []w.Func{
		w.Apply(w.I32Const(0), w.I32Const(16), w.Call(0), w.Drop, w.I32Const(0)),
	}}
	in, _ := instantiate(t, load(t, m.Bytes()), "")
	err := in.Apply(t.Context(), batch("a"), &mapState{rows: map[string]string{}})
	var g *guest.Error
	if !errors.As(err, &g) || g.Kind != guest.SmallBuffer {
		t.Errorf("error = %v, want %s", err, guest.SmallBuffer)
	}
}

func TestMisbehaviour(t *testing.T) {
	failText := "no such account"
	tests := []struct {
		name   string
		module w.Module
		kind   guest.ErrorKind
		text   string
		event  int
	}{
		{"trap", w.Module{Pages: 1, Funcs: []w.Func{w.Apply(w.Unreachable)}}, guest.Trapped, "unreachable", -1},
		{"result", w.Module{Pages: 1, Funcs: []w.Func{w.Apply(w.I32Const(7))}}, guest.Refused, "code 7", -1},
		{"fail", w.Module{Imports: []w.Import{w.Contract("fail")}, Pages: 1, Data: []byte(failText), Funcs: []w.Func{
			w.Apply(w.I32Const(1), w.I32Const(0), w.I32Const(int32(len(failText))), w.Call(0), w.I32Const(1)),
		}}, guest.Refused, failText, 1},
		{"fail, then a trap", w.Module{Imports: []w.Import{w.Contract("fail")}, Pages: 1, Data: []byte(failText), Funcs: []w.Func{
			w.Apply(w.I32Const(1), w.I32Const(0), w.I32Const(int32(len(failText))), w.Call(0), w.Unreachable),
		}}, guest.Refused, failText, 1},
		{"fail about an event that is not in the batch", w.Module{Imports: []w.Import{w.Contract("fail")}, Pages: 1, Funcs: []w.Func{
			w.Apply(w.I32Const(99), w.I32Const(0), w.I32Const(0), w.Call(0), w.I32Const(1)),
		}}, guest.Refused, "code 1", -1},
		{"batch_read past the memory", w.Module{Imports: []w.Import{w.Contract("batch_read")}, Pages: 1, Funcs: []w.Func{
			w.Apply(w.I32Const(65000), w.I32Const(1000), w.Call(0)),
		}}, guest.BadPointer, "batch_read: 1000 bytes at 65000, memory has 65536", -1},
		{"state_put with a length of 4 GiB", w.Module{Imports: []w.Import{w.Contract("state_put")}, Pages: 1, Funcs: []w.Func{
			w.Apply(w.I32Const(0), w.I32Const(4), w.I32Const(8), w.I32Const(1<<20), w.Call(0)),
		}}, guest.BadPointer, "state_put: 1048576 bytes at 8", -1},
		{"endless recursion", w.Module{Pages: 1, Funcs: []w.Func{w.Apply(w.Call(0))}}, guest.Trapped, "stack overflow", -1},
		{"over-long key, and then an error", w.Module{Imports: []w.Import{w.Contract("state_put")}, Pages: 2, Funcs: []w.Func{
			w.Apply(w.I32Const(0), w.I32Const(abi.MaxKey+1), w.I32Const(0), w.I32Const(0), w.Call(0)),
		}}, guest.Refused, "code -2 (after state_put refused a key of 64001 bytes: the limit is 64000 (fixed by projection_v1))", -1},
		{"a scan of an over-long prefix", scanning(abi.MaxKey+1, 8), guest.Refused, "code -2 (after state_scan refused a prefix, or a key to go on after, of 64001 bytes: the limit is 64000 (fixed by projection_v1))", -1},
		{"a scan without room for an entry", scanning(0, 9), guest.Refused, "code -2 (after state_scan had room for 9 bytes, and the first entry needs 10)", -1},
		{"more memory than the limit, and then a trap", w.Module{Pages: 1, Funcs: []w.Func{
			w.Apply(w.I32Const(64), w.MemoryGrow, w.Drop, w.Unreachable),
		}}, guest.Trapped, "unreachable (after it asked for 4259840 bytes of memory: the limit is 4194304 (projection.limits.memory))", -1},
		{"proc_exit", w.Module{Imports: []w.Import{{Module: abi.WASI, Name: "proc_exit", Params: []abi.ValueType{abi.I32}}}, Pages: 1, Funcs: []w.Func{
			w.Apply(w.I32Const(3), w.Call(0), w.I32Const(0)),
		}}, guest.Trapped, "exited with code 3", -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in, _ := instantiate(t, load(t, tt.module.Bytes()), "")
			err := in.Apply(t.Context(), batch("a", "b"), &mapState{rows: map[string]string{"k": "v"}})
			var g *guest.Error
			if !errors.As(err, &g) {
				t.Fatalf("error = %v, want a guest error", err)
			}
			if g.Kind != tt.kind || !strings.Contains(g.Text, tt.text) || g.Event != tt.event {
				t.Errorf("error = %+v, want %s, %q about event %d", g, tt.kind, tt.text, tt.event)
			}
		})
	}
}

// scanning is a module that returns what a scan does, of a prefix with so many bytes into
// a buffer with so many.
func scanning(prefix, room int32) w.Module {
	return w.Module{Imports: []w.Import{w.Contract(abi.ImportStateScan)}, Pages: 2, Funcs: []w.Func{w.Apply(
		w.I32Const(0), w.I32Const(prefix), w.I32Const(0), w.I32Const(0), w.I32Const(0), w.I32Const(0), w.I32Const(room), w.Call(0), []byte{0xa7}, // i32.wrap_i64
	)}}
}

// An error of the state ends the call at once, and is what Apply returns.
func TestStateErrorEndsTheCall(t *testing.T) {
	m := w.Module{Imports: []w.Import{w.Contract("state_put")}, Pages: 1, Funcs: []w.Func{
		w.Apply(w.I32Const(0), w.I32Const(1), w.I32Const(0), w.I32Const(1), w.Call(0), w.Unreachable),
	}}
	in, _ := instantiate(t, load(t, m.Bytes()), "")
	full := errors.New("disk full")
	if err := in.Apply(t.Context(), batch("a"), &mapState{rows: map[string]string{}, err: full}); !errors.Is(err, full) {
		t.Errorf("error = %v, want %v", err, full)
	}
}

// A guest that asks for more memory than it may have sees memory.grow fail.
func TestMemoryLimit(t *testing.T) {
	grow := w.Module{Pages: 1, Funcs: []w.Func{w.Apply(w.I32Const(1000), w.MemoryGrow)}}
	in, _ := instantiate(t, load(t, grow.Bytes()), "")
	var g *guest.Error
	if err := in.Apply(t.Context(), nil, nil); !errors.As(err, &g) || g.Text != "code -1 (after it asked for 65601536 bytes of memory: the limit is 4194304 (projection.limits.memory))" {
		t.Errorf("growing past the limit: %v, want code -1, and the limit", err)
	}
	if got := in.MemoryBytes(); got != pageSize {
		t.Errorf("memory has %d bytes, want %d", got, pageSize)
	}
	large := w.Module{Pages: 1000, Funcs: []w.Func{w.Apply(w.I32Const(0))}}
	_, err := testHost.Load(t.Context(), large.Bytes(), Limits{Memory: testMemory})
	if err == nil || !strings.Contains(err.Error(), "needs 65536000 bytes of memory to start: the limit is 4194304 (projection.limits.memory)") {
		t.Errorf("loading a module that starts past the limit: %v", err)
	}
}

// The state that init tries to write is refused, and settings are what was given.
func TestInit(t *testing.T) {
	m := w.Module{
		Imports: []w.Import{w.Contract("config_read"), w.Contract("state_put")}, Pages: 1,
		Funcs: []w.Func{
			{Export: "init", Results: []abi.ValueType{abi.I32}, Code: [][]byte{
				w.I32Const(0), w.I32Const(1), w.I32Const(0), w.I32Const(1), w.Call(1), // -4
				w.I32Const(0), w.I32Const(64), w.Call(0), // 7
				w.I32Add,                 // 3
				w.I32Const(-3), w.I32Add, // 0
			}},
			w.Apply(w.I32Const(0)),
		},
	}
	_, log := instantiate(t, load(t, m.Bytes()), `{"a":1}`)
	if want := "went on after it used the state in init"; len(log.lines) != 1 || log.lines[0] != want {
		t.Errorf("log = %q, want %q", log.lines, want)
	}
	_, err := load(t, m.Bytes()).Instantiate(t.Context(), guest.Config{Settings: []byte(`{"a":12}`), Memory: testMemory})
	var g *guest.Error
	if !errors.As(err, &g) || g.Call != "init" || g.Kind != guest.Refused {
		t.Errorf("failing init: %v, want init %s", err, guest.Refused)
	}
}

// What snapshot writes is what restore reads, blob by blob; a blob that does not
// fit stays the next one.
func TestSnapshotRestore(t *testing.T) {
	m := w.Module{
		Imports: []w.Import{w.Contract("blob_write"), w.Contract("blob_read")}, Pages: 1, Data: []byte("onetwo!"),
		Funcs: []w.Func{
			w.Apply(w.I32Const(0)),
			{Export: "snapshot", Results: []abi.ValueType{abi.I32}, Code: [][]byte{
				w.I32Const(0), w.I32Const(3), w.Call(0),
				w.I32Const(3), w.I32Const(4), w.Call(0), w.I32Add,
			}},
			{Export: "restore", Results: []abi.ValueType{abi.I32}, Code: [][]byte{
				w.I32Const(100), w.I32Const(2), w.Call(1), // 3: too small
				w.I32Const(100), w.I32Const(9), w.Call(1), w.I32Add, // 3
				w.I32Const(103), w.I32Const(9), w.Call(1), w.I32Add, // 4
				w.I32Const(103), w.I32Const(9), w.Call(1), w.I32Add, // -1: no more
				w.I32Const(-9), w.I32Add, // 0
			}},
		},
	}
	module := load(t, m.Bytes())
	if !module.Traits().Memory {
		t.Error("module is not seen to keep state in its memory")
	}
	in, _ := instantiate(t, module, "")
	blobs, err := in.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := [][]byte{[]byte("one"), []byte("two!")}; !slices.EqualFunc(blobs, want, bytes.Equal) {
		t.Errorf("blobs = %q, want %q", blobs, want)
	}
	fresh, _ := instantiate(t, module, "")
	if err := fresh.Restore(t.Context(), blobs); err != nil {
		t.Error(err)
	}
}

// A snapshot may be as large as the memory, and what its pieces take counts: one that
// never ends is stopped, even if all of them are empty.
func TestSnapshotLimit(t *testing.T) {
	for _, size := range []int32{0, 1 << 15} {
		m := w.Module{Imports: []w.Import{w.Contract("blob_write")}, Pages: 1, Funcs: []w.Func{
			w.Apply(w.I32Const(0)),
			{Export: "snapshot", Results: []abi.ValueType{abi.I32}, Code: [][]byte{w.Loop, w.I32Const(0), w.I32Const(size), w.Call(0), w.Drop, w.Br(0), w.End, w.I32Const(0)}},
			{Export: "restore", Results: []abi.ValueType{abi.I32}, Code: [][]byte{w.I32Const(0)}},
		}}
		in, _ := instantiate(t, load(t, m.Bytes()), "")
		var g *guest.Error
		if _, err := in.Snapshot(t.Context()); !errors.As(err, &g) || g.Kind != guest.OverLimit || !strings.HasSuffix(g.Text, "bytes or more: the limit is 4194304 (projection.limits.memory)") {
			t.Errorf("pieces of %d bytes: %v", size, err)
		}
	}
}

// A scan fills the guest's buffer with whole entries, and can be resumed.
func TestScan(t *testing.T) {
	scan := func(limit, capacity int32) w.Module {
		return w.Module{Imports: []w.Import{w.Contract("state_scan"), w.Contract("state_put")}, Pages: 1, Data: []byte("k/b"), Funcs: []w.Func{
			w.Apply(
				w.I32Const(200), // where the result goes
				w.I32Const(0), w.I32Const(2), w.I32Const(0), w.I32Const(3), w.I32Const(limit), w.I32Const(300), w.I32Const(capacity), w.Call(0),
				w.I64Store,
				w.I32Const(0), w.I32Const(1), w.I32Const(200), w.I32Const(60+100), w.Call(1), // k = result and page
			),
		}}
	}
	entry := func(k, v string) string {
		return string([]byte{byte(len(k)), 0, 0, 0, byte(len(v)), 0, 0, 0}) + k + v
	}
	tests := []struct {
		name            string
		limit, capacity int32
		count, bytes    int32
		page            string
	}{
		{"all", 0, 1000, 2, 24, entry("k/c", "3") + entry("k/d", "4")},
		{"limit", 1, 1000, 1, 12, entry("k/c", "3")},
		{"buffer", 0, 20, 1, 12, entry("k/c", "3")},
		{"buffer smaller than an entry", 0, 5, -1, -2, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in, _ := instantiate(t, load(t, scan(tt.limit, tt.capacity).Bytes()), "")
			st := &mapState{rows: map[string]string{"k/a": "1", "k/b": "2", "k/c": "3", "k/d": "4", "l": "5"}}
			if err := in.Apply(t.Context(), batch("a"), st); err != nil {
				t.Fatal(err)
			}
			got := st.rows["k"]
			b, c := le32(got), le32(got[4:])
			if b != tt.bytes || c != tt.count {
				t.Errorf("result = %d entries, %d bytes, want %d, %d", c, b, tt.count, tt.bytes)
			}
			if page := got[100:]; !strings.HasPrefix(page, tt.page) {
				t.Errorf("page = %q, want %q", page, tt.page)
			}
		})
	}
}

func le32(s string) int32 {
	return int32(s[0]) | int32(s[1])<<8 | int32(s[2])<<16 | int32(s[3])<<24
}

// Emits are numbered by the event that caused them, so that their identity does
// not depend on how events were batched.
func TestEmit(t *testing.T) {
	emit := func(event int32) [][]byte {
		return [][]byte{w.I32Const(event), w.I32Const(0), w.I32Const(3), w.I32Const(0), w.I32Const(0), w.I32Const(3), w.I32Const(2), w.Call(0)}
	}
	code := slices.Concat(emit(0), emit(0), [][]byte{w.I32Add}, emit(1), [][]byte{w.I32Add}, emit(0), [][]byte{w.I32Add, w.I32Const(3), w.I32Add})
	m := w.Module{Imports: []w.Import{w.Contract("emit")}, Pages: 1, Data: []byte("outhi"), Funcs: []w.Func{w.Apply(code...)}}
	module := load(t, m.Bytes())
	if !module.Traits().Emits {
		t.Error("module is not seen to emit")
	}
	in, _ := instantiate(t, module, "")
	st := &mapState{rows: map[string]string{}}
	if err := in.Apply(t.Context(), batch("a", "b"), st); err != nil { // the emit that goes back gives -3
		t.Fatal(err)
	}
	var got []string
	for _, e := range st.emits {
		got = append(got, fmt.Sprintf("%d/%d %s %s", e.Cause, e.Index, e.Subject, e.Data))
	}
	if want := []string{"100/0 out hi", "100/1 out hi", "101/0 out hi"}; !slices.Equal(got, want) {
		t.Errorf("emits = %q, want %q", got, want)
	}
}

// A line names the events that the guest was handed when it wrote it: of init none, of a
// batch the first and the last.
func TestLinesNameTheEvents(t *testing.T) {
	logs := [][]byte{w.I32Const(0), w.I32Const(0), w.I32Const(2), w.Call(0), w.I32Const(0)}
	m := w.Module{
		Imports: []w.Import{w.Contract("log")}, Pages: 1, Data: []byte("hi"),
		Funcs: []w.Func{{Export: "init", Results: []abi.ValueType{abi.I32}, Code: logs}, w.Apply(logs...)},
	}
	in, log := instantiate(t, load(t, m.Bytes()), "")
	for _, b := range [][]byte{batch("a", "b", "c"), batch("a"), nil} {
		if err := in.Apply(t.Context(), b, &mapState{}); err != nil {
			t.Fatal(err)
		}
	}
	want := []guest.Line{{Text: "hi"}, {Text: "hi", First: 100, Last: 102}, {Text: "hi", First: 100, Last: 100}, {Text: "hi"}}
	if !slices.Equal(log.about, want) {
		t.Errorf("lines are %+v, want %+v", log.about, want)
	}
}
