package testdriver_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gnomon/engine/guest"
	. "gnomon/engine/testdriver"
	"gnomon/host"
	"gnomon/internal/testutil"
	"gnomon/internal/testutil/wasmgen"
	"gnomon/sdk/abi"
)

var sandbox *host.Host

func TestMain(m *testing.M) {
	if host.IsTrial() {
		os.Exit(host.ServeTrial())
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "testdriver-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		if sandbox, err = host.New(context.Background(), host.Options{CacheDir: testutil.Compiled(dir)}); err != nil {
			panic(err)
		}
		defer sandbox.Close(context.Background())
		return m.Run()
	}())
}

// load makes a subject of a module.
func load(t *testing.T, module []byte) Subject {
	t.Helper()
	m, err := sandbox.Load(t.Context(), module, host.Limits{Memory: 64 << 20, Fuel: 20_000_000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close(context.Background()) })
	return Subject{Module: m}
}

// compile builds a Go module as authors do.
func compile(t *testing.T, dir string) []byte {
	t.Helper()
	if testing.Short() {
		t.Skip("builds a Go module")
	}
	out := filepath.Join(t.TempDir(), "module.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", out, dir)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", dir, err, text)
	}
	module, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return module
}

// events are events of the types a and b in turn, such as number 3 with the subject "s.a",
// in line 30.
func events(n int, data string) *Events {
	list := NewEvents(nil)
	for i := range n {
		kind := string("ab"[i%2])
		headers, _ := abi.AppendHeader(nil, "ce-type", kind)
		list.Add(abi.Record{
			Sequence: uint64(i + 1), TimeNs: int64(i + 1), Subject: []byte("s." + kind), Headers: headers,
			Data: []byte(strings.ReplaceAll(data, "#", fmt.Sprint(i+1))), Key: []byte(kind),
		}, 10*(i+1))
	}
	return list
}

// The memory of the guests that guest makes: the key "k" and the subject "t" are at 0 and 1,
// a value of 8 bytes at 16, the batch at 4096. Function n is the n-th of imported.
const valueAt, batchAt, batchRoom = 16, 4096, 60 << 10

var (
	eachEvent = wasmgen.LocalGet(0) // the address of the event under way
	loadI64   = []byte{0x29, 3, 0}
	storeI64  = []byte{0x37, 3, 0}
	addI64    = []byte{0x7c}
	one       = wasmgen.I64Const(1)
	zero      = wasmgen.I64Const(0)
	fetch     = wasmgen.GlobalGet(0)
	keep      = wasmgen.GlobalSet(0)
	value     = wasmgen.I32Const(valueAt)
	eight     = wasmgen.I32Const(8)
	drop      = wasmgen.Drop
)

// The functions that guests import, by their index after batch_read.
const (
	statePut = iota + 1
	stateGet
	emit
	blobWrite
	blobRead
	logLine
	clockTime
	randomGet
)

// put sets the key k to the value.
var put = code(wasmgen.I32Const(0), wasmgen.I32Const(1), value, eight, wasmgen.Call(statePut), drop)

func code(parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// atEvent runs code for the event of one sequence only.
func atEvent(sequence int64, parts ...[]byte) []byte {
	load := []byte{0x29, 3, 8}
	return code(eachEvent, load, wasmgen.I64Const(sequence), []byte{0x51, 0x04, 0x40}, code(parts...), []byte{0x0b})
}

// guestOf makes a module that runs before at the beginning of each batch, each for each event,
// and after at the end.
func guestOf(before, each, after []byte, more ...wasmgen.Func) []byte {
	apply := wasmgen.Apply(
		before,
		wasmgen.I32Const(batchAt), wasmgen.I32Const(batchRoom), wasmgen.Call(0),
		wasmgen.I32Const(batchAt), wasmgen.I32Add, []byte{0x21, 1},
		wasmgen.I32Const(batchAt), []byte{0x21, 0},
		[]byte{0x02, 0x40, 0x03, 0x40}, // block, loop
		wasmgen.LocalGet(0), wasmgen.LocalGet(1), []byte{0x4f}, []byte{0x0d, 1},
		each,
		wasmgen.LocalGet(0), wasmgen.LocalGet(0), []byte{0x28, 2, 0}, wasmgen.I32Add, []byte{0x21, 0},
		wasmgen.Br(0), []byte{0x0b, 0x0b},
		after,
		wasmgen.I32Const(0),
	)
	apply.Locals = []abi.ValueType{abi.I32, abi.I32}
	i32, i64 := abi.I32, abi.I64
	m := wasmgen.Module{
		Imports: []wasmgen.Import{
			wasmgen.Contract(abi.ImportBatchRead), wasmgen.Contract(abi.ImportStatePut), wasmgen.Contract(abi.ImportStateGet),
			wasmgen.Contract(abi.ImportEmit), wasmgen.Contract(abi.ImportBlobWrite), wasmgen.Contract(abi.ImportBlobRead), wasmgen.Contract(abi.ImportLog),
			{Module: abi.WASI, Name: "clock_time_get", Params: []abi.ValueType{i32, i64, i32}, Results: []abi.ValueType{i32}},
			{Module: abi.WASI, Name: "random_get", Params: []abi.ValueType{i32, i32}, Results: []abi.ValueType{i32}},
		},
		Funcs: append([]wasmgen.Func{apply}, more...), Pages: 1, Globals: []int64{0}, Data: []byte("kt"),
	}
	return m.Bytes()
}

// export is another function of a guest.
func export(name string, parts ...[]byte) wasmgen.Func {
	return wasmgen.Func{Export: name, Results: []abi.ValueType{abi.I32}, Code: append(parts, wasmgen.I32Const(0))}
}

// count adds one to the number of the key k in the state.
var count = code(
	wasmgen.I32Const(0), wasmgen.I32Const(1), value, eight, wasmgen.Call(stateGet), drop,
	value, value, loadI64, one, addI64, storeI64, put,
)

// counted keeps the number of events in a variable.
var counted = code(fetch, one, addI64, keep, value, fetch, storeI64, put)

var _ guest.Module = (*host.Module)(nil)
