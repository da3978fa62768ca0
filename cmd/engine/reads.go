package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"gnomon/engine"
	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
	"gnomon/engine/store"
)

// reader is what the reading commands ask: a running engine, or a data directory.
type reader interface {
	Projections(ctx context.Context) ([]engine.Status, error)
	Get(ctx context.Context, projection string, key []byte) (wire.Get, error)
	Scan(ctx context.Context, projection string, prefix []byte, limit int, fn func(wire.Row) error) error
	Snapshots(ctx context.Context, projection string) ([]engine.Snapshot, error)
	Letters(ctx context.Context, projection string, after uint64, limit int, fn func(wire.Letter) error) error
	Close() error
}

// readFlags are the flags of the reading commands.
type readFlags struct {
	server, dataDir string
	json            bool
}

const defaultServer = "http://127.0.0.1:7780"

func (f *readFlags) add(c *cobra.Command) {
	f.addServer(c)
	c.Flags().StringVar(&f.dataDir, "data-dir", "", "read the files of an engine that is not running, instead of asking one")
	c.Flags().BoolVar(&f.json, "json", false, "print JSON")
}

func (f *readFlags) addServer(c *cobra.Command) {
	c.Flags().StringVar(&f.server, "server", cmp.Or(os.Getenv("GNOMON_SERVER"), defaultServer), "URL of a running engine; also GNOMON_SERVER, its token GNOMON_TOKEN")
}

func (f *readFlags) client() (*client.Client, error) {
	return client.New(f.server, os.Getenv("GNOMON_TOKEN"))
}

func (f *readFlags) open(stderr io.Writer) (reader, error) {
	if f.dataDir != "" {
		return openFiles(f.dataDir, stderr)
	}
	c, err := f.client()
	if err != nil {
		return nil, err
	}
	return remote{c}, nil
}

// read runs a command with an open reader.
func (f *readFlags) read(c *cobra.Command, fn func(reader) error) (err error) {
	r, err := f.open(c.ErrOrStderr())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return explain(fn(r))
}

// explain adds the hint that an error of a running engine comes with, in the words
// of the command line.
func explain(err error) error {
	var p *wire.Problem
	isProblem := errors.As(err, &p)
	switch {
	case errors.Is(err, engine.ErrNoProjection), isProblem && p.Code == wire.CodeNoProjection:
		return withHint(err, "engine status lists them")
	case errors.Is(err, engine.ErrNoLetter), isProblem && p.Code == wire.CodeNoLetter:
		return withHint(err, "engine dead-letters list NAME lists them")
	case isProblem && p.Hint != "":
		return withHint(err, "%s", p.Hint)
	case errors.Is(err, client.ErrUnreachable):
		return withHint(err, "start one with: engine run; name another with --server, or read its files with --data-dir")
	}
	return err
}

// remote is a running engine.
type remote struct{ *client.Client }

func (remote) Close() error { return nil }

// files is a data directory that no engine runs on.
type files struct {
	dir *store.Offline
}

func openFiles(path string, stderr io.Writer) (reader, error) {
	d, err := store.OpenOffline(path, quietLog(stderr))
	var locked *store.LockedError
	if errors.As(err, &locked) {
		if locked.Holder.HTTP == "" {
			return nil, withHint(err, "it serves no HTTP: stop it to read its files")
		}
		return nil, withHint(err, "ask it: --server http://%s", locked.Holder.HTTP)
	}
	if err != nil {
		return nil, err
	}
	return &files{d}, nil
}

func (f *files) Close() error { return f.dir.Close() }

// openLive opens the generation of a projection that is read.
func (f *files) openLive(ctx context.Context, projection string) (engine.Keyspace, engine.Checkpoint, string, error) {
	live := f.dir.Catalog().Projection(projection).Live
	if live == "" {
		return nil, engine.Checkpoint{}, "", fmt.Errorf("%w: %q", engine.ErrNoProjection, projection)
	}
	ks, err := f.dir.Open(ctx, projection, live, false)
	if err != nil {
		return nil, engine.Checkpoint{}, "", err
	}
	ck, err := ks.Latest()
	if errors.Is(err, engine.ErrNoCheckpoint) {
		err = nil // opened, and nothing applied yet
	}
	if err != nil {
		return nil, ck, "", errors.Join(err, ks.Close())
	}
	return ks, ck, live, nil
}

func (f *files) Projections(ctx context.Context) ([]engine.Status, error) {
	var all []engine.Status
	for _, name := range f.dir.Catalog().Names() {
		ks, ck, live, err := f.openLive(ctx, name)
		if err != nil {
			return nil, err
		}
		p := ck.Position
		all = append(all, engine.Status{
			Projection: name, State: engine.Offline, Stream: p.Stream, Generation: live, Module: p.Module,
			Position: p.Sequence, PositionTime: p.Time, Applied: p.Sequence, Committed: p.Sequence,
			Durable: ks.Durable().Sequence(), StreamLast: p.Sequence, Start: p.Sequence,
			Keys: ck.Keys, Bytes: ck.Bytes, DiskBytes: ks.DiskBytes(), Digest: ck.Digest, Aside: ck.Aside,
		})
		if err := ks.Close(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// view runs fn on the state of a projection.
func (f *files) view(ctx context.Context, projection string, fn func(engine.View, engine.Checkpoint) error) (err error) {
	ks, ck, _, err := f.openLive(ctx, projection)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ks.Close()) }()
	v, err := ks.View(ck.Version)
	if err != nil {
		return err
	}
	defer v.Close()
	return fn(v, ck)
}

func (f *files) Get(ctx context.Context, projection string, key []byte) (g wire.Get, err error) {
	err = f.view(ctx, projection, func(v engine.View, ck engine.Checkpoint) error {
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
	return f.view(ctx, projection, func(v engine.View, _ engine.Checkpoint) error {
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

func (f *files) Snapshots(_ context.Context, projection string) ([]engine.Snapshot, error) {
	record := f.dir.Catalog().Projection(projection)
	if record.Live == "" {
		return nil, fmt.Errorf("%w: %q", engine.ErrNoProjection, projection)
	}
	return record.Snapshots, nil
}

// printJSON prints a value as one line.
func printJSON(w io.Writer, v any) error {
	b, err := wire.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}
