package plugins

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func folder(t *testing.T, files map[string]string) (*Folder, string) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, dir
}

func TestLoad(t *testing.T) {
	f, _ := folder(t, map[string]string{"a.wasm": "abc"})
	m, err := f.Load("a.wasm", 3)
	if err != nil {
		t.Fatal(err)
	}
	const sha256abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if string(m.Bytes) != "abc" || m.SHA256 != sha256abc {
		t.Errorf("module = %q, %s", m.Bytes, m.SHA256)
	}
}

// What cannot be loaded is refused by one line that says where it was looked for,
// and what is there.
func TestRefused(t *testing.T) {
	f, dir := folder(t, map[string]string{"a.wasm": "abc", "notes.txt": ""})
	outside := filepath.Join(t.TempDir(), "secret.wasm")
	if err := os.WriteFile(outside, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link.wasm")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "dir.wasm"), 0o700); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, want string }{
		{"b.wasm", "is not in " + dir + ", which holds a.wasm, dir.wasm, link.wasm"},
		{"../secret.wasm", "path escapes"},
		{"link.wasm", "path escapes"},
		{"dir.wasm", "is not a regular file"},
		{"a.wasm", "has 3 bytes or more: the limit is 2 (projection.limits.module)"},
	}
	for _, tt := range tests {
		_, err := f.Load(tt.name, 2)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("Load(%s) = %v, want %q", tt.name, err, tt.want)
		}
	}
	if _, err := Open(filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "set plugins.dir") {
		t.Errorf("Open of no folder = %v", err)
	}
}
