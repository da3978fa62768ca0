package gnomon_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"gnomon/engine/guest"
	"gnomon/engine/testdriver"
	"gnomon/host"
	"gnomon/internal/testutil"
	"gnomon/sdk/abi"
)

func TestMain(m *testing.M) {
	if host.IsTrial() {
		os.Exit(host.ServeTrial())
	}
	os.Exit(m.Run())
}

// tiny compiles a projection as authors do with TinyGo.
func tiny(t *testing.T, dir string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "module.wasm")
	cmd := exec.Command(testutil.Tool(t, "tinygo", "tinygo"), "build", "-target=wasip1", "-buildmode=c-shared",
		"-gc=conservative", "-scheduler=none", "-opt=2", "-no-debug", "-o", out, dir)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tinygo %s: %v\n%s", dir, err, text)
	}
	module, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return module
}

// Every part of the SDK builds with TinyGo, exports what it is for, and is small where it
// uses neither fmt nor encoding/json.
func TestTinyGoModules(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles with TinyGo")
	}
	for _, m := range []struct {
		name, export string
		most         int // bytes
	}{
		{"plain", abi.ExportApply, 70_000},
		{"emits", abi.ExportApply, 70_000},
		{"upcasts", abi.ExportUpcast, 500_000},
		{"answers", abi.ExportQuery, 500_000},
		{"remembers", abi.ExportRestore, 500_000},
	} {
		t.Run(m.name, func(t *testing.T) {
			module := tiny(t, "./testdata/"+m.name)
			b, err := host.Inspect(module)
			if err != nil {
				t.Fatal(err)
			}
			exported := false
			for _, e := range b.Exports {
				exported = exported || e.Name == m.export
			}
			if !exported || len(module) > m.most {
				t.Errorf("%d bytes, at most %d are expected; exports %s: %v", len(module), m.most, m.export, exported)
			}
		})
	}
}

// A million events leave the memory of a module of TinyGo as large as the first twenty
// thousand did: its garbage collector finds what is no longer used.
func TestTinyGoMemoryStaysFlat(t *testing.T) {
	if testing.Short() {
		t.Skip("applies a million events")
	}
	const batch, warm, all = 256, 20_000, 1_000_000
	sandbox, err := host.New(t.Context(), host.Options{CacheDir: testutil.Compiled(t.TempDir())})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sandbox.Close(context.Background()) })
	module, err := sandbox.Load(t.Context(), tiny(t, "../../examples/wasm-projections/account-balances/go"), host.Limits{Memory: 64 << 20, Fuel: 500_000_000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { module.Close(context.Background()) })
	session, err := testdriver.NewSession(t.Context(), testdriver.Subject{Module: module}, guest.Surroundings{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close(context.Background()) })
	call := func(kind, data string, count int) {
		r := abi.Record{Sequence: 1, Subject: []byte("s"), Data: []byte(data)}
		r.Headers, _ = abi.AppendHeader(nil, "ce-type", kind)
		var records []byte
		for range count {
			records = r.Append(records)
		}
		if _, err := session.Call(t.Context(), records); err != nil {
			t.Fatal(err)
		}
	}
	call("account.opened", `{"account":"a","owner":"tab\tand \"quotes\""}`, 1)
	var early uint64
	for n := 0; n < all; n += batch {
		call("account.deposited", `{"account":"a","amount":1}`, batch)
		if n < warm {
			early = session.Instance().MemoryBytes()
		}
	}
	if late := session.Instance().MemoryBytes(); late > early {
		t.Errorf("%d bytes after %d events, %d after %d", late, all, early, warm)
	}
}
