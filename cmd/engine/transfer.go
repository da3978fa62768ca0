package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/engine"
	"gnomon/engine/archive"
	"gnomon/engine/catalog"
	"gnomon/engine/config"
	"gnomon/engine/query"
	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
	"gnomon/engine/state"
)

// archiveEnding is that of the names of archives.
const archiveEnding = ".gnar"

func snapshotExportCommand() *cobra.Command {
	var f readFlags
	var configPath, out, bucket, since string
	c := &cobra.Command{
		Use:   "export NAME [SNAPSHOT]",
		Short: "Write a projection's state into one file, for another node to go on from",
		Long: `Export writes an archive: the state of a snapshot, or of what is served now, with the events that are set
aside, and with what says which module made it, of which events. The projection goes on meanwhile. With
--since it has only what changed since another snapshot, and is imported on top of that one.
The archive is checked as it is written. engine snapshot import seeds a node with it.

With --bucket it goes into an object store of the NATS server that the configuration names.
The archive has all of the data: mind who gets it.`,
		Example: "  engine snapshot export orders before-upgrade\n" +
			"  engine snapshot export orders tuesday --since monday -o tuesday.gnar\n" +
			"  engine snapshot export orders --bucket SNAPSHOTS",
		Args: cli.AsUsage(cobra.RangeArgs(1, 2)),
		RunE: func(c *cobra.Command, args []string) (err error) {
			x := exportAsk{name: args[0], since: since}
			if len(args) > 1 {
				x.snapshot = args[1]
			}
			to, err := openArchiveSink(c.Context(), bucket, configPath, cmp.Or(out, x.file()), c.ErrOrStderr())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, to.close()) }()
			var done exported
			err = to.put(c.Context(), func(w io.Writer) (err error) {
				done, err = f.export(c, w, x)
				return explainTransfer(err, x.name)
			})
			if err != nil {
				return err
			}
			done.To = to.name()
			if f.JSON {
				return cli.PrintJSON(c.OutOrStdout(), done)
			}
			return done.print(c.OutOrStdout())
		},
	}
	f.add(c)
	cli.ConfigFlag(c, &configPath)
	c.Flags().StringVarP(&out, "output", "o", "", "file to write, or name of the object; default: NAME-SNAPSHOT"+archiveEnding)
	c.Flags().StringVar(&bucket, "bucket", "", "object store to put it into, which is created if need be, instead of a file")
	c.Flags().StringVar(&since, "since", "", "snapshot that the receiver has: only what changed after it is written")
	return c
}

// exportAsk is what to export.
type exportAsk struct{ name, snapshot, since string }

// file is the name that its archive has, unless another one is asked for.
func (x exportAsk) file() string {
	if x.snapshot == "" {
		return x.name + archiveEnding
	}
	return x.name + "-" + x.snapshot + archiveEnding
}

// exported says what was written.
type exported struct {
	To         string       `json:"to"`
	Projection string       `json:"projection"`
	AsOfSeq    uint64       `json:"as_of_seq"`
	SinceSeq   *uint64      `json:"since_seq,omitempty"` // of the base of an incremental one
	Keys       int64        `json:"keys"`
	Digest     state.Digest `json:"digest"`
	Bytes      int64        `json:"bytes"` // of the archive
	SHA256     string       `json:"sha256"`
}

func exportedOf(m archive.Manifest, t archive.Trailer, bytes int64) exported {
	ck := m.Checkpoint()
	e := exported{Projection: m.Projection, AsOfSeq: ck.Position.Sequence, Keys: ck.Keys, Digest: ck.Digest, Bytes: bytes, SHA256: t.SHA256}
	if m.Base != nil {
		seq := m.Base.Checkpoint.Position.Sequence
		e.SinceSeq = &seq
	}
	return e
}

func (e exported) print(w io.Writer) error {
	since := ""
	if e.SinceSeq != nil {
		since = fmt.Sprintf(" since %d", *e.SinceSeq)
	}
	_, err := fmt.Fprintf(w, "%s: %s at %d%s: %d keys, digest %s; %s\n", e.To, e.Projection, e.AsOfSeq, since, e.Keys, e.Digest, humanize.IBytes(uint64(e.Bytes)))
	return err
}

// export writes an archive of a running engine, or of the files of one.
func (f *readFlags) export(c *cobra.Command, w io.Writer, x exportAsk) (_ exported, err error) {
	if f.dataDir == "" {
		cl, err := f.Client()
		if err != nil {
			return exported{}, err
		}
		return exportRemote(c.Context(), cl, w, x)
	}
	r, err := openFiles(f.dataDir, c.ErrOrStderr())
	if err != nil {
		return exported{}, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return r.(*files).export(c.Context(), w, x)
}

// exportRemote writes the archive that an engine answers with, and checks it on the way.
func exportRemote(ctx context.Context, cl *client.Client, w io.Writer, x exportAsk) (exported, error) {
	body, err := cl.Export(ctx, x.name, x.snapshot, x.since)
	if err != nil {
		return exported{}, err
	}
	defer body.Close()
	out := &counter{w: w}
	r, err := archive.NewReader(io.TeeReader(body, out))
	if err == nil {
		err = r.Verify(ctx)
	}
	if err != nil {
		return exported{}, fmt.Errorf("the engine's answer was cut off, see its log: %w", err)
	}
	t, _ := r.Trailer()
	return exportedOf(r.Manifest(), t, out.n), nil
}

// counter counts what is written.
type counter struct {
	w io.Writer
	n int64
}

// Write implements io.Writer.
func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// export writes an archive from files.
func (f *files) export(ctx context.Context, w io.Writer, x exportAsk) (_ exported, err error) {
	ks, ck, id, err := f.open(ctx, x.name)
	if err != nil {
		return exported{}, err
	}
	defer func() { err = errors.Join(err, ks.Close()) }()
	projection, _, err := engine.CutRole(x.name)
	if err != nil {
		return exported{}, err
	}
	record := f.dir.Catalog().Projection(projection)
	v := ck.Version
	if x.snapshot != "" {
		s, err := record.Snapshot(x.snapshot, id)
		if err != nil {
			return exported{}, err
		}
		v = s.Version
	}
	if v == 0 {
		return exported{}, fmt.Errorf("%w: %s has applied nothing yet", engine.ErrNotReady, projection)
	}
	s, err := writeArchive(ctx, w, archiveSource{projection, id, ks, v, record}, x)
	return exportedOf(s.Manifest, s.Trailer, s.Bytes), err
}

// archiveSource is where a state is read from, and what the catalog knows of it.
type archiveSource struct {
	projection, generation string
	keyspace               archive.Source
	version                state.Version
	record                 catalog.Record
}

// notExportable is query.ErrNotExportable with what is wrong.
func notExportable(format string, args ...any) error {
	return fmt.Errorf("%w: %w", query.ErrNotExportable, fmt.Errorf(format, args...))
}

// writeArchive writes a state. What is there from before the code of its generation was
// exchanged is refused: another node would apply what follows by the new code alone.
func writeArchive(ctx context.Context, w io.Writer, from archiveSource, x exportAsk) (archive.Summary, error) {
	var none archive.Summary
	g, ok := from.record.Generation(from.generation)
	if !ok {
		return none, notExportable("generation %s is not in the catalog: start an engine on it once", from.generation)
	}
	out := archive.Export{Source: from.keyspace, Version: from.version, About: archive.About{
		Engine: version, Projection: from.projection, Generation: g.ID, Identity: cmp.Or(g.Identity, g.ID), Source: g.Source, Module: g.Module,
		Origin: from.record.Origin,
	}}
	var declared config.Projection
	if json.Unmarshal(g.Declaration, &declared) == nil { // else they are left out: they are for people
		out.About.Settings = declared.SettingsJSON
	}
	for _, name := range []string{x.snapshot, x.since} {
		if name == "" {
			continue
		}
		s, err := from.record.Snapshot(name, g.ID)
		if err != nil {
			return none, err
		}
		if from.record.SwappedSince(g.ID, s.Created) {
			return none, notExportable("snapshot %s was taken before the code was exchanged: take another one", name)
		}
		if name == x.since {
			out.Since = s.Version
		}
	}
	if x.since != "" && out.Since >= out.Version {
		return none, notExportable("nothing was applied after snapshot %s, at %d", x.since, out.Since.Sequence())
	}
	return archive.Write(ctx, w, out)
}

var _ query.Exporter = (*node)(nil)

// exportTries is how often an export of what is served now is begun: the memory that a
// guest goes on from may be replaced just then.
const exportTries = 5

// Export implements query.Exporter.
func (n *node) Export(ctx context.Context, w io.Writer, projection, snapshot, since string) (err error) {
	for range exportTries {
		out := &counter{w: w}
		err = n.export(ctx, out, exportAsk{projection, snapshot, since})
		if !errors.Is(err, state.ErrNoCheckpoint) || out.n > 0 || snapshot != "" {
			break
		}
	}
	if errors.Is(err, state.ErrNoCheckpoint) {
		err = notExportable("%w", err)
	}
	return err
}

func (n *node) export(ctx context.Context, w io.Writer, x exportAsk) error {
	projection, _, err := engine.CutRole(x.name)
	if err != nil {
		return err
	}
	var reading *engine.Reading
	if x.snapshot == "" {
		reading, err = n.engine.Read(x.name)
	} else {
		reading, err = n.engine.ReadSnapshot(x.name, x.snapshot)
	}
	if err != nil {
		return err
	}
	defer reading.Close()
	_, err = writeArchive(ctx, w, archiveSource{
		projection, reading.Generation, reading.Keyspace(), reading.Checkpoint.Version, n.dir.Catalog().Projection(projection),
	}, x)
	return err
}

// explainTransfer adds the hint for an error of an export.
func explainTransfer(err error, name string) error {
	var p *wire.Problem
	if errors.Is(err, catalog.ErrNoSnapshot) || errors.As(err, &p) && p.Code == wire.CodeNoSnapshot {
		return cli.WithHint(err, "engine snapshot list %s lists them", name)
	}
	return cli.Explain(err)
}
