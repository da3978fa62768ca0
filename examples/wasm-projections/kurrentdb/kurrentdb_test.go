// Package kurrentdb has projections in KurrentDB's dialect, each with the same in Go beside it.
package kurrentdb

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"gnomon/engine/testdriver"
	"gnomon/host"
	"gnomon/internal/testutil"
	"gnomon/sdk/js"
	"gnomon/sdk/outcome"
)

// The projections of KurrentDB make of the events what is expected, which the tests beside
// them expect of the versions in Go; in any batches, and with a fresh instance before any
// event.
func TestDialect(t *testing.T) {
	if testing.Short() {
		t.Skip("each script is a module that is compiled")
	}
	scripts, err := filepath.Glob("*/projection.js")
	if err != nil || len(scripts) != 5 {
		t.Fatalf("%d scripts, %v", len(scripts), err)
	}
	for _, script := range scripts {
		folder := filepath.Dir(script)
		t.Run(folder, func(t *testing.T) {
			got := run(t, script, filepath.Join(folder, "events.jsonl"))
			want, err := outcome.Decode(read(t, filepath.Join(folder, "expected.json")))
			if err != nil {
				t.Fatal(err)
			}
			if differences := outcome.Compare(want, &got.Outcome); len(differences) > 0 {
				t.Error(outcome.Report(differences, 20))
			}
			varied, err := testdriver.Vary(t.Context(), got, testdriver.VaryOptions{Seed: 1})
			if err != nil || varied.Finding != nil {
				t.Errorf("%v, %v", varied, err)
			}
		})
	}
}

func run(t *testing.T, script, log string) *testdriver.Result {
	t.Helper()
	code, err := js.Attach(read(t, script), js.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h, err := host.New(t.Context(), host.Options{CacheDir: testutil.Compiled(t.TempDir())})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close(context.Background()) })
	module, err := h.Load(t.Context(), code, host.Limits{Fuel: 500_000_000})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	events, err := testdriver.ReadEvents(t.Context(), log, f, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := testdriver.Run(t.Context(), testdriver.Subject{Module: module}, events, testdriver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
