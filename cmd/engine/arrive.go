package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/engine"
	"gnomon/engine/archive"
	"gnomon/engine/config"
	"gnomon/engine/state"
	"gnomon/engine/store"
)

func snapshotImportCommand() *cobra.Command {
	var i archiveImport
	var configPath, bucket, dataDir string
	var asJSON bool
	c := &cobra.Command{
		Use:   "import NAME FILE",
		Short: "Seed a projection of an engine that does not run with an archive",
		Long: `Import puts the state of an archive into the data directory of the configuration, on which no engine may
run. The engine goes on from there when it starts, and applies only what follows. The archive has to be of
the module, the settings and the source that the configuration declares the projection with. That the
stream is the one that it was made of is checked when the engine starts.
An incremental archive is imported on top of the state that it builds upon.

A projection that has a state already is refused, unless --candidate is given: then the archive becomes its
candidate, in place of one that there is. What is imported is there as a whole, or not at all.`,
		Example: "  engine snapshot import orders orders-before-upgrade.gnar\n" +
			"  engine snapshot import orders --bucket SNAPSHOTS orders.gnar",
		Args: cli.AsUsage(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, args []string) (err error) {
			cfg, err := config.Load(configPath)
			if err != nil {
				return err
			}
			if dataDir != "" {
				cfg.DataDir = dataDir
			}
			in, closeArchive, err := openArchive(c.Context(), bucket, configPath, args[1], c.ErrOrStderr())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, closeArchive()) }()
			i.config, i.name, i.from, i.stderr = cfg, args[0], args[1], c.ErrOrStderr()
			done, err := i.run(c.Context(), in)
			if err != nil {
				return fmt.Errorf("%s: %w", args[1], explainImport(err))
			}
			if asJSON {
				return cli.PrintJSON(c.OutOrStdout(), done)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s at %d: %d keys, digest %s; %s of %s\n", done.Projection, done.AsOfSeq, done.Keys, done.Digest, done.Role, done.Generation)
			return err
		},
	}
	cli.ConfigFlag(c, &configPath)
	c.Flags().StringVar(&dataDir, "data-dir", "", "data directory, instead of that of the configuration")
	c.Flags().StringVar(&bucket, "bucket", "", "object store that has it, instead of a file")
	c.Flags().BoolVar(&i.candidate, "candidate", false, "make it the candidate of a projection that has a state")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// archiveImport is an import into a data directory that no engine runs on.
type archiveImport struct {
	config    *config.Config
	name      string // of the projection
	from      string // name of the archive
	candidate bool
	stderr    io.Writer
}

// imported says what an import made.
type imported struct {
	Projection string       `json:"projection"`
	Role       engine.Role  `json:"role"`
	Generation string       `json:"generation"`
	AsOfSeq    uint64       `json:"as_of_seq"`
	Keys       int64        `json:"keys"`
	Digest     state.Digest `json:"digest"`
}

// run checks that the archive is of what is declared before it touches anything.
func (i *archiveImport) run(ctx context.Context, in io.Reader) (done imported, err error) {
	r, err := archive.NewReader(in)
	if err != nil {
		return done, err
	}
	spec, closeSpec, err := i.declared(ctx)
	if err != nil {
		return done, err
	}
	defer closeSpec()
	m := r.Manifest()
	err = m.Check(archive.About{Projection: i.name, Source: spec.Source(), Module: spec.Module.Digest(), Identity: spec.Generation()})
	if err != nil {
		return done, err
	}
	made, err := makeDirs(i.config.DataDir)
	if err != nil {
		return done, fmt.Errorf("create data directory: %w", err)
	}
	defer func() {
		if err != nil && made != "" {
			err = errors.Join(err, os.RemoveAll(made))
		}
	}()
	d, err := store.OpenDir(i.config.DataDir, cli.QuietLog(i.stderr))
	var locked *store.LockedError
	if errors.As(err, &locked) {
		made = ""
		return done, cli.WithHint(err, "stop that process, or name another directory with --data-dir")
	}
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if m.Full() {
		return i.arrive(ctx, d, spec, r)
	}
	return i.forward(ctx, d, spec, r)
}

// declared is the spec that the configuration makes of the projection.
func (i *archiveImport) declared(ctx context.Context) (_ *engine.Spec, done func(), err error) {
	at := slices.IndexFunc(i.config.Projections, func(p config.Projection) bool { return p.Name == i.name })
	if at < 0 {
		return nil, nil, cli.WithHint(fmt.Errorf("the configuration has no projection %q", i.name), "declare it there, or name another configuration with --config")
	}
	h, done, err := cli.ScratchHost(ctx)
	if err != nil {
		return nil, nil, err
	}
	ds := &declarations{host: h, log: cli.QuietLog(i.stderr)}
	d, err := ds.read(i.config, i.config.Projections[at])
	var spec engine.Spec
	if err == nil {
		spec, err = ds.spec(ctx, d)
	}
	if err != nil {
		done()
		return nil, nil, fmt.Errorf("projection %s: %w", i.name, err)
	}
	return &spec, done, nil
}

// arrive makes a generation of a full archive.
func (i *archiveImport) arrive(ctx context.Context, d *store.Dir, spec *engine.Spec, r *archive.Reader) (done imported, err error) {
	m := r.Manifest()
	id, ck, err := engine.Arrive(ctx, d, d.Catalog(), engine.Arrival{
		Spec: spec, Origin: m.Origin, Candidate: i.candidate, Why: "imported from " + i.from,
		Load: func(ctx context.Context, generation string) (state.Checkpoint, error) {
			return r.Import(ctx, d, i.name, generation)
		},
	})
	return i.done(d, id, ck), err
}

// forward brings the generation forward that an incremental archive builds upon.
func (i *archiveImport) forward(ctx context.Context, d *store.Dir, spec *engine.Spec, r *archive.Reader) (done imported, err error) {
	record := d.Catalog().Projection(i.name)
	id := record.Live
	if i.candidate {
		id = record.Candidate
	}
	g, ok := record.Generation(id)
	if !ok || g.Identity != spec.Generation() {
		m := r.Manifest()
		return done, cli.WithHint(fmt.Errorf("%w for it to build upon: it has what changed since sequence %d", engine.ErrNoGeneration, m.Base.Checkpoint.Position.Sequence),
			"import the archive of that sequence first, or one of all of the state")
	}
	ck, err := r.Import(ctx, d, i.name, id)
	return i.done(d, id, ck), err
}

func (i *archiveImport) done(d *store.Dir, id string, ck state.Checkpoint) imported {
	role := engine.RoleLive
	if d.Catalog().Projection(i.name).Candidate == id {
		role = engine.RoleCandidate
	}
	return imported{i.name, role, id, ck.Position.Sequence, ck.Keys, ck.Digest}
}

// explainImport adds the hint for an error of an import.
func explainImport(err error) error {
	switch {
	case errors.Is(err, engine.ErrHasState):
		return cli.WithHint(err, "import it beside what is read with --candidate; or remove that with engine remove")
	case errors.Is(err, state.ErrBase):
		return cli.WithHint(err, "an incremental archive is imported on top of the very state that it builds upon: import a full one")
	case errors.Is(err, archive.ErrDamaged), errors.Is(err, state.ErrContent):
		return cli.WithHint(err, "nothing was imported; copy or export it again")
	}
	return err
}
