// Package plugins is where modules come from: a folder (os.Root). It knows
// nothing of what is in a module.
package plugins

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// Folder is a folder of modules. Nothing outside it can be reached through it.
type Folder struct {
	path string
	root *os.Root
}

// Module is a file of the folder, read once: what was hashed is what is used.
type Module struct {
	Name   string
	Bytes  []byte
	SHA256 string // in hex
}

// Open opens a folder.
func Open(path string) (*Folder, error) {
	root, err := os.OpenRoot(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("folder of modules %s does not exist: create it, or set plugins.dir to the one that holds your modules", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open folder of modules %s: %w", path, err)
	}
	return &Folder{path: path, root: root}, nil
}

// Load reads a module of at most limit bytes.
func (f *Folder) Load(name string, limit int64) (Module, error) {
	file, err := f.root.Open(name)
	if err != nil {
		return Module{}, f.explain(name, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return Module{}, f.explain(name, err)
	}
	if !info.Mode().IsRegular() {
		return Module{}, fmt.Errorf("module %s in %s is not a regular file but %s", name, f.path, info.Mode().Type())
	}
	// One byte more than the limit tells a file that grew meanwhile.
	b, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return Module{}, f.explain(name, err)
	}
	if int64(len(b)) > limit {
		return Module{}, fmt.Errorf("module %s in %s has %d bytes or more: the limit is %d (projection.limits.module)", name, f.path, max(info.Size(), int64(len(b))), limit)
	}
	sum := sha256.Sum256(b)
	return Module{Name: name, Bytes: b, SHA256: hex.EncodeToString(sum[:])}, nil
}

// explain says what is wrong with a file, and what is there instead.
func (f *Folder) explain(name string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("module %s in %s: %w", name, f.path, err)
	}
	names, lerr := f.List()
	if lerr != nil || len(names) == 0 {
		return fmt.Errorf("module %s is not in %s, which holds no modules: build them, or set plugins.dir", name, f.path)
	}
	return fmt.Errorf("module %s is not in %s, which holds %s", name, f.path, strings.Join(names, ", "))
}

// List names the modules of the folder, sorted.
func (f *Folder) List() ([]string, error) {
	entries, err := fs.ReadDir(f.root.FS(), ".")
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", f.path, err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".wasm") {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Close closes the folder.
func (f *Folder) Close() error { return f.root.Close() }
