package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"gnomon/engine/state"
)

var _ state.Importer = (*Dir)(nil)

// importPrefix begins the names of directories in which keyspaces are made. No
// generation has such a name.
const importPrefix = ".import-"

// Import implements state.Importer. A new keyspace is made in a directory with a
// temporary name, which is renamed when all of it was read back, and is on disk.
func (d *Dir) Import(ctx context.Context, projection, generation string, in state.Import) (ck state.Checkpoint, err error) {
	if err = in.Check(); err == nil {
		err = d.roomFor(in)
	}
	switch {
	case err != nil:
	case in.Base == nil:
		ck, err = d.importNew(ctx, projection, generation, in)
	default:
		ck, err = d.importOnto(ctx, projection, generation, in)
	}
	if err != nil {
		return state.Checkpoint{}, fmt.Errorf("import into keyspace %s/%s: %w", projection, generation, err)
	}
	return ck, nil
}

// roomFor refuses an import that the disk has no room for.
func (d *Dir) roomFor(in state.Import) error {
	need := uint64(keyspaceRoom)
	if in.Base == nil {
		need += uint64(max(0, in.Steps[len(in.Steps)-1].Bytes))
	}
	if err := d.room(need); err != nil {
		return fmt.Errorf("%w; nothing was touched", err)
	}
	return nil
}

func (d *Dir) importNew(ctx context.Context, projection, generation string, in state.Import) (ck state.Checkpoint, err error) {
	dir := keyspaceDir(d.path, projection, generation)
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return ck, errors.Join(fmt.Errorf("%w: %s: remove it, or import into another generation", state.ErrKeyspaceExists, dir), err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return ck, err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), importPrefix)
	if err != nil {
		return ck, err
	}
	defer os.RemoveAll(tmp) // of no effect once it is renamed
	id, err := d.create(tmp, projection, generation)
	if err != nil {
		return ck, err
	}
	k, err := openKeyspace(tmp, id, d.log.With("projection", projection, "generation", generation))
	if err != nil {
		return ck, err
	}
	k.room = d.room
	if err = k.take(ctx, in); err == nil {
		ck, err = Verify(k)
	}
	if err := errors.Join(err, k.Close()); err != nil {
		return ck, err
	}
	if err := syncTree(tmp); err != nil {
		return ck, err
	}
	if err := os.Rename(tmp, dir); err != nil { // onto another one it fails
		return ck, err
	}
	return ck, errors.Join(syncPath(filepath.Dir(dir)), syncPath(filepath.Dir(filepath.Dir(dir))))
}

// importOnto brings a keyspace forward. What is written before the checkpoints are is
// left above the newest one when it fails, and not seen.
func (d *Dir) importOnto(ctx context.Context, projection, generation string, in state.Import) (ck state.Checkpoint, err error) {
	ks, err := d.Open(ctx, projection, generation, false)
	if err != nil {
		return ck, err
	}
	ks.Keep(ks.Oldest())
	if err = ks.(*Keyspace).take(ctx, in); err == nil {
		ck, err = ks.Latest()
	}
	return ck, errors.Join(err, ks.Close())
}

// syncTree syncs the files and directories below a path.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return syncPath(path)
	})
}

// dropCutOffImports removes what imports left that were cut off. What cannot be removed
// only takes room.
func dropCutOffImports(data string, log *slog.Logger) {
	root := os.DirFS(data)
	left, _ := fs.Glob(root, "projections/*/"+importPrefix+"*") // the pattern is sound
	for _, name := range left {
		dir := filepath.Join(data, filepath.FromSlash(name))
		if err := os.RemoveAll(dir); err != nil {
			log.Warn("an import that was cut off cannot be removed", "folder", dir, "error", err)
			continue
		}
		log.Info("an import that was cut off is removed", "folder", dir)
	}
}
