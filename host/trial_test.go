package host

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	w "gnomon/internal/testutil/wasmgen"
)

// trialHost tries what it loads in processes of their own.
func trialHost(t *testing.T) (h *Host, cache string) {
	t.Helper()
	cache = t.TempDir()
	h, err := New(t.Context(), Options{CacheDir: cache, Trials: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close(context.Background()) })
	return h, cache
}

var quickLimits = Limits{Memory: testMemory, Compile: time.Second}

// slow is a module whose compilation takes many seconds, though it is small.
func slow() []byte {
	code := bytes.Repeat([]byte{0x41, 0x00, 0x04, 0x40, 0x0b}, 60_000) // i32.const 0; if; end
	return w.Module{Pages: 1, Funcs: []w.Func{w.Apply(code, w.I32Const(0))}}.Bytes()
}

// A module that is made to be slow, or that does not come to an end of its start, is
// refused by the process that tries it, with the limit; this one never touches it.
func TestTrialLimits(t *testing.T) {
	first := uint32(0)
	for name, module := range map[string][]byte{
		"compiles slowly": slow(),
		"never starts":    w.Module{Pages: 1, Start: &first, Funcs: []w.Func{{Code: [][]byte{w.Loop, w.Br(0), w.End}}, w.Apply(w.I32Const(0))}}.Bytes(),
	} {
		h, cache := trialHost(t)
		for range 2 { // that it failed is not forgotten as if it had passed
			_, err := h.Load(t.Context(), module, quickLimits)
			if err == nil || !strings.Contains(err.Error(), "takes more than 1s to compile and to start: the limit is projection.limits.compile_time") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if marks, _ := filepath.Glob(filepath.Join(cache, "tried-*")); len(marks) != 0 {
			t.Errorf("%s: %v", name, marks)
		}
	}
}

// A module is tried once: what it compiled to is then in the cache.
func TestTrialPasses(t *testing.T) {
	h, cache := trialHost(t)
	module := w.Module{Pages: 1, Funcs: []w.Func{w.Apply(w.I32Const(0))}}.Bytes()
	if _, err := h.Load(t.Context(), module, quickLimits); err != nil {
		t.Fatal(err)
	}
	marks, err := filepath.Glob(filepath.Join(cache, "tried-*"))
	if err != nil || len(marks) != 1 {
		t.Fatalf("%v, %v", marks, err)
	}
	before, err := os.Stat(marks[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Load(t.Context(), module, quickLimits); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(marks[0]); err != nil || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("it was tried again: %v", err)
	}
}

// What a trial finds wrong reads as it does without one.
func TestTrialRefuses(t *testing.T) {
	h, _ := trialHost(t)
	module := w.Module{Pages: 1, Funcs: []w.Func{w.Apply(w.I64Const(0))}}.Bytes() // another type than it declares
	_, err := h.Load(t.Context(), module, quickLimits)
	_, plain := testHost.Load(t.Context(), module, quickLimits)
	if err == nil || plain == nil || err.Error() != plain.Error() {
		t.Errorf("%v, want %v", err, plain)
	}
}
