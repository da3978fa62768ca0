package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/engine"
	"gnomon/engine/catalog"
	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
	"gnomon/engine/state"
	"gnomon/engine/store"
)

// reader is what the reading commands ask: a running engine, or a data directory.
type reader interface {
	Projections(ctx context.Context) ([]engine.Status, error)
	Projection(ctx context.Context, name string) (engine.Status, error)
	History(ctx context.Context, projection string) ([]catalog.Change, error)
	Get(ctx context.Context, projection string, key []byte) (wire.Get, error)
	Scan(ctx context.Context, projection string, prefix []byte, limit int, fn func(wire.Row) error) error
	Snapshots(ctx context.Context, projection string) ([]catalog.Snapshot, error)
	Letters(ctx context.Context, projection string, after uint64, limit int, fn func(wire.Letter) error) error
	Close() error
}

// readFlags are the flags of the commands that read a running engine or files.
type readFlags struct {
	cli.Server
	dataDir string
	moment  momentFlags
}

func (f *readFlags) add(c *cobra.Command) {
	f.AddServer(c)
	c.Flags().StringVar(&f.dataDir, "data-dir", "", "read the files of an engine that is not running, instead of asking one")
	c.Flags().BoolVar(&f.JSON, "json", false, "print JSON")
}

func (f *readFlags) open(stderr io.Writer) (reader, error) {
	if f.dataDir != "" {
		return openFilesAt(f.dataDir, stderr, f.moment)
	}
	c, err := f.Client()
	if err != nil {
		return nil, err
	}
	return remote{c.At(f.moment.asked(stderr))}, nil
}

// read runs a command with an open reader.
func (f *readFlags) read(c *cobra.Command, fn func(reader) error) (err error) {
	r, err := f.open(c.ErrOrStderr())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return cli.Explain(fn(r))
}

// remote is a running engine.
type remote struct{ *client.Client }

func (remote) Close() error { return nil }

// files is a data directory that no engine runs on.
type files struct {
	dir    *store.Offline
	moment momentFlags
	stderr io.Writer
}

func openFiles(path string, stderr io.Writer) (reader, error) {
	return openFilesAt(path, stderr, momentFlags{})
}

func openFilesAt(path string, stderr io.Writer, m momentFlags) (reader, error) {
	d, err := store.OpenOffline(path, cli.QuietLog(stderr))
	var locked *store.LockedError
	if errors.As(err, &locked) {
		if locked.Holder.HTTP == "" {
			return nil, cli.WithHint(err, "it serves no HTTP: stop it to read its files")
		}
		return nil, cli.WithHint(err, "ask it: --server %s", cli.BaseOf(locked.Holder))
	}
	if err != nil {
		return nil, err
	}
	return &files{d, m, stderr}, nil
}

func (f *files) Close() error { return f.dir.Close() }

// named returns the id of the generation that a name means, which may end in a role.
func (f *files) named(name string) (projection, generation string, err error) {
	projection, role, err := engine.CutRole(name)
	if err != nil {
		return "", "", err
	}
	r, err := f.record(projection)
	if err != nil {
		return "", "", err
	}
	id := map[engine.Role]string{engine.RoleLive: r.Live, engine.RoleCandidate: r.Candidate, engine.RolePrevious: r.Previous}[role]
	if id == "" {
		return "", "", fmt.Errorf("%w: projection %s has no %s", engine.ErrNoGeneration, projection, role)
	}
	return projection, id, nil
}

// open opens the generation that a name means.
func (f *files) open(ctx context.Context, name string) (state.Keyspace, state.Checkpoint, string, error) {
	projection, id, err := f.named(name)
	if err != nil {
		return nil, state.Checkpoint{}, "", err
	}
	ks, err := f.dir.Open(ctx, projection, id, false)
	if err != nil {
		return nil, state.Checkpoint{}, "", err
	}
	ck, err := ks.Latest()
	if errors.Is(err, state.ErrNoCheckpoint) {
		err = nil // opened, and nothing applied yet
	}
	if err != nil {
		return nil, ck, "", errors.Join(err, ks.Close())
	}
	return ks, ck, id, nil
}

func (f *files) Projections(ctx context.Context) ([]engine.Status, error) {
	var all []engine.Status
	for _, name := range f.dir.Catalog().Names() {
		if f.dir.Catalog().Projection(name).Live == "" {
			continue // it was removed
		}
		s, err := f.Projection(ctx, name)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// Projection returns the status of a projection, or of the generation that the name means.
func (f *files) Projection(ctx context.Context, name string) (s engine.Status, err error) {
	ks, ck, id, err := f.open(ctx, name)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, ks.Close()) }()
	p := ck.Position
	s = engine.Status{
		Projection: name, State: engine.Offline, Stream: p.Stream, Generation: id, Module: p.Module,
		Position: p.Sequence, PositionTime: p.Time, Applied: p.Sequence, Committed: p.Sequence,
		Durable: ks.Durable().Sequence(), StreamLast: p.Sequence, Start: p.Sequence,
		Keys: ck.Keys, Bytes: ck.Bytes, DiskBytes: ks.DiskBytes(), Digest: ck.Digest, Aside: ck.Aside,
	}
	if r := f.dir.Catalog().Projection(name); r.Live == id { // the name has no role
		s.Building = r.Candidate
		s.Candidate, s.Previous = f.beside(ctx, name, engine.RoleCandidate), f.beside(ctx, name, engine.RolePrevious)
	}
	return s, nil
}

// beside is what is known of a generation that is not read; nil: there is none.
func (f *files) beside(ctx context.Context, projection string, role engine.Role) *engine.GenerationStatus {
	name := projection + "@" + string(role)
	_, id, err := f.named(name)
	if err != nil {
		return nil
	}
	s, err := f.Projection(ctx, name)
	if err != nil {
		return &engine.GenerationStatus{ID: id, State: engine.Offline, Reason: err.Error()}
	}
	return &engine.GenerationStatus{ID: id, Module: s.Module, State: engine.Offline, Position: s.Position, Keys: s.Keys, Digest: s.Digest}
}

// view runs fn on the state of a projection.
func (f *files) view(ctx context.Context, projection string, fn func(state.View, state.Checkpoint) error) (err error) {
	ks, ck, _, err := f.open(ctx, projection)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ks.Close()) }()
	at := wire.Of(ck)
	if at.Sequence < f.moment.minSeq {
		return cli.WithHint(fmt.Errorf("projection %s reflects %d, %d is %w", projection, at.Sequence, f.moment.minSeq, engine.ErrNotReached), "no engine runs on these files: start one with: engine run")
	}
	if f.moment.at != "" {
		if ck, err = f.past(ks, ck); err != nil {
			return err
		}
		at = wire.Of(ck)
	}
	v, err := ks.View(ck.Version)
	if err != nil {
		return err
	}
	defer v.Close()
	f.moment.say(f.stderr, at)
	return fn(v, ck)
}

func (f *files) Get(ctx context.Context, projection string, key []byte) (g wire.Get, err error) {
	err = f.view(ctx, projection, func(v state.View, ck state.Checkpoint) error {
		value, ok, err := v.Get(key)
		if err == nil && !ok {
			err = fmt.Errorf("projection %s has no key %.200q as of %d", projection, key, ck.Position.Sequence)
		}
		g = wire.Get{Projection: projection, Row: wire.Row{Key: key, Value: value}, AsOf: wire.Of(ck)}
		return err
	})
	return g, err
}

func (f *files) Scan(ctx context.Context, projection string, prefix []byte, limit int, fn func(wire.Row) error) error {
	return f.view(ctx, projection, func(v state.View, _ state.Checkpoint) error {
		var ferr error
		n := 0
		err := v.Scan(prefix, nil, func(key, value []byte) bool {
			ferr = fn(wire.Row{Key: key, Value: value})
			n++
			return ferr == nil && n != limit && ctx.Err() == nil
		})
		return errors.Join(err, ferr, ctx.Err())
	})
}

func (f *files) Snapshots(_ context.Context, projection string) ([]catalog.Snapshot, error) {
	record, err := f.record(projection)
	return record.Snapshots, err
}

// record is what the catalog knows of a projection.
func (f *files) record(projection string) (catalog.Record, error) {
	r := f.dir.Catalog().Projection(projection)
	if r.Live == "" {
		return r, fmt.Errorf("%w: %q", engine.ErrNoProjection, projection)
	}
	return r, nil
}
