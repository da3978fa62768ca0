package accountbalances_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"gnomon/engine/fields"
	"gnomon/engine/testdriver"
	"gnomon/host"
	"gnomon/host/conformance"
	"gnomon/internal/testutil"
	"gnomon/sdk/abi"
	"gnomon/sdk/jsonfields"
	"gnomon/sdk/outcome"
)

// withWASI are the languages whose runtime cannot do without it.
var withWASI = []string{"go", "tinygo"}

// withFloats are the languages whose runtime or library computes with floats and takes their
// bits. engine check notes that of the code alone: no float comes into this projection's outcome.
var withFloats = []string{"go", "javascript", "tinygo", "zig"}

func TestMain(m *testing.M) {
	if host.IsTrial() {
		os.Exit(host.ServeTrial())
	}
	os.Exit(m.Run())
}

// account-balances is the same in every language, byte for byte: state, emits, errors, logs
// and answers, in batches of any size, by fresh instances and in partitions; and in each it
// keeps the rules of the contract. A language is a folder with a Makefile.
func TestLanguages(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles every language")
	}
	makefiles, err := filepath.Glob("*/Makefile")
	if err != nil || len(makefiles) == 0 {
		t.Fatalf("there are no languages here: %v", err)
	}
	sandbox, err := host.New(t.Context(), host.Options{CacheDir: testutil.Compiled(t.TempDir())})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sandbox.Close(context.Background()) })
	var hostile firstOutcome
	for _, makefile := range makefiles {
		language := filepath.Dir(makefile)
		t.Run(language, func(t *testing.T) {
			t.Parallel() // most of the time is the compilers'
			module := build(t, language)
			t.Run("imports", func(t *testing.T) { checkImports(t, language, module) })
			loaded, err := sandbox.Load(t.Context(), module, host.Limits{Memory: 64 << 20, Fuel: 500_000_000})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { loaded.Close(context.Background()) })
			s := testdriver.Subject{Module: loaded}
			t.Run("outcome", func(t *testing.T) { checkOutcome(t, s) })
			t.Run("settings", func(t *testing.T) { checkSettings(t, s) })
			t.Run("large", func(t *testing.T) { checkLarge(t, s) })
			t.Run("hostile", func(t *testing.T) { checkHostile(t, s, &hostile) })
			t.Run("rules", func(t *testing.T) { checkRules(t, language, loaded, module) })
		})
	}
}

// build makes the module of a language as its author does.
func build(t testing.TB, language string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), language+".wasm")
	args := []string{"OUT=" + out}
	if language == "javascript" {
		args = append(args, "ENGINE="+program(t))
	}
	testutil.Make(t, language, language, args...)
	module, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return module
}

// program builds the engine, which makes modules of scripts.
func program(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "engine")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "gnomon/cmd/engine").CombinedOutput(); err != nil {
		t.Fatalf("build the engine: %v\n%s", err, out)
	}
	return path
}

// checkImports holds that a module asks for nothing but what the contract offers.
func checkImports(t *testing.T, language string, module []byte) {
	binary, err := host.Inspect(module)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range binary.Imports {
		switch {
		case i.Module == abi.Module, i.Module == abi.ModuleJSON:
		case i.Module == abi.WASI && slices.Contains(withWASI, language):
		default:
			t.Errorf("imports %s from %s", i.Name, i.Module)
		}
	}
}

func checkOutcome(t *testing.T, s testdriver.Subject) {
	s.Settings = read(t, "testdata/settings.json")
	want, err := outcome.Decode(read(t, "testdata/expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	base, err := testdriver.Run(t.Context(), s, events(t), testdriver.Options{Queries: testdriver.Requests(want)})
	if err != nil {
		t.Fatal(err)
	}
	if all := outcome.Compare(want, &base.Outcome); len(all) > 0 {
		t.Error(outcome.Report(all, 10))
	}
	varied, err := testdriver.Vary(t.Context(), base, testdriver.VaryOptions{Seed: 7, Keys: true})
	if err != nil {
		t.Fatal(err)
	}
	if f := varied.Finding; f != nil {
		t.Errorf("%s: event %d (%s): %s\n%s", f.Variation, f.Event, f.Type, f.Difference, f.Cause)
	}
}

// checkSettings holds that settings have their effect, and that wrong ones are refused before
// the first event.
func checkSettings(t *testing.T, s testdriver.Subject) {
	for _, wrong := range []string{`{"overdrafts":1}`, `{"overdraft":-1}`, `{"overdraft":"5"}`, `{"overdraft":1.5}`, `{"alerts":3}`, `{"alerts":"a","more":null}`} {
		s.Settings = []byte(wrong)
		_, err := testdriver.Run(t.Context(), s, events(t), testdriver.Options{})
		if err == nil || !strings.Contains(err.Error(), "settings: ") {
			t.Errorf("%s: error %v, want one that begins with settings", wrong, err)
		}
	}
	for settings, want := range map[string]string{`{"overdraft":1}`: "alerts.account.overdrawn", `{"alerts":"bank.eu"}`: "bank.eu.overdrawn", `{"overdraft":999999}`: ""} {
		s.Settings = []byte(settings)
		got, err := testdriver.Run(t.Context(), s, events(t), testdriver.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Outcome.Emits) > 0 != (want != "") {
			t.Errorf("%s: %d emits", settings, len(got.Outcome.Emits))
		}
		for _, e := range got.Outcome.Emits {
			if e.Subject != want {
				t.Errorf("%s: event %d emits to %q, want %q", settings, e.Event, e.Subject, want)
			}
		}
	}
}

// checkLarge holds that an event, a value and a scan are dealt with that are larger than buffers
// begin with: nothing is cut.
func checkLarge(t *testing.T, s testdriver.Subject) {
	s.Settings = nil
	owner := strings.Repeat("é\"\n", 60_000)
	quoted := string(jsonfields.AppendQuoted(nil, owner))
	list := testdriver.NewEvents(nil)
	add := func(kind, data string) {
		headers, _ := abi.AppendHeader(nil, "ce-type", "account."+kind)
		list.Add(abi.Record{Sequence: uint64(list.Len() + 1), Subject: []byte("bank"), Headers: headers, Data: []byte(data)}, list.Len()+1)
	}
	add("opened", `{"account":"large","owner":`+quoted+`}`)
	add("withdrawn", `{"account":"large","amount":7}`)
	for i := range 2000 {
		add("opened", fmt.Sprintf(`{"account":"n-%04d","owner":"%0100d"}`, i, i))
	}
	add("deposited", `{"account":"n-1999","amount":5}`)
	got, err := testdriver.Run(t.Context(), s, list, testdriver.Options{Queries: [][]byte{[]byte(`{"top":2}`)}})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"owner":` + quoted + `,"balance":-7,"events":2,"last":""}`; got.Outcome.State["account\tlarge"] != want {
		t.Errorf("a value of %d bytes is stored, want %d; errors %.200v", len(got.Outcome.State["account\tlarge"]), len(want), got.Outcome.Errors)
	}
	if e := got.Outcome.Emits; len(e) != 1 || len(e[0].Headers) != 2 || e[0].Headers[1].Value != fmt.Sprint(len(owner)) {
		t.Errorf("emits %.300v, want one with a length of %d", e, len(owner))
	}
	if want := `[{"account":"n-1999","balance":5},{"account":"n-0000","balance":0}]`; got.Outcome.Queries[0].Answer != want {
		t.Errorf("answer %+v, want %s", got.Outcome.Queries[0], want)
	}
}

// firstOutcome is that of the language that came first, which those of the others must be like.
type firstOutcome struct {
	sync.Mutex
	language string
	outcome  *outcome.Outcome
}

// checkHostile holds that every language makes the same of events that are hard to read, and
// refuses the same ones.
func checkHostile(t *testing.T, s testdriver.Subject, first *firstOutcome) {
	s.Settings = nil
	list := testdriver.NewEvents(nil)
	ours := strings.NewReplacer(`"s"`, `"owner"`, `"n"`, `"amount"`)
	for i, data := range testutil.HostileJSON() {
		data = ours.Replace(data)
		if rest, isObject := strings.CutPrefix(data, "{"); isObject {
			data = fmt.Sprintf(`{"account":"h-%d",%s`, i, rest)
		}
		for _, kind := range []string{"opened", "deposited"} {
			headers, _ := abi.AppendHeader(nil, "ce-type", "account."+kind)
			list.Add(abi.Record{Sequence: uint64(list.Len() + 1), Subject: []byte("bank"), Headers: headers, Data: []byte(data)}, list.Len()+1)
		}
	}
	base, err := testdriver.Run(t.Context(), s, list, testdriver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := &base.Outcome
	for i := range got.Errors {
		got.Errors[i].Error = "refused" // in words of the language's own
	}
	first.Lock()
	defer first.Unlock()
	if first.outcome == nil {
		first.language, first.outcome = t.Name(), got
	}
	if all := outcome.Compare(first.outcome, got); len(all) > 0 {
		t.Errorf("it differs from %s:\n%s", first.language, outcome.Report(all, 10))
	}
}

// checkRules holds that a module keeps the rules of docs/ABI.md that bind guests, whatever the
// host does, and that it had occasion to break those that its code is about. The first events do:
// all of them are applied in every variation for the outcome.
func checkRules(t *testing.T, language string, loaded *host.Module, module []byte) {
	report, err := conformance.CheckGuest(t.Context(), conformance.GuestCheck{
		Module: loaded, Code: module, Events: firstEvents(t, 80), Settings: read(t, "testdata/settings.json"),
		Requests: [][]byte{nil, []byte(`{"top":2}`), []byte(`{"account":"a-1"}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	exercised := []string{"X8", "X9", "C7", "E9", "B10", "B11", "Q8"}
	for _, f := range report.Findings {
		if f.ID == "N1" && f.Verdict == conformance.Warning && slices.Contains(withFloats, language) {
			continue
		}
		if f.Verdict == conformance.Failed || f.Verdict == conformance.Warning || f.Verdict == conformance.NotExercised && slices.Contains(exercised, f.ID) {
			t.Errorf("%s (%s) is %s: %s", f.ID, f.Says, f.Verdict, f.Text)
		}
	}
}

func events(t *testing.T) *testdriver.Events {
	t.Helper()
	return firstEvents(t, math.MaxInt)
}

// firstEvents are the first of testdata, at most so many.
func firstEvents(t *testing.T, most int) *testdriver.Events {
	t.Helper()
	key, err := fields.Key("json:account")
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(read(t, "testdata/events.jsonl"), []byte("\n"))
	list, err := testdriver.ReadEvents(t.Context(), "events.jsonl", bytes.NewReader(slices.Concat(lines[:min(most, len(lines))]...)), key)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
