package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestMain makes the test binary act as the command when it is run as one of the
// suite's own processes.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "server" || os.Args[1] == "contend") {
		main()
		return
	}
	os.Exit(m.Run())
}

// Every contender does the whole work on a short stream: it fails when its balances
// do not add up.
func TestSuite(t *testing.T) {
	results := filepath.Join(t.TempDir(), "results.json")
	if err := run(t.Context(), []string{"-events", "2000", "-rounds", "1", "-results", results, "-work", t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(results)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Contenders []result
		Ratios     []ratio
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Contenders) != len(contenders) || len(got.Ratios) != len(goals) {
		t.Errorf("%d contenders and %d ratios, want %d and %d", len(got.Contenders), len(got.Ratios), len(contenders), len(goals))
	}
	for _, r := range got.Contenders {
		if r.Median <= 0 {
			t.Errorf("%+v", r)
		}
	}
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
	if _, err := exec.LookPath("wat2wasm"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("wat2wasm is missing (Debian: wabt)")
		}
		t.Skip("wat2wasm is missing (Debian: wabt)")
	}
	out := filepath.Join(t.TempDir(), "balance.wasm")
	if b, err := exec.Command("wat2wasm", "guests/balance.wat", "-o", out).CombinedOutput(); err != nil {
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
