// Package c_test holds that gnomon.h does what it says.
package c_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"gnomon/engine/guest"
	"gnomon/engine/testdriver"
	"gnomon/host"
	"gnomon/internal/testutil"
	"gnomon/sdk/abi"
	"gnomon/sdk/outcome"
)

func TestMain(m *testing.M) {
	if host.IsTrial() {
		os.Exit(host.ServeTrial())
	}
	os.Exit(m.Run())
}

var sandbox = sync.OnceValues(func() (*host.Host, error) { return host.New(context.Background(), host.Options{}) })

// guestOf compiles a file of testdata as its author does, C without libc, and loads it.
func guestOf(t testing.TB, file string) testdriver.Subject {
	t.Helper()
	out := filepath.Join(t.TempDir(), "guest.wasm")
	compiler := testutil.Tool(t, "c", "clang-19", "clang")
	args := []string{"--target=wasm32", "-nostdlib", "-std=c11", "-Wl,--no-entry"}
	if strings.HasSuffix(file, ".cpp") {
		compiler = testutil.Tool(t, "cpp", "clang++-19", "clang++")
		args = []string{"--target=wasm32-wasi", "--sysroot=/usr", "-mexec-model=reactor", "-std=c++17", "-fno-exceptions", "-fno-rtti"}
	}
	cmd := exec.Command(compiler, append(args, "-mbulk-memory", "-Wall", "-Wextra", "-Werror", "-O2", "-I.", "-Wl,--stack-first", "-Wl,--strip-all", "-o", out, "testdata/"+file)...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", file, err, text)
	}
	module, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	h, err := sandbox()
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := h.Load(t.Context(), module, host.Limits{Memory: 64 << 20, Fuel: 500_000_000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { loaded.Close(context.Background()) })
	return testdriver.Subject{Module: loaded}
}

// events have these subjects, with the headers and the data of the others.
func events(data string, subjects ...string) *testdriver.Events {
	list := testdriver.NewEvents(nil)
	for i, subject := range subjects {
		headers, _ := abi.AppendHeader(nil, "ce-id", "x")
		headers, _ = abi.AppendHeader(headers, "ce-type", "kind")
		list.Add(abi.Record{Sequence: uint64(i + 1), TimeNs: int64(1000 + i), Subject: []byte(subject), Headers: headers, Data: []byte(data)}, i+1)
	}
	return list
}

// run applies events, in all variations.
func run(t *testing.T, s testdriver.Subject, list *testdriver.Events) outcome.Outcome {
	t.Helper()
	base, err := testdriver.Run(t.Context(), s, list, testdriver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	varied, err := testdriver.Vary(t.Context(), base, testdriver.VaryOptions{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if f := varied.Finding; f != nil {
		t.Errorf("%s: event %d: %s", f.Variation, f.Event, f.Difference)
	}
	return base.Outcome
}

// Values and pages that are larger than the buffers are read all the same, in order, and
// what is written is seen.
func TestState(t *testing.T) {
	uses := guestOf(t, "uses.c")
	for _, tt := range []struct {
		subjects []string
		key      string
		want     string
	}{
		{[]string{"large"}, "k", "1048576"},
		{[]string{"fill", "scan"}, "scanned", "3000 keys, 1086454 bytes"},
		{[]string{"fill", "after"}, "scanned", "2 keys, 24 bytes"},
		{[]string{"scan"}, "scanned", "0 keys, 0 bytes"},
		{[]string{"scans"}, "scanned", "often"}, // in the memory of one
		{[]string{"is-there"}, "there", "no no"},
		{[]string{"empty-value", "is-there"}, "there", "yes no"},
		{[]string{"empty-value", "delete", "delete", "is-there"}, "there", "no no"},
		{[]string{"forgiven"}, "k", "forgiven"},
		{[]string{"int.-12"}, "k", "-12"},
		{[]string{"int.1x"}, "k", "-1"},
		{[]string{"int."}, "k", "-1"},
	} {
		got := run(t, uses, events("", tt.subjects...))
		if got.State[tt.key] != tt.want || len(got.Errors) > 0 {
			t.Errorf("%s: %q, errors %v; want %q", tt.subjects, got.State[tt.key], got.Errors, tt.want)
		}
	}
}

// An event and its fields that are larger than the buffers begin with are whole, also when a
// field is asked for the first time after a text of the event was taken.
func TestLargeEvents(t *testing.T) {
	data := `{"text":"` + strings.Repeat(`\n`, 100_000) + `","late":1}`
	got := run(t, guestOf(t, "uses.c"), events(data, "field", "field", "field.late", "field"))
	if want := "100000 of 200020 by 4, whole"; got.State["k"] != want || len(got.Errors) > 0 {
		t.Errorf("%q, errors %v; want %q", got.State["k"], got.Errors, want)
	}
}

// What the host refuses fails the event, with what was refused and why, though the handler
// looks at no result; and the first reason counts.
func TestFailures(t *testing.T) {
	uses := guestOf(t, "uses.c")
	for subject, want := range map[string]string{
		"too-large":   `state_put "k" was refused: it is too large (code -2): docs/ABI.md has the limits`,
		"empty-key":   `state_put "" was refused: a bad argument, or not the call for it (code -3)`,
		"returns":     "the handler returned 7",
		"fails.\"x":   `number -1 of "fails.\"x"`,
		"many-fields": `fields_declare "f64" was refused: it is too large (code -2): docs/ABI.md has the limits`,
		"no-object":   "event data at byte 0: a JSON object is expected",
		"memory":      "memory is at its limit: limits.memory of the configuration",
		"recurse":     "probably a stack overflow",
	} {
		data := "{}"
		if subject == "no-object" {
			data = "[]"
		}
		got := run(t, uses, events(data, "nothing", subject, "nothing"))
		if len(got.Errors) != 1 || got.Errors[0].Event != 2 || !strings.Contains(got.Errors[0].Error, want) {
			t.Errorf("%s: %v, want event 2: %s", subject, got.Errors, want)
		}
	}
}

// Emits have their headers in the order given, and the index of their event; lines of the log
// have their level, and numbers all their digits.
func TestEffects(t *testing.T) {
	got := run(t, guestOf(t, "uses.c"), events("data", "x", "emit.there", "emit-no-headers", "log.two.three"))
	emits := []outcome.Record{
		{Event: 2, Subject: "to.there", Headers: []outcome.Header{{Name: "a", Value: "1"}, {Name: "kind", Value: "2"}, {Name: "empty"}}, Data: "data"},
		{Event: 3, Subject: "to", Data: "data"},
	}
	logs := []string{
		`debug: token 2 two, 4 "", 0 ""`, "info: type kind, absent yes, key ",
		"warn: -9223372036854775808 18446744073709551615 0 -7", "error: 4 1003",
	}
	for _, d := range outcome.Compare(&outcome.Outcome{Emits: emits, Logs: logs}, &got) {
		t.Error(d)
	}
}

// What a projection keeps in its memory goes on in a fresh instance.
func TestMemory(t *testing.T) {
	long := strings.Repeat("long", 1000)
	got := run(t, guestOf(t, "memory.c"), events("", "a", "b", long, "a", "c", long, "a"))
	want := map[string]string{"a": "3 of 1", "b": "1 of 2", long: "2 of 3", "c": "1 of 4"}
	for _, d := range outcome.Compare(&outcome.Outcome{State: want}, &got) {
		t.Error(d)
	}
}

// An upcaster keeps events, makes several of one, or none, and fails at one.
func TestUpcaster(t *testing.T) {
	got := run(t, guestOf(t, "upcast.c"), events(`{"first":"\u00e9\n"}`, "kept", "split", "drop", "wrong", "kept"))
	head := []outcome.Header{{Name: "ce-id", Value: "x"}, {Name: "ce-type", Value: "kind"}}
	want := &outcome.Outcome{Errors: []outcome.Failure{{Event: 4, Error: "this one is wrong"}}, Records: []outcome.Record{
		{Event: 1, Subject: "kept", Headers: head, Data: `{"first":"\u00e9\n"}`},
		{Event: 2, Subject: "first.é\n", Headers: []outcome.Header{{Name: "ce-type", Value: "first"}}, Data: `{"is":"é\n"}`},
		{Event: 2, Subject: "rest"},
		{Event: 5, Subject: "kept", Headers: head, Data: `{"first":"\u00e9\n"}`},
	}}
	for _, d := range outcome.Compare(want, &got) {
		t.Error(d)
	}
}

// In C++ there is the standard library: what it keeps goes on in a fresh instance, static objects
// are constructed, and where it would throw the event fails.
func TestMemoryInCpp(t *testing.T) {
	s := guestOf(t, "memory.cpp")
	got := run(t, s, events("", "a", "b", "a", "throw", "exhaust", "b", "erase"))
	want := map[string]string{"b": "hello 2 of 2 -5 1", "erase": "hello 1 of 3 -5 1"}
	for _, d := range outcome.Compare(&outcome.Outcome{State: want, Errors: got.Errors}, &got) {
		t.Error(d)
	}
	if len(got.Errors) != 2 || !strings.Contains(got.Errors[0].Error, "out_of_range") || strings.Contains(got.Errors[0].Error, "%") || !strings.Contains(got.Errors[1].Error, "memory is at its limit") {
		t.Errorf("errors %v", got.Errors)
	}
	s.Settings = []byte(`{"loud":true}`)
	if got := run(t, s, events("", "a")); got.State["a"] != "HELLO 1 of 1 -5 1" {
		t.Errorf("loud: %q", got.State["a"])
	}
	s.Settings = []byte(`{"loud":1}`)
	if _, err := testdriver.Run(t.Context(), s, events("", "a"), testdriver.Options{}); err == nil || !strings.Contains(err.Error(), "settings: loud is 1: expected is true or false") {
		t.Errorf("wrong setting: %v", err)
	}
}

// An upcaster in C++ makes other events, keeps them, and fails.
func TestUpcasterInCpp(t *testing.T) {
	s := guestOf(t, "upcast.cpp")
	for data, want := range map[string]string{"21": "42", "-4": "-8", "0": "00", "x": ""} {
		got := run(t, s, events(data, "n"))
		var made string
		for _, r := range got.Records {
			made += r.Data
		}
		if made != want || (len(got.Errors) > 0) != (want == "") {
			t.Errorf("%s: made %q, errors %v; want %q", data, made, got.Errors, want)
		}
	}
}

// The header may be in several files of a program, and brings in only what they use.
func TestSeveralFiles(t *testing.T) {
	clang := testutil.Tool(t, "c", "clang-19", "clang")
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.c": "#include \"gnomon.h\"\nint other(const gn_event *);\nGNOMON_PROJECTION(other)\n",
		"b.c": "#include \"gnomon.h\"\nint other(const gn_event *e) { return gn_is(e->subject, \"no\") ? gn_fail(\"no\") : 0; }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "out.wasm")
	cmd := exec.Command(clang, "--target=wasm32", "-mbulk-memory", "-nostdlib", "-std=c11", "-Wall", "-Wextra", "-Werror", "-O2", "-I.", "-Wl,--no-entry", "-o", out,
		filepath.Join(dir, "a.c"), filepath.Join(dir, "b.c"))
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	module, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	binary, err := host.Inspect(module)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, i := range binary.Imports {
		names = append(names, i.Name)
	}
	slices.Sort(names)
	if want := []string{"batch_read", "fail"}; !slices.Equal(names, want) {
		t.Errorf("imports %q, want %q", names, want)
	}
}

// answer asks the guest of json.c.
func answer(t testing.TB, s testdriver.Subject, request []byte) string {
	t.Helper()
	session, err := testdriver.NewSession(t.Context(), s, guest.Surroundings{})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close(t.Context())
	text, _, err := session.Answer(t.Context(), request)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	return string(text)
}
