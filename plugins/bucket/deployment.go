// Package bucket keeps modules in an object store of JetStream (nats.go): Deploy puts one
// there, and a Mirror has a folder hold what is there, which is then a folder of modules
// as any other. It knows nothing of what is in a module.
//
// A deployment is one object, named as the module without ".wasm": a tar file of
// NAME.wasm and, where there are any, NAME.toml and NAME.wasm.minisig. So it is there as
// a whole or not at all.
package bucket

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"gnomon/plugins/intact"
)

const (
	// MaxBytes bounds a deployment, all its files together.
	MaxBytes = 256 << 20
	// maxModules bounds a bucket.
	maxModules = 1000
)

// ErrBad says that something is no deployment: a name, a file, a size that cannot be.
var ErrBad = errors.New("no deployment of a module")

// Deployment is a module with what belongs to it.
type Deployment struct {
	Name  string            // of the module, without ".wasm"
	Files map[string][]byte // NAME.wasm, and if there are any NAME.toml and NAME.wasm.minisig
}

// A name is a file's name in every file system, and is no option of a command.
var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// CheckName fails with ErrBad when a module cannot be deployed by a name.
func CheckName(name string) error {
	if !validName.MatchString(name) {
		return fmt.Errorf("%w: the name %.120q: use up to 100 of letters, digits, ., - and _, of which the first is a letter or a digit", ErrBad, name)
	}
	return nil
}

// filesOf are the files that a deployment may have; the first it must have.
func filesOf(name string) []string {
	return []string{name + ".wasm", name + ".toml", name + ".wasm.minisig"}
}

// Read reads a module, and what belongs to it from the same folder. It fails with
// intact.ErrChanging when one of the files is being written.
func Read(path string) (Deployment, error) {
	name, ok := strings.CutSuffix(filepath.Base(path), ".wasm")
	if !ok {
		return Deployment{}, fmt.Errorf("%w: %s is not named as a module, NAME.wasm", ErrBad, path)
	}
	d := Deployment{Name: name, Files: map[string][]byte{}}
	for i, file := range filesOf(name) {
		beside := filepath.Join(filepath.Dir(path), file)
		b, err := intact.ReadFile(beside, MaxBytes)
		switch {
		case i > 0 && errors.Is(err, fs.ErrNotExist):
			continue
		case errors.Is(err, fs.ErrNotExist):
			return Deployment{}, err
		case err != nil:
			return Deployment{}, fmt.Errorf("%s %w", beside, err)
		}
		d.Files[file] = b
	}
	return d, d.check()
}

// check fails with ErrBad for what no deployment can be.
func (d Deployment) check() error {
	if err := CheckName(d.Name); err != nil {
		return err
	}
	may, size := filesOf(d.Name), 0
	for file, b := range d.Files {
		if !slices.Contains(may, file) {
			return fmt.Errorf("%w: it holds a file %.120q, and may hold %s", ErrBad, file, strings.Join(may, ", "))
		}
		size += len(b)
	}
	switch {
	case d.Files[may[0]] == nil:
		return fmt.Errorf("%w: it holds no file %s", ErrBad, may[0])
	case size > MaxBytes:
		return fmt.Errorf("%w: its files have %d bytes: the limit is %d", ErrBad, size, MaxBytes)
	}
	return nil
}

// SHA256 is the digest of the module, in hex.
func (d Deployment) SHA256() string { return digest(d.Files[d.Name+".wasm"]) }

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// digests are those of the files, in hex, by name.
func (d Deployment) digests() map[string]string {
	all := map[string]string{}
	for file, b := range d.Files {
		all[file] = digest(b)
	}
	return all
}

// names are the files of the deployment, sorted.
func (d Deployment) names() []string { return slices.Sorted(maps.Keys(d.Files)) }

// Pack makes the object of a deployment. The same files make the same bytes.
func (d Deployment) Pack() ([]byte, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, file := range d.names() {
		if err := w.WriteHeader(&tar.Header{Name: file, Mode: 0o600, Size: int64(len(d.Files[file]))}); err != nil {
			return nil, fmt.Errorf("pack %s: %w", file, err)
		}
		if _, err := w.Write(d.Files[file]); err != nil {
			return nil, fmt.Errorf("pack %s: %w", file, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack %s: %w", d.Name, err)
	}
	return out.Bytes(), nil
}

// maxPacked is more than Pack makes of the largest deployment, in bytes.
const maxPacked = MaxBytes + 64<<10

// Unpack reads what Pack made of the deployment of a module. Whatever the bytes are, it
// fails with ErrBad or returns files that may be written by their names.
func Unpack(name string, object []byte) (Deployment, error) {
	d := Deployment{Name: name, Files: map[string][]byte{}}
	if err := CheckName(name); err != nil {
		return Deployment{}, err
	}
	if len(object) > maxPacked {
		return Deployment{}, fmt.Errorf("%w: the object has %d bytes: the limit is %d", ErrBad, len(object), maxPacked)
	}
	if !bytes.HasSuffix(object, make([]byte, 1024)) {
		return Deployment{}, fmt.Errorf("%w: it is no tar file, or a part of one", ErrBad)
	}
	for r := tar.NewReader(bytes.NewReader(object)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return d, d.check()
		}
		if err != nil {
			return Deployment{}, fmt.Errorf("%w: it is no tar file: %w", ErrBad, err)
		}
		if h.Typeflag != tar.TypeReg || d.Files[h.Name] != nil || len(d.Files) > len(filesOf(name)) {
			return Deployment{}, fmt.Errorf("%w: it holds %.120q twice, or not as a regular file", ErrBad, h.Name)
		}
		if h.Size > int64(len(object)) {
			return Deployment{}, fmt.Errorf("%w: it holds %.120q with %d bytes, and has %d itself", ErrBad, h.Name, h.Size, len(object))
		}
		b, err := io.ReadAll(r)
		if err != nil {
			return Deployment{}, fmt.Errorf("%w: it ends within %.120q: %w", ErrBad, h.Name, err)
		}
		d.Files[h.Name] = b
	}
}
