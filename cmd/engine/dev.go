package main

import (
	"bufio"
	"context"
	"io"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/dev"
	"gnomon/engine"
	"gnomon/engine/config"
	"gnomon/engine/query/client"
)

// developCommand is engine dev, with an engine, a watch and an import as other commands have them.
func developCommand() *cobra.Command {
	return dev.Command(dev.Program{
		Run: func(ctx context.Context, c *config.Config, path string, kept bool, stdout, stderr io.Writer) error {
			r := newRunner(c, path, stdout, stderr)
			r.passing = !kept
			return r.run(ctx)
		},
		Watch: func(ctx context.Context, cl *client.Client, projection string, take func(engine.WatchEvent), stderr io.Writer) error {
			w := &watching{client: cl, name: projection, out: bufio.NewWriter(io.Discard), stderr: stderr, prints: take}
			return w.run(ctx)
		},
		Import: func(c *cobra.Command, cfg *config.Config, stream, file string) error {
			return importFiles(c, cfg, stream, []string{file}, false)
		},
	})
}
