package count

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"gnomon/internal/testutil"
)

// The module in the repository is what its source says, byte for byte.
func TestModuleIsAssembledFromSource(t *testing.T) {
	wat2wasm := testutil.Tool(t, "wat", "wat2wasm")
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
