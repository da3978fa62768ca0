package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
)

// healthPatience is how long an engine may take to say that it is alive.
const healthPatience = 3 * time.Second

func healthCommand() *cobra.Command {
	var f cli.Server
	c := &cobra.Command{
		Use:   "health",
		Short: "Say whether an engine answers",
		Long: `Health asks a running engine for /healthz, which needs no token, and fails if there is no answer within
3 seconds: it is for container images, which have no curl. Whether projections are live, status says.`,
		Example: "  engine health\n  engine health --server http://127.0.0.1:7781",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := f.Client()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context(), healthPatience)
			defer cancel()
			if err := cl.Alive(ctx); err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), "alive")
			return err
		},
	}
	f.AddServer(c)
	return c
}
