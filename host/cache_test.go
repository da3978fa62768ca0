package host

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	w "gnomon/internal/testutil/wasmgen"
)

// What is wrong with the cache of compiled modules is not taken for a fault of the
// module: the error names the folder and what to do.
func TestCacheThatCannotBeUsed(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(t *testing.T, entry string) // a file of the cache, which holds the module
		want  []string
	}{
		{"a file where its folder was", func(t *testing.T, entry string) {
			folder := filepath.Dir(entry)
			if err := errors.Join(os.RemoveAll(folder), os.WriteFile(folder, nil, 0o600)); err != nil {
				t.Fatal(err)
			}
		}, []string{"cannot be kept in the cache of compiled modules ", ": not a directory: make room there, or make it a folder that can be written"}},
		{"a folder that is gone", func(t *testing.T, entry string) {
			if err := os.RemoveAll(filepath.Dir(entry)); err != nil {
				t.Fatal(err)
			}
		}, []string{"cannot be kept in the cache of compiled modules ", ": no such file or directory: make room there"}},
		{"an entry that was cut", func(t *testing.T, entry string) {
			if err := os.Truncate(entry, 3); err != nil {
				t.Fatal(err)
			}
		}, []string{"cannot be loaded from the cache of compiled modules ", ": remove that folder, it is made anew"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			module := w.Module{Pages: 1, Funcs: []w.Func{w.Apply(w.I32Const(0))}}
			if err := loadThrough(t, dir, module.Bytes()); err != nil {
				t.Fatal(err)
			}
			fresh := newHost(t, dir)
			tt.spoil(t, fileIn(t, dir))
			_, err := fresh.Load(t.Context(), module.Bytes(), Limits{Memory: testMemory})
			for _, want := range append(tt.want, dir) {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error = %v, want %q in it", err, want)
				}
			}
		})
	}
}

// newHost makes a host with a cache, closed at the end.
func newHost(t *testing.T, dir string) *Host {
	t.Helper()
	h, err := New(t.Context(), Options{CacheDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close(context.Background()) })
	return h
}

// loadThrough compiles a module with a host of its own, which leaves it in the cache.
func loadThrough(t *testing.T, dir string, module []byte) error {
	t.Helper()
	m, err := newHost(t, dir).Load(t.Context(), module, Limits{Memory: testMemory})
	if err != nil {
		return err
	}
	return m.Close(t.Context())
}

// fileIn returns the only file below a folder.
func fileIn(t *testing.T, dir string) string {
	t.Helper()
	var files []string
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	}); err != nil || len(files) != 1 {
		t.Fatalf("the cache has %q (%v), want one file", files, err)
	}
	return files[0]
}
