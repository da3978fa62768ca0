//go:build linux

package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gnomon/engine/guest"
)

// denied makes this test program one that the system refuses executable memory to.
const denied = "GNOMON_HOST_TEST_DENIED"

const (
	prSetMDWE            = 65 // prctl(2), since Linux 6.3: memory-deny-write-execute
	prMDWERefuseExecGain = 1
)

// denyExecutableMemory is what systemd does for MemoryDenyWriteExecute=true: no memory can
// become executable any more. It cannot be taken back.
func denyExecutableMemory() error {
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, prSetMDWE, prMDWERefuseExecGain, 0, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// Where the system refuses executable memory, a host says that it interprets, with and
// without a cache and trials, and modules run: with the results and the fuel that they
// have when they are compiled.
func TestNoExecutableMemory(t *testing.T) {
	if cache := os.Getenv(denied); cache != "" {
		switch err := denyExecutableMemory(); {
		case errors.Is(err, syscall.EINVAL):
			fmt.Println("cannot be denied")
			return
		case err != nil:
			t.Fatal(err)
		}
		for _, o := range []Options{{}, {CacheDir: cache, Trials: true}} {
			fmt.Println(countOnce(t, o))
		}
		return
	}
	c, cache := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestNoExecutableMemory$"), t.TempDir()
	c.Env = append(os.Environ(), denied+"="+cache)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if strings.Contains(string(out), "cannot be denied") {
		t.Skip("the kernel is older than 6.3")
	}
	compiled := countOnce(t, Options{})
	interpreted := strings.Replace(compiled, "compiler true", "compiler false", 1)
	if compiled == interpreted || strings.Count(string(out), interpreted+"\n") != 2 {
		t.Errorf("%s\nwant twice %s", out, interpreted)
	}
	if marks, err := filepath.Glob(filepath.Join(cache, "tried-*")); err != nil || len(marks) != 1 {
		t.Errorf("the module was not tried: %v, %v", marks, err)
	}
}

// countOnce has a host of its own run a module, and says what came of it.
func countOnce(t *testing.T, o Options) string {
	t.Helper()
	h, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := h.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	module, err := os.ReadFile("testdata/count.wasm")
	if err != nil {
		t.Fatal(err)
	}
	m, err := h.Load(t.Context(), module, Limits{Memory: testMemory, Fuel: testFuel})
	if err != nil {
		t.Fatal(err)
	}
	in, err := m.Instantiate(t.Context(), guest.Config{Memory: testMemory})
	if err != nil {
		t.Fatal(err)
	}
	st := &mapState{rows: map[string]string{}}
	if err := in.Apply(t.Context(), batch("a", "b", "a"), st); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("compiler %v, state %q, fuel %d", h.Compiler(), st.rows, in.Fuel())
}
