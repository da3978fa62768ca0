package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/gofrs/flock"

	"gnomon/engine/state"
)

// Dir is a data directory that this process has for itself. It implements
// state.Store.
type Dir struct {
	path    string
	lock    *flock.Flock
	catalog *Catalog
	log     *slog.Logger
	free    func(dir string) (uint64, error)
	watched bool // keyspaces look for room before they write; set before the first is opened

	mu     sync.Mutex // guards closed
	closed bool
}

var _ state.Store = (*Dir)(nil)

// OpenDir takes a data directory, and creates it when it is absent. It fails with
// a *LockedError when another process has it.
func OpenDir(path string, log *slog.Logger) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("create data directory: %w", err)
	}
	l, err := lock(path)
	if err != nil {
		return nil, err
	}
	dropCutOffImports(path, log)
	catalog, err := openCatalog(path)
	if err != nil {
		return nil, errors.Join(err, l.Unlock())
	}
	warnOfNetwork(path, log)
	return &Dir{path: path, lock: l, catalog: catalog, log: log, free: freeBytes}, nil
}

// warnOfNetwork says that a directory is on a network file system. It is not refused: with
// one engine and a server that stays there it works, damage is found by checksums, and what
// is lost is made again from the stream. But whether locks count on other machines is the
// server's affair, and files that Badger maps end the process when they cannot be read.
func warnOfNetwork(path string, log *slog.Logger) {
	if name := network(path); name != "" {
		log.Warn("data directory is on a network file system: it may not keep out an engine on another machine, and the process may die while its server is away",
			"data_dir", path, "file_system", name, "hint", "use a local disk")
	}
}

// Catalog returns the directory's catalog.
func (d *Dir) Catalog() *Catalog { return d.catalog }

// ServeAt notes the address that this process serves HTTP on, so that commands
// find it.
func (d *Dir) ServeAt(address string) error {
	h := readHolder(d.path)
	h.HTTP = address
	return noteHolder(d.path, h)
}

// Open implements state.Store.
func (d *Dir) Open(_ context.Context, projection, generation string, create bool) (state.Keyspace, error) {
	dir := keyspaceDir(d.path, projection, generation)
	id, err := readIdentity(dir)
	if errors.Is(err, fs.ErrNotExist) && !create {
		return nil, fmt.Errorf("%w: %s/%s", state.ErrNoKeyspace, projection, generation)
	}
	if full := d.room(keyspaceRoom); full != nil {
		return nil, fmt.Errorf("open keyspace %s/%s: %w", projection, generation, full)
	}
	if errors.Is(err, fs.ErrNotExist) {
		id, err = d.create(dir, projection, generation)
	}
	if err == nil && (id.Projection != projection || id.Generation != generation) {
		err = fmt.Errorf("%s is the keyspace of %s/%s: move it back", dir, id.Projection, id.Generation)
	}
	if err != nil {
		return nil, fmt.Errorf("open keyspace %s/%s: %w", projection, generation, err)
	}
	k, err := openKeyspace(dir, id, d.log.With("projection", projection, "generation", generation))
	if err != nil {
		return nil, fmt.Errorf("open keyspace %s/%s: %w", projection, generation, err)
	}
	k.room = d.room
	return k, nil
}

// Remove implements state.Store. A crash on the way leaves a part, which is removed the
// next time.
func (d *Dir) Remove(projection, generation string) error {
	dir := keyspaceDir(d.path, projection, generation)
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove keyspace %s/%s: %w", projection, generation, err)
	}
	if err := os.Remove(filepath.Dir(dir)); err == nil { // it was the last one of its projection
		return nil
	}
	return syncPath(filepath.Dir(dir))
}

func keyspaceDir(data, projection, generation string) string {
	return filepath.Join(data, "projections", projection, generation)
}

// create makes an empty keyspace. A database without an identity is not one of
// ours, or lost it: it is left alone.
func (d *Dir) create(dir, projection, generation string) (identity, error) {
	if _, err := os.Stat(filepath.Join(dir, "db")); err == nil {
		return identity{}, fmt.Errorf("%s holds a database, but its identity file %s is missing: %w", dir, identityFile, state.ErrCorrupt)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return identity{}, err
	}
	// The identity comes first: a crash in between leaves one without a database, which
	// is an empty keyspace, and not a database that might have been anything.
	id := identity{Format: Format, Engine: d.catalog.id(), Projection: projection, Generation: generation, Boot: bootID(), Run: 1}
	if err := id.write(dir); err != nil {
		return id, err
	}
	return id, errors.Join(os.Mkdir(filepath.Join(dir, "db"), 0o700), syncPath(filepath.Dir(dir)))
}

// Close gives the directory back. Keyspaces must be closed before.
func (d *Dir) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	return d.lock.Unlock()
}
