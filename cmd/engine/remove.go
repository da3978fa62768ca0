package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/engine"
	"gnomon/engine/catalog"
	"gnomon/engine/store"
)

// removeCommand removes a projection with its data.
func removeCommand() *cobra.Command {
	var f readFlags
	var yes bool
	c := &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a projection that is no longer declared, with all its data",
		Long: `Remove removes the state of a projection in all its generations, its snapshots, and what was set aside, for good; the
stream is left alone. It asks before, on a terminal; elsewhere it needs --yes. A projection that the configuration of a running
engine declares is refused. With --data-dir it removes from a data directory that no engine runs on: which projections the
configuration declares is not known there, and one that it still declares is built anew at the next start.`,
		Example: "  engine remove orders\n  engine remove orders --yes --data-dir data",
		Args:    cli.AsUsage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			question := fmt.Sprintf("Remove %s with all its data, for good?", args[0])
			if f.dataDir != "" {
				question += " " + builtAnew
			}
			if err := confirmed(c, yes, question); err != nil {
				return err
			}
			if err := f.remove(c, args[0]); err != nil {
				return explainGeneration(err, args[0])
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "%s: removed\n", args[0])
			return err
		},
	}
	f.AddServer(c)
	c.Flags().StringVar(&f.dataDir, "data-dir", "", "remove from the files of an engine that is not running, instead of asking one")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

func (f *readFlags) remove(c *cobra.Command, name string) error {
	if f.dataDir != "" {
		return removeOffline(f.dataDir, name, c.ErrOrStderr())
	}
	cl, err := f.Client()
	if err != nil {
		return err
	}
	return cl.Remove(c.Context(), name)
}

// builtAnew is what the files of an engine cannot tell.
const builtAnew = "If the configuration declares it still, it is built anew at the next start."

// removeOffline removes a projection from a data directory that no engine runs on. What a
// crash on the way leaves is no projection any more, and is removed the next time.
func removeOffline(path, name string, stderr io.Writer) (err error) {
	if _, err := store.ReadCatalog(path); err != nil { // before one is made
		return err
	}
	d, err := store.OpenDir(path, cli.QuietLog(stderr))
	var locked *store.LockedError
	if errors.As(err, &locked) {
		return cli.WithHint(err, "ask the engine that runs there, with --server instead of --data-dir, or stop it")
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	r := d.Catalog().Projection(name)
	if r.Live == "" && len(r.Generations) == 0 {
		return fmt.Errorf("%w: %q", engine.ErrNoProjection, name)
	}
	if r.Live != "" && !r.Withdrawn() {
		fmt.Fprintf(stderr, "%s was declared when an engine ran here last. %s\n", name, builtAnew)
	}
	err = d.Catalog().Update(name, func(r *catalog.Record) error {
		for i := range r.Generations {
			r.Generations[i].Dropped = true
		}
		*r = catalog.Record{Generations: r.Generations}
		return nil
	})
	if err != nil {
		return err
	}
	for _, g := range r.Generations {
		if err := d.Remove(name, g.ID); err != nil {
			return err
		}
	}
	return d.Catalog().Update(name, func(r *catalog.Record) error {
		*r = catalog.Record{}
		return nil
	})
}
