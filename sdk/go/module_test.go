package gnomon_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"gnomon/host"
	"gnomon/sdk/abi"
)

// build compiles a projection of testdata as authors do.
func build(t *testing.T, name string) *host.Binary {
	t.Helper()
	b, err := host.Inspect(compile(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func compile(t *testing.T, name string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), name+".wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", out, "./testdata/"+name)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, text)
	}
	module, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return module
}

// A module asks its host for what it uses, and offers what it has: the engine
// decides by that what it needs.
func TestModulesImportWhatTheyUse(t *testing.T) {
	always := []string{abi.ImportBatchRead, abi.ImportFail}
	upcasts := []string{abi.ImportConfigRead, abi.ImportInputRead, abi.ImportOutputWrite}
	for _, m := range []struct {
		name             string
		imports, exports []string
	}{
		{"plain", []string{abi.ImportStatePut}, nil},
		{"emits", []string{abi.ImportEmit}, nil},
		{"upcasts", upcasts, []string{abi.ExportUpcast}},
		{"answers", []string{abi.ImportStatePut, abi.ImportStateGet, abi.ImportStateScan, abi.ImportInputRead, abi.ImportOutputWrite}, []string{abi.ExportQuery}},
		{"remembers", []string{abi.ImportBlobRead, abi.ImportBlobWrite, abi.ImportStatePut}, []string{abi.ExportSnapshot, abi.ExportRestore, abi.ExportMigrate}},
	} {
		t.Run(m.name, func(t *testing.T) {
			b := build(t, m.name)
			var imports, exports []string
			for _, i := range b.Imports {
				if i.Module == abi.Module {
					imports = append(imports, i.Name)
				}
			}
			for _, e := range b.Exports {
				exports = append(exports, e.Name)
			}
			same(t, "imports", imports, append(m.imports, always...))
			same(t, "exports", exports, append(m.exports, abi.ExportMemory, abi.ExportInitialize, abi.ExportInit, abi.ExportApply))
		})
	}
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s are %q, want %q", what, got, want)
	}
}
