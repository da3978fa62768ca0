package tests

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"gnomon/engine/testdriver"
	"gnomon/host"
	"gnomon/internal/testutil"
	"gnomon/sdk/abi"
)

var sandbox *host.Host

func TestMain(m *testing.M) {
	if host.IsTrial() {
		os.Exit(host.ServeTrial())
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "assemblyscript-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		guests.dir = dir
		if sandbox, err = host.New(context.Background(), host.Options{CacheDir: testutil.Compiled(filepath.Join(dir, "cache"))}); err != nil {
			panic(err)
		}
		defer sandbox.Close(context.Background())
		return m.Run()
	}())
}

// guests are compiled once in a test process.
var guests struct {
	sync.Mutex
	dir string
}

// guestOf is a module of guests/ with the limits that the engine has unless configured.
func guestOf(t testing.TB, name string) testdriver.Subject {
	t.Helper()
	asc := testutil.Tool(t, "assemblyscript", "asc")
	guests.Lock()
	defer guests.Unlock()
	out := filepath.Join(guests.dir, name+".wasm")
	if _, err := os.Stat(out); err != nil {
		cmd := exec.Command(asc, "guests/"+name+".ts", "--path", "..", "--use", "abort=~lib/gnomon/fail/abort", "-O3", "--outFile", out)
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("asc %s: %v\n%s", name, err, text)
		}
	}
	module, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	m, err := sandbox.Load(t.Context(), module, host.Limits{Memory: 64 << 20, Fuel: 500_000_000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close(context.Background()) })
	return testdriver.Subject{Module: m}
}

// event makes an event of a type; headers are pairs, by name, before ce-type or after it.
func event(sequence uint64, kind, data string, headers ...string) abi.Record {
	r := abi.Record{Sequence: sequence, TimeNs: int64(sequence), Subject: []byte("s.t"), Data: []byte(data)}
	for i := 0; i < len(headers); i += 2 {
		r.Headers, _ = abi.AppendHeader(r.Headers, headers[i], headers[i+1])
	}
	r.Headers, _ = abi.AppendHeader(r.Headers, "ce-type", kind)
	return r
}

// list makes events of types and data, with the sequences 1, 2 and so on.
func list(kindsAndData ...string) *testdriver.Events {
	l := testdriver.NewEvents(nil)
	for i := 0; i < len(kindsAndData); i += 2 {
		n := i/2 + 1
		l.Add(event(uint64(n), kindsAndData[i], kindsAndData[i+1]), n)
	}
	return l
}

// run applies events, and holds that the result is the same in other batches and by fresh
// instances.
func run(t *testing.T, s testdriver.Subject, events *testdriver.Events, requests ...string) *testdriver.Result {
	t.Helper()
	var o testdriver.Options
	for _, r := range requests {
		o.Queries = append(o.Queries, []byte(r))
	}
	got, err := testdriver.Run(t.Context(), s, events, o)
	if err != nil {
		t.Fatal(err)
	}
	varied, err := testdriver.Vary(t.Context(), got, testdriver.VaryOptions{Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	if f := varied.Finding; f != nil {
		t.Errorf("%s: event %d (%s): %s\n%s", f.Variation, f.Event, f.Type, f.Difference, f.Cause)
	}
	return got
}

// mustRun is run of events that do not fail.
func mustRun(t *testing.T, s testdriver.Subject, events *testdriver.Events, requests ...string) *testdriver.Result {
	t.Helper()
	got := run(t, s, events, requests...)
	if f := got.Outcome.Errors; len(f) > 0 {
		t.Fatalf("event %d failed: %s", f[0].Event, f[0].Error)
	}
	return got
}

// same compares what is printed of two values.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprintf("%q", got), fmt.Sprintf("%q", want); g != w {
		t.Errorf("%s:\n  %s\nwant\n  %s", what, g, w)
	}
}
