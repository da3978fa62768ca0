package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"

	"gnomon/engine/state"
)

// Offline is a data directory that no engine runs on, opened for reading. It
// implements state.Store, and changes no byte of the directory.
type Offline struct {
	path    string
	lock    *flock.Flock
	catalog *Catalog
	log     *slog.Logger
}

var _ state.Store = (*Offline)(nil)

// OpenOffline opens a data directory for reading. It fails with a *LockedError
// when an engine runs on it.
func OpenOffline(path string, log *slog.Logger) (*Offline, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("open data directory: %w", err)
	}
	l, err := lockShared(path)
	if err != nil {
		return nil, err
	}
	c := &Catalog{dir: path}
	if err := c.read(); err != nil {
		return nil, errors.Join(fmt.Errorf("open catalog: %w", err), l.Unlock())
	}
	return &Offline{path: path, lock: l, catalog: c, log: log}, nil
}

// Catalog returns the directory's catalog. It must not be updated.
func (o *Offline) Catalog() *Catalog { return o.catalog }

// Remove implements state.Store: nothing is removed from what is only read.
func (o *Offline) Remove(projection, generation string) error {
	return fmt.Errorf("remove keyspace %s/%s: %w", projection, generation, errors.ErrUnsupported)
}

// Open implements state.Store; create is not heeded.
func (o *Offline) Open(_ context.Context, projection, generation string, _ bool) (state.Keyspace, error) {
	dir := keyspaceDir(o.path, projection, generation)
	id, err := readIdentity(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s/%s", state.ErrNoKeyspace, projection, generation)
	}
	if err != nil {
		return nil, fmt.Errorf("open keyspace %s/%s: %w", projection, generation, err)
	}
	k, err := openCopy(dir, id, o.log)
	if err != nil {
		return nil, fmt.Errorf("open keyspace %s/%s: %w", projection, generation, err)
	}
	return k, nil
}

// Close gives the directory back. Keyspaces must be closed before.
func (o *Offline) Close() error { return o.lock.Unlock() }

// copyKeyspace is a keyspace on a private copy of its files.
type copyKeyspace struct {
	*Keyspace
	dir string
}

// Close closes the copy and removes it.
func (c *copyKeyspace) Close() error { return errors.Join(c.Keyspace.Close(), os.RemoveAll(c.dir)) }

// DiskBytes is the size of the original.
func (c *copyKeyspace) DiskBytes() int64 { return diskBytes(c.Keyspace.dir) }

// openCopy opens a database through links to its tables and copies of its small
// files. Badger cannot open one read-only that was not closed, and opening it for
// writing would change it.
func openCopy(dir string, id identity, log *slog.Logger) (state.Keyspace, error) {
	k := &Keyspace{dir: dir, identity: id, readOnly: true, holds: map[state.Version]int{}, kept: state.MaxVersion}
	if err := k.guard(); err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp("", "gnomon-offline-")
	if err != nil {
		return nil, err
	}
	if err := linkFiles(k.dbDir(), tmp); err != nil {
		return nil, errors.Join(err, os.RemoveAll(tmp))
	}
	k.db, err = openDB(k.dbDir(), dbOptions(tmp).WithNumCompactors(0).WithLogger(badgerLog{log}))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(tmp))
	}
	if err := k.findLatest(); err != nil {
		return nil, errors.Join(err, k.db.Close(), os.RemoveAll(tmp))
	}
	return &copyKeyspace{Keyspace: k, dir: tmp}, nil
}

// writable reports whether a file can be opened for writing, as Badger opens all of
// its files: on a file system that is mounted for reading none can. A variable for tests.
var writable = func(path string) bool {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	return f.Close() == nil
}

// linkFiles makes dst look like src: tables, which Badger never changes, are
// linked where that will do; all else is copied.
func linkFiles(src, dst string) error {
	src, err := filepath.Abs(src)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(src)
	if err != nil {
		return err
	}
	for _, e := range entries {
		from, to := filepath.Join(src, e.Name()), filepath.Join(dst, e.Name())
		switch {
		case e.Name() == lockFile || strings.HasSuffix(e.Name(), ".lock"):
		case strings.HasSuffix(e.Name(), ".sst") && writable(from):
			err = os.Symlink(from, to)
		default:
			err = copyFile(from, to)
		}
		if err != nil {
			return fmt.Errorf("copy for reading: %w", err)
		}
	}
	return nil
}

// copyFile copies a file and leaves its holes out.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(&sparseWriter{f: out}, in)
	return errors.Join(err, out.Truncate(info.Size()), out.Close())
}

// sparseWriter skips blocks of zeros instead of writing them.
type sparseWriter struct {
	f   *os.File
	off int64
}

// zeros is a block of them.
var zeros [4096]byte

func (w *sparseWriter) Write(p []byte) (int, error) {
	for i := 0; i < len(p); i += len(zeros) {
		part := p[i:min(i+len(zeros), len(p))]
		if !bytes.Equal(part, zeros[:len(part)]) {
			if _, err := w.f.WriteAt(part, w.off+int64(i)); err != nil {
				return i, err
			}
		}
	}
	w.off += int64(len(p))
	return len(p), nil
}
