package main

import (
	"bytes"
	"context"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gnomon/cmd/engine/cli"
	"gnomon/internal/testutil"
	"gnomon/internal/testutil/wasmgen"
	"gnomon/sdk/abi"
)

// Modules with a fault that engine test finds: calls counts the calls of apply in a variable,
// and writes their number.
func init() {
	maps.Copy(scriptModules, map[string]func() []byte{
		"calls": func() []byte {
			m := module(wasmgen.Apply(
				wasmgen.GlobalGet(0), wasmgen.I64Const(1), []byte{0x7c}, wasmgen.GlobalSet(0),
				wasmgen.I32Const(8), wasmgen.GlobalGet(0), []byte{0x37, 3, 0}, // i64.store
				wasmgen.I32Const(0), wasmgen.I32Const(1), wasmgen.I32Const(8), wasmgen.I32Const(1), wasmgen.Call(0),
			))
			m.Imports, m.Data, m.Globals = []wasmgen.Import{wasmgen.Contract(abi.ImportStatePut)}, []byte("n"), []int64{'0'}
			return m.Bytes()
		},
	})
}

// With --watch a module is tested again whenever one of its files changes, until it is
// interrupted; a module that is not there, or is wrong, is waited for.
func TestTestWatches(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	events := write("events.jsonl", []byte(`{"subject":"a","id":"1","type":"t","time":"2026-01-31T12:00:00Z"}`+"\n"))
	ctx, cancel := context.WithCancel(t.Context())
	var out, errs testutil.Log
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"test", filepath.Join(dir, "m.wasm"), "--events", events, "--watch"}, nil, &out, &errs)
	}()
	says := func(log *testutil.Log, text string) {
		t.Helper()
		testutil.Until(t, func() bool { return strings.Contains(log.String(), text) })
	}
	says(&errs, "m.wasm: no such file")
	write("m.wasm", []byte("no module"))
	says(&errs, "m.wasm: is not a WebAssembly module")
	write("m.wasm", sound)
	says(&out, "m.wasm: ok\n  events    1 of ")
	write("events.jsonl", bytes.Repeat([]byte(`{"subject":"a","id":"1","type":"t","time":"2026-01-31T12:00:00Z"}`+"\n"), 5))
	says(&out, "m.wasm: ok\n  events    5 of ")
	cancel()
	if code := <-ended; code != cli.ExitDone {
		t.Errorf("exit code %d\n%s", code, errs.String())
	}
}
