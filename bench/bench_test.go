package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gnomon/internal/testutil"
)

// TestMain makes the test binary act as the command when it is run as one of the
// suite's own processes.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains([]string{"server", "contend", "measure", "gets"}, os.Args[1]) {
		main()
		return
	}
	os.Exit(m.Run())
}

// runSuite runs the suite with arguments, on little, and returns its results.
func runSuite(t *testing.T, args ...string) results {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "results.json")
	args = append(args, "-rounds", "1", "-results", file, "-plot", filepath.Join(dir, "plot.svg"), "-work", t.TempDir())
	if err := run(t.Context(), args); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got results
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// Every contender does the whole work on a short stream: it fails when its balances
// do not add up.
func TestContenders(t *testing.T) {
	got := runSuite(t, "-only", strings.Join(contenderNames(), ","), "-events", "2000")
	if len(got.Contenders) != len(contenders) || len(got.Ratios) != len(goals) {
		t.Errorf("%d contenders and %d ratios, want %d and %d", len(got.Contenders), len(got.Ratios), len(contenders), len(goals))
	}
	for _, r := range got.Contenders {
		if r.Median <= 0 {
			t.Errorf("%+v", r)
		}
	}
}

// Every measurement runs on little, judges its goals and has numbers: whoever reads a
// value of it waits for the right sequence, and native and engine leave the same rows of
// a real log.
func TestMeasurements(t *testing.T) {
	if testing.Short() {
		t.Skip("starts engines for some seconds")
	}
	got := runSuite(t, "-only", strings.Join(measurementNames(), ","), "-long", "30000", "-grow-events", "10000",
		"-keys", "10", "-projections", "2", "-head", "1", "-idle", "1", "-logs", "gitlog,no-such-log", "-log-events", "1", "-languages", "go,javascript")
	var names []string
	for _, r := range got.Ratios {
		names = append(names, r.Name)
		if r.Value <= 0 && r.Name != "reads/gets-of-10k" { // there is hardly time for gets
			t.Errorf("%v", r)
		}
	}
	want := []string{
		"memory/flat", "memory/idle-20-caught-up-mb", "memory/idle-20-restarted-mb", "memory/open-1m-keys-s",
		"head/p50-ms", "head/p99-ms", "head/published-of-5000", "reads/speed-kept", "reads/gets-of-10k",
		"languages/javascript-us", "growth/projections-share",
	}
	if !slices.Equal(names, want) {
		t.Errorf("goals %q, want %q", names, want)
	}
	if n := number(t, got, "head", "head/samples"); n < 50 {
		t.Errorf("%v samples at the head", n)
	}
	if n := number(t, got, "real", "real/gitlog/ratio"); n <= 0 {
		t.Errorf("the engine is %v times as fast on a real log", n)
	}
	if n := number(t, got, "growth", "growth/keys/10/grow-ns"); n <= 0 {
		t.Errorf("an event of 10 keys costs %v ns", n)
	}
}

func number(t *testing.T, r results, measurement, name string) float64 {
	t.Helper()
	for _, m := range r.Measurements {
		if v, ok := m.Numbers[name]; ok && m.Name == measurement {
			return v
		}
	}
	t.Errorf("%s has no number %s", measurement, name)
	return 0
}

// Both ways to read the fields find the same ones.
func TestFields(t *testing.T) {
	for body, want := range map[string]struct {
		account string
		amount  int64
	}{
		`{"account":"a","amount":5}`:                       {"a", 5},
		`{"id":"x","amount":-120,"account":"b c","z":"}"}`: {"b c", -120},
		`{"account":"","amount":0,"text":"no"}`:            {"", 0},
	} {
		for _, fields := range []func([]byte) ([]byte, int64, error){scan, decode} {
			account, amount, err := fields([]byte(body))
			if err != nil || string(account) != want.account || amount != want.amount {
				t.Errorf("%s: %q %d, %v", body, account, amount, err)
			}
		}
	}
	if _, _, err := scan([]byte(`{"amount":5,"text":"no account"}`)); err == nil {
		t.Error("no account is no error")
	}
}

// The guest that is kept compiled is the one whose source is kept.
func TestGuestIsItsSource(t *testing.T) {
	wat2wasm := testutil.Tool(t, "wat", "wat2wasm")
	out := filepath.Join(t.TempDir(), "balance.wasm")
	if b, err := exec.Command(wat2wasm, "guests/balance.wat", "-o", out).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("guests/balance.wasm")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("guests/balance.wasm is not what guests/balance.wat says: assemble it again (%v)", err)
	}
}
