package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/engine"
	"gnomon/engine/catalog"
	"gnomon/engine/config"
	"gnomon/engine/query/wire"
	"gnomon/engine/store"
)

func planCommand() *cobra.Command {
	var configPath string
	var asJSON bool
	c := &cobra.Command{
		Use:   "plan",
		Short: "Say what a configuration would do, before it does it",
		Long: `Plan holds a configuration and the modules that it names against what the data directory
says that runs, and prints for each projection what a reload or a start would do: new, adjust, swap,
rebuild, return, stop or nothing, and why. It changes nothing, and works whether the engine runs or not.
It exits with 3 when something would be done, and with 1 when something would be refused.`,
		Example: "  engine plan --config next.toml\n  engine plan --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := config.Load(configPath)
			if err != nil {
				return err
			}
			done, err := planConfig(c.Context(), cfg)
			if err != nil {
				return err
			}
			return printPlan(c.OutOrStdout(), done, asJSON)
		},
	}
	cli.ConfigFlag(c, &configPath)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// planConfig says what a configuration would do to what there is.
func planConfig(ctx context.Context, cfg *config.Config) (done wire.Reloaded, err error) {
	catalog, err := store.ReadCatalog(cfg.DataDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return done, err
	}
	h, closeHost, err := cli.ScratchHost(ctx)
	if err != nil {
		return done, err
	}
	defer closeHost()
	ds := &declarations{host: h, log: cli.QuietLog(io.Discard)}
	all, err := ds.readAll(cfg)
	if err != nil {
		return done, err
	}
	for _, d := range all {
		done.Projections = append(done.Projections, ds.plan(ctx, d, catalog[d.name], cfg.Streams))
	}
	for name, r := range catalog {
		declared := slices.ContainsFunc(cfg.Projections, func(p config.Projection) bool { return p.Name == name })
		if !declared && r.Live != "" && !r.Withdrawn() {
			done.Projections = append(done.Projections, wire.Declared{Projection: name, Action: engine.ActStop, Why: "it is not declared; its data is kept"})
		}
	}
	slices.SortFunc(done.Projections, func(a, b wire.Declared) int { return strings.Compare(a.Projection, b.Projection) })
	return done, nil
}

// plan says what declaring a projection would do, as far as that can be told without the
// server: of streams it knows what the configuration says.
func (ds *declarations) plan(ctx context.Context, d reading, r catalog.Record, streams []config.Stream) wire.Declared {
	out := wire.Declared{Projection: d.name, Action: engine.ActNothing}
	err := d.err
	if errors.Is(err, fs.ErrNotExist) && r.Live != "" {
		out.Action, out.Why = engine.ActStop, err.Error()
		return out
	}
	var spec engine.Spec
	if err == nil {
		spec, err = ds.spec(ctx, d.declared)
	}
	if err == nil {
		err = checkLoop(&spec, streams)
	}
	var plan engine.Plan
	if err == nil {
		plan, err = engine.PlanOf(r, &spec)
	}
	if err != nil {
		out.Refused = err.Error()
		return out
	}
	out.Action, out.Why = plan.Action, plan.Why
	return out
}

// checkLoop refuses a projection that would be fed with its own events.
func checkLoop(spec *engine.Spec, streams []config.Stream) error {
	i := slices.IndexFunc(streams, func(s config.Stream) bool { return s.Name == spec.Stream })
	if i < 0 {
		return nil
	}
	if err := spec.CheckLoop(streams[i].Subjects); err != nil {
		return fmt.Errorf("its module %w", err)
	}
	return nil
}

// printPlan prints what would be done.
func printPlan(w io.Writer, done wire.Reloaded, asJSON bool) error {
	err := printDeclared(w, done, asJSON)
	switch {
	case err != nil:
		return err
	case slices.ContainsFunc(done.Projections, func(p wire.Declared) bool { return p.Refused != "" }):
		return errors.New("some of it would be refused")
	case done.Changes():
		return cli.Differs(errors.New("something would be done"))
	}
	return nil
}

// printDeclared prints what declarations did, or would do.
func printDeclared(w io.Writer, done wire.Reloaded, asJSON bool) error {
	if asJSON {
		return cli.PrintJSON(w, done)
	}
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "PROJECTION\tACTION\tWHY")
	for _, p := range done.Projections {
		action, why := string(p.Action), p.Why
		if p.Refused != "" {
			action, why = "refused", p.Refused
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", p.Projection, action, why)
	}
	for _, note := range done.Notes {
		fmt.Fprintln(t, "note: "+note)
	}
	return t.Flush()
}

func reloadCommand() *cobra.Command {
	var f cli.Server
	c := &cobra.Command{
		Use:   "reload",
		Short: "Have the running engine take its configuration and modules as they are now",
		Long: `Reload has the running engine read its configuration and the folder of modules again, and try
again what it refused before. It does so by itself within a second of a change, and on SIGHUP; see plan
for what would be done. It exits with 1 when something is refused: then what ran goes on.`,
		Example: "  engine reload",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := f.Client()
			if err != nil {
				return err
			}
			done, err := cl.Reload(c.Context())
			if err != nil {
				return cli.Explain(err)
			}
			err = printDeclared(c.OutOrStdout(), done, f.JSON)
			if err == nil && slices.ContainsFunc(done.Projections, func(p wire.Declared) bool { return p.Refused != "" }) {
				err = errors.New("some of it is refused, and what ran goes on")
			}
			return err
		},
	}
	f.AddServer(c)
	c.Flags().BoolVar(&f.JSON, "json", false, "print JSON")
	return c
}
