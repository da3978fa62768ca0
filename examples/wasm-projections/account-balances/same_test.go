package accountbalances_test

import (
	"bytes"
	"io/fs"
	"testing"

	accountbalances "gnomon/examples/wasm-projections/account-balances"
)

// The projection for TinyGo is the one for Go, to the byte: only how it is built differs.
func TestTinyGoHasTheSourceOfGo(t *testing.T) {
	sources, err := fs.Glob(accountbalances.Files, "go/*.go")
	if err != nil || len(sources) == 0 {
		t.Fatalf("found %q, %v", sources, err)
	}
	for _, file := range sources {
		of, err := fs.ReadFile(accountbalances.Files, file)
		if err != nil {
			t.Fatal(err)
		}
		if copied, err := fs.ReadFile(accountbalances.Files, "tiny"+file); err != nil || !bytes.Equal(copied, of) {
			t.Errorf("tiny%s is not the same (%v): copy go/*.go to tinygo/", file, err)
		}
	}
}
