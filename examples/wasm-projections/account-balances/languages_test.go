package accountbalances_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gnomon/engine/fields"
	"gnomon/engine/testdriver"
	"gnomon/host"
	"gnomon/internal/testutil"
	"gnomon/sdk/abi"
	"gnomon/sdk/outcome"
)

// withWASI are the languages whose runtime cannot do without it.
var withWASI = []string{"go", "tinygo"}

func TestMain(m *testing.M) {
	if host.IsTrial() {
		os.Exit(host.ServeTrial())
	}
	os.Exit(m.Run())
}

// account-balances is the same in every language, byte for byte: state, emits, errors, logs
// and answers, in batches of any size, by fresh instances and in partitions. A language is a
// folder with a Makefile.
func TestLanguages(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles every language")
	}
	makefiles, err := filepath.Glob("*/Makefile")
	if err != nil || len(makefiles) == 0 {
		t.Fatalf("there are no languages here: %v", err)
	}
	sandbox, err := host.New(t.Context(), host.Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sandbox.Close(context.Background()) })
	for _, makefile := range makefiles {
		language := filepath.Dir(makefile)
		t.Run(language, func(t *testing.T) {
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
		})
	}
}

// build makes the module of a language as its author does.
func build(t *testing.T, language string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), language+".wasm")
	args := []string{"OUT=" + out}
	if language == "javascript" {
		args = append(args, "ENGINE="+engine(t))
	}
	testutil.Make(t, language, language, args...)
	module, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return module
}

// engine builds the program, which makes modules of scripts.
func engine(t *testing.T) string {
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

func events(t *testing.T) *testdriver.Events {
	t.Helper()
	key, err := fields.Key("json:account")
	if err != nil {
		t.Fatal(err)
	}
	list, err := testdriver.ReadEvents(t.Context(), "events.jsonl", bytes.NewReader(read(t, "testdata/events.jsonl")), key)
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
