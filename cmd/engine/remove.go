package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"gnomon/engine"
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
		Args:    asUsage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			question := fmt.Sprintf("Remove %s with all its data, for good?", args[0])
			if f.dataDir != "" {
				question += " If the configuration declares it still, it is built anew at the next start."
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
	f.addServer(c)
	c.Flags().StringVar(&f.dataDir, "data-dir", "", "remove from the files of an engine that is not running, instead of asking one")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

func (f *readFlags) remove(c *cobra.Command, name string) error {
	if f.dataDir != "" {
		return removeOffline(f.dataDir, name, store.OpenDir)
	}
	cl, err := f.client()
	if err != nil {
		return err
	}
	return cl.Remove(c.Context(), name)
}
