// Package rust_test holds the SDK for Rust to the contract: its own tests, run by cargo, and a
// guest that is built with it, in the real host.
package rust_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gnomon/engine/guest"
	"gnomon/engine/testdriver"
	"gnomon/host"
	"gnomon/internal/testutil"
	"gnomon/sdk/outcome"
)

func TestMain(m *testing.M) {
	if host.IsTrial() {
		os.Exit(host.ServeTrial())
	}
	os.Exit(m.Run())
}

// built is where cargo keeps what it made; it locks the folder itself.
const built = "../../build"

// The SDK's own tests pass natively, those in its documentation too.
func TestCargo(t *testing.T) {
	skipShort(t)
	cargo := testutil.Tool(t, "rust", "cargo")
	target, err := filepath.Abs(filepath.Join(built, "rust-sdk"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), cargo, "test", "--offline", "--locked", "--quiet", "--target-dir", target)
	if out, err := cmd.CombinedOutput(); err != nil || bytes.Contains(out, []byte("warning")) {
		t.Errorf("cargo test: %v\n%s", err, out)
	}
}

// The tests that a new project comes with pass natively.
func TestProjectTests(t *testing.T) {
	skipShort(t)
	testutil.Make(t, "rust", "../../examples/wasm-projections/account-balances/rust", "test", "ENGINE=true", "OUT="+filepath.Join(t.TempDir(), "m.wasm"))
}

// event is one that has the guest do something.
func event(kind, data string) string {
	return fmt.Sprintf(`{"subject":"guest","id":"e","type":%q,"time":"2026-03-01T10:00:00Z","data":%s}`+"\n", kind, data)
}

// Each use of the host does in the sandbox what it says, whatever the sizes, and what fails says
// what it was; a panic too, with its place. Nothing depends on batches or restarts.
func TestGuest(t *testing.T) {
	s := load(t, "guest")
	s.Settings = []byte(`{"prefix":"many"}`)
	for _, tt := range []struct {
		name, events string
		key, value   string // of the state at the end
		err          string // of the last event
	}{
		{"a value of 1 MiB", event("large", `{"size":1048576,"key":9}`), "size", "1048576", ""},
		{"a value above the limit", event("large", `{"size":1048577,"key":9}`), "size", "", `put "xxxxxxxxx": too large: a key may have 64000 bytes, a value 1048576`},
		{"an empty value", event("large", `{"size":0,"key":1}`), "x", "", ""},
		{"a key of 64,000 bytes", event("large", `{"size":1,"key":64000}`), "size", "1", ""},
		{"an empty key", event("large", `{"size":1,"key":0}`), "size", "", `put "": bad argument`},
		{"a key above the limit", event("large", `{"size":1,"key":64001}`), "size", "", `put "` + strings.Repeat("x", 100) + `"…: too large`},
		{"a scan over pages", event("fill", `{"keys":2000,"size":50}`) + event("scan", `{"prefix":"many\t","after":""}`), "scanned", "2000 100000 many\t01999", ""},
		{"a scan from the middle", event("fill", `{"keys":20,"size":1}`) + event("scan", `{"prefix":"many","after":"many\t00009"}`), "scanned", "10 10 many\t00019", ""},
		{"a scan that ends", event("fill", `{"keys":20,"size":1}`) + event("scan", `{"prefix":"m","after":"","limit":3}`), "scanned", "3 3 many\t00002", ""},
		{"a scan of large values", event("fill", `{"keys":7,"size":1048576}`) + event("scan", `{"prefix":"","after":""}`), "scanned", "7 7340032 many\t00006", ""},
		{"a scan of nothing", event("scan", `{"prefix":"none","after":""}`), "scanned", "0 0 ", ""},
		{"a panic", event("panic", `{"what":"as it should be"}`), "", "", "panic: nothing is as it should be (lib.rs:32)"},
		{"an index out of range", event("index", `{}`), "", "", "panic: range end index 1 out of range for slice of length 0 ("},
		{"a field that is absent", event("panic", `{}`), "", "", `the event's data has no field "what"`},
		{"fields of all kinds", event("fields", `{"text":"a\u00e9\n","number":-7,"flag":true,"none":null,"list":[1,2]}`), "fields", "aé\n|-7|2|Some(true)", ""},
		{"a key that is deleted", event("large", `{"size":0,"key":1}`) + event("delete", `{"key":"x"}`), "x", "", ""},
		{"a change", event("change", `{"add":4}`) + event("change", `{"add":3}`), "changed", "7", ""},
		{"a change to nothing", event("change", `{"add":4}`) + event("change", `{"add":0}`), "changed", "", ""},
		{"an unknown type", event("other", `{}`), "", "", `there is no "other"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := run(t, s, tt.events)
			if v := got.Outcome.State[tt.key]; v != tt.value {
				t.Errorf("%q is %.100q, want %q", tt.key, v, tt.value)
			}
			failures := got.Outcome.Errors
			if tt.err == "" && len(failures) > 0 || tt.err != "" && (len(failures) != 1 || !strings.HasPrefix(failures[0].Error, tt.err)) {
				t.Errorf("errors %+v, want %q", failures, tt.err)
			}
		})
	}
}

// An event may be emitted with any number of headers, and be the second of its cause.
func TestEmit(t *testing.T) {
	got := run(t, load(t, "guest"), event("log", `{}`)+event("emit", `{"headers":300,"subject":"first"}`)).Outcome
	if len(got.Emits) != 2 || len(got.Emits[0].Headers) != 300 || got.Emits[0].Event != 2 || got.Emits[1].Subject != "second" {
		t.Fatalf("emitted %+v; errors %v", got.Emits, got.Errors)
	}
	if h := got.Emits[0].Headers[299]; h != (outcome.Header{Name: "name-299", Value: "value 299"}) {
		t.Errorf("the last header is %v", h)
	}
	if want := []string{"debug: a", "info: b", "warn: c", "error: d"}; !slices.Equal(got.Logs, want) {
		t.Errorf("logged %q, want %q", got.Logs, want)
	}
}

// Memory of more than one blob outlasts restarts, and is there when a request is answered.
func TestMemory(t *testing.T) {
	half := strings.Repeat("m", 400_000)
	events := event("remember", `"`+half+`"`) + event("remember", `"`+half+`"`) + event("remember", `"end"`)
	s := load(t, "guest")
	got := run(t, s, events, "memory", "remembered", "nothing")
	want := `"` + half + `""` + half + `""end"`
	q := got.Outcome.Queries
	if q[0].Answer != want {
		t.Errorf("the memory has %d bytes, want %d", len(q[0].Answer), len(want))
	}
	if q[1].Answer != fmt.Sprint(len(want)) || q[2].Error != `no key "nothing"` {
		t.Errorf("answers %.100q", q[1:])
	}
}

// An upcaster's events are those that it writes: changed, several, none, or as they were.
func TestUpcaster(t *testing.T) {
	events := event("named", `{"name":"Ada Lovelace"}`) + event("twice", `{}`) + event("dropped", `{}`) + event("other", `{"a":1}`) + event("named", `{"name":"Ada"}`)
	got := run(t, load(t, "upcaster"), events).Outcome
	var made []string
	for _, r := range got.Records {
		var headers []string
		for _, h := range r.Headers {
			if h.Name == "ce-type" || strings.HasSuffix(h.Name, "copy") {
				headers = append(headers, h.Name+"="+h.Value)
			}
		}
		made = append(made, fmt.Sprintf("%d %s %s %s", r.Event, r.Subject, strings.Join(headers, " "), r.Data))
	}
	want := []string{
		`1 guest ce-type=named.v2 {"first":"Ada","last":"Lovelace"}`,
		`2 guest ce-type=twice {}`,
		`2 copies a-copy=1 ce-type=twice z-copy=1 {}`,
		`4 guest ce-type=other {"a":1}`,
	}
	if !slices.Equal(made, want) {
		t.Errorf("made\n%s\nwant\n%s", strings.Join(made, "\n"), strings.Join(want, "\n"))
	}
	if len(got.Errors) != 1 || got.Errors[0].Event != 5 || got.Errors[0].Error != "a name has two parts" {
		t.Errorf("errors %v", got.Errors)
	}
}

// Settings that are not the program's are refused before the first event, and named.
func TestSettings(t *testing.T) {
	s := load(t, "guest")
	s.Settings = []byte(`{"prefixes":"a"}`)
	_, err := testdriver.Run(t.Context(), s, &testdriver.Events{}, testdriver.Options{})
	if err == nil || !strings.Contains(err.Error(), `settings: "prefixes" is unknown: there are prefix`) {
		t.Errorf("error %v", err)
	}
}

// run applies events in the real host, and holds that nothing depends on how.
func run(t *testing.T, s testdriver.Subject, lines string, requests ...string) *testdriver.Result {
	t.Helper()
	events, err := testdriver.ReadEvents(t.Context(), "events.jsonl", strings.NewReader(lines), nil)
	if err != nil {
		t.Fatal(err)
	}
	o := testdriver.Options{}
	for _, r := range requests {
		o.Queries = append(o.Queries, []byte(r))
	}
	got, err := testdriver.Run(t.Context(), s, events, o)
	if err != nil {
		t.Fatal(err)
	}
	varied, err := testdriver.Vary(t.Context(), got, testdriver.VaryOptions{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if varied.Finding != nil {
		t.Errorf("%+v", varied.Finding)
	}
	return got
}

var modules = map[string]guest.Module{}

// load builds a guest, once, and loads it.
func load(t *testing.T, guest string) testdriver.Subject {
	t.Helper()
	skipShort(t)
	if modules[guest] == nil {
		modules[guest] = build(t, guest)
	}
	return testdriver.Subject{Module: modules[guest]}
}

func build(t *testing.T, guest string) guest.Module {
	t.Helper()
	out := filepath.Join(t.TempDir(), guest+".wasm")
	targets, err := filepath.Abs(filepath.Join(built, "rust-"+guest))
	if err != nil {
		t.Fatal(err)
	}
	testutil.Make(t, "rust", "testdata/"+guest, "OUT="+out, "TARGETS="+targets)
	module, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background() // it is there for all tests
	sandbox, err := host.New(ctx, host.Options{})
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := sandbox.Load(ctx, module, host.Limits{Memory: 64 << 20, Fuel: 500_000_000})
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

func skipShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("compiles with rustc")
	}
}
