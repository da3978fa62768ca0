// Package plugins is where modules come from: folders (os.Root), what tells that
// something in them changed (fsnotify, and polling), and whom they are trusted from
// (digests, minisign). It knows nothing of what is in a module. Modules in JetStream are
// in the package bucket below it.
package plugins

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gnomon/plugins/intact"
)

// ErrChanging says that a file is being written or replaced just now: reading it again
// later may succeed.
var ErrChanging = intact.ErrChanging

// Folder is a folder of modules. Nothing outside it can be reached through it. It stays
// the folder that it was opened as, though another one may be put in its place.
type Folder struct {
	path string
	root *os.Root
}

// Module is a file of the folder, read once: what was hashed is what is used.
type Module struct {
	Name   string
	Folder string // its path
	Bytes  []byte
	SHA256 string // in hex
	// Signature is the content of the file NAME.minisig beside it; nil when there is none.
	Signature []byte

	unsigned error // why there is a signature that could not be read
}

// maxSignature is more than a signature with the longest comments has, in bytes.
const maxSignature = 32 << 10

// Load reads a module of at most limit bytes from the one of some folders that holds it;
// it is refused when two of them do. Of several folders some may not exist. It fails with
// fs.ErrNotExist when none holds it, and with ErrChanging when the file is being written.
func Load(folders []string, name string, limit int64) (Module, error) {
	var held []*Folder
	var tried []string
	for _, path := range folders {
		f, err := Open(path)
		switch {
		case errors.Is(err, fs.ErrNotExist) && len(folders) > 1:
			continue
		case err != nil:
			return Module{}, err
		}
		defer f.Close()
		tried = append(tried, f.describe())
		there, err := f.holds(name)
		if err != nil {
			return Module{}, err
		}
		if there || len(folders) == 1 {
			held = append(held, f)
		}
	}
	switch len(held) {
	case 0:
		if len(tried) == 0 {
			return Module{}, absent{folders[0]}
		}
		return Module{}, missing{name, strings.Join(tried, ", nor in ")}
	case 1:
		return held[0].Load(name, limit)
	}
	return Module{}, fmt.Errorf("module %s is in %s and in %s: remove one of them", name, held[0].path, held[1].path)
}

// Open opens a folder.
func Open(path string) (*Folder, error) {
	root, err := os.OpenRoot(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, absent{path}
	}
	if err != nil {
		return nil, fmt.Errorf("open folder of modules %s: %w", path, err)
	}
	return &Folder{path: path, root: root}, nil
}

// absent is the error for a folder that is not there.
type absent struct{ path string }

func (a absent) Error() string {
	return fmt.Sprintf("folder of modules %s does not exist: create it, or set plugins.dir to the one that holds your modules", a.path)
}

func (absent) Is(target error) bool { return target == fs.ErrNotExist }

// missing is the error for a module that is not there.
type missing struct{ module, folders string }

func (m missing) Error() string { return fmt.Sprintf("module %s is not in %s", m.module, m.folders) }

func (missing) Is(target error) bool { return target == fs.ErrNotExist }

// holds reports whether there is something by a name, whatever it is.
func (f *Folder) holds(name string) (bool, error) {
	_, err := f.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, f.explain(name, err)
	}
	return true, nil
}

// Load reads a module of at most limit bytes, and its signature if there is one. It
// fails with ErrChanging when the file is being written.
func (f *Folder) Load(name string, limit int64) (Module, error) {
	b, err := intact.Read(f.root, name, limit)
	if err != nil {
		return Module{}, f.explain(name, err)
	}
	sum := sha256.Sum256(b)
	m := Module{Name: name, Folder: f.path, Bytes: b, SHA256: hex.EncodeToString(sum[:])}
	m.Signature, m.unsigned = intact.Read(f.root, m.signatureName(), maxSignature)
	if errors.Is(m.unsigned, fs.ErrNotExist) {
		m.unsigned = nil
	}
	return m, nil
}

func (m Module) signatureName() string { return m.Name + ".minisig" }

// path is where the file is.
func (m Module) path() string { return filepath.Join(m.Folder, m.Name) }

// explain says what is wrong with a file, and what is there instead.
func (f *Folder) explain(name string, err error) error {
	var large *intact.TooLargeError
	switch {
	case errors.As(err, &large):
		return fmt.Errorf("module %s in %s %w (projection.limits.module)", name, f.path, err)
	case errors.Is(err, intact.ErrNotRegular), errors.Is(err, ErrChanging):
		return fmt.Errorf("module %s in %s %w", name, f.path, err)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("module %s in %s: %w", name, f.path, err)
	}
	return missing{name, f.describe()}
}

// describe says what a folder holds.
func (f *Folder) describe() string {
	names, err := f.List()
	if err != nil || len(names) == 0 {
		return f.path + ", which holds no modules: build them, or set plugins.dir"
	}
	return f.path + ", which holds " + strings.Join(names, ", ")
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
