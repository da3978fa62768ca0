package js_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gnomon/internal/testutil"
)

// quickjs.wasm is what runtime/build.sh makes of QuickJS's source and of the code here: the
// same bytes, so nothing is in it that cannot be read. With another version of clang they
// may differ, and it has to be built and committed again.
func TestRuntimeIsBuiltFromSource(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles QuickJS")
	}
	for _, program := range []string{"clang-19", "wasm-ld-19", "curl", "xz"} {
		testutil.Tool(t, "javascript", program)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	built := filepath.Join(t.TempDir(), "quickjs.wasm")
	out, err := exec.CommandContext(t.Context(), "runtime/build.sh", built, filepath.Join(cache, "gnomon", "quickjs")).CombinedOutput()
	if err != nil {
		if strings.Contains(string(out), "curl: ") && !testutil.AllToolchains() {
			t.Skipf("the source of QuickJS cannot be had: %s", out)
		}
		t.Fatalf("%v\n%s", err, out)
	}
	got, err := os.ReadFile(built)
	if err != nil {
		t.Fatal(err)
	}
	if want, err := os.ReadFile("quickjs.wasm"); err != nil || !bytes.Equal(got, want) {
		version, _ := exec.CommandContext(t.Context(), "clang-19", "--version").Output()
		t.Errorf("quickjs.wasm is not what runtime/build.sh makes (%v) with %.100s: run sdk/js/runtime/build.sh sdk/js/quickjs.wasm", err, version)
	}
}
