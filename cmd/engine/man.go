package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"gnomon/cmd/engine/cli"
)

func manCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the manual pages of all commands",
		Long: `Man writes a manual page for each command into a folder, which is made if need be: engine.1, engine-run.1 and
so on. They are made of what --help says. Their date is SOURCE_DATE_EPOCH, if that is set, or today.`,
		Example: "  engine man man1\n  man -l man1/engine-run.1\n  sudo engine man /usr/local/share/man/man1",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			n, err := writeMan(c.Root(), args[0])
			if err != nil {
				return fmt.Errorf("write manual pages: %w", err)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%d pages in %s\n", n, args[0])
			return err
		},
	}
}

// writeMan writes the pages of a program, and returns how many there are.
func writeMan(root *cobra.Command, dir string) (int, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, err
	}
	forPrint(root)
	header := doc.GenManHeader{Section: "1", Source: "Gnomon " + version, Manual: "Gnomon"}
	if err := doc.GenManTree(root, &header, dir); err != nil {
		return 0, err
	}
	pages, err := filepath.Glob(filepath.Join(dir, root.Name()+"*.1"))
	return len(pages), err
}

// forPrint takes out of the commands what is about this machine, or about who made the pages.
func forPrint(c *cobra.Command) {
	c.DisableAutoGenTag = true
	if f := c.Flags().Lookup("server"); f != nil {
		f.DefValue = cli.DefaultServer
	}
	for _, sub := range c.Commands() {
		forPrint(sub)
	}
}
