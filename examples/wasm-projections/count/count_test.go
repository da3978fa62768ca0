package count

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The module in the repository is what its source says, byte for byte.
func TestModuleIsAssembledFromSource(t *testing.T) {
	wat2wasm, err := exec.LookPath("wat2wasm")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("wat2wasm is not installed, and CI is set: install wabt")
		}
		t.Skip("wat2wasm is not installed, so count.wasm is not compared with count.wat: install wabt")
	}
	assembled := filepath.Join(t.TempDir(), "count.wasm")
	if out, err := exec.Command(wat2wasm, "count.wat", "-o", assembled).CombinedOutput(); err != nil {
		t.Fatalf("wat2wasm count.wat: %v\n%s", err, out)
	}
	want, err := os.ReadFile(assembled)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("count.wasm")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("count.wasm has %d bytes that are not those of count.wat, %d bytes: run wat2wasm count.wat -o count.wasm", len(got), len(want))
	}
}
