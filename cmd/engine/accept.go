package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/query/wire"
)

// acceptCommand has a diverged projection go on.
func acceptCommand() *cobra.Command {
	var f cli.Server
	var reason string
	c := &cobra.Command{
		Use:   "accept NAME --reason TEXT",
		Short: "Let a diverged projection go on with its stream as it is now",
		Long: `A projection is diverged when its stream is not the one that it read, or lost events that it did not.
Accept lets it go on after its position, or with the first event that the stream still holds, and keeps the reason
and the facts in the catalog. The state stays what it is: engine rebuild makes it that of the stream. It is refused
when events to come would have numbers that were applied before.`,
		Example: `  engine accept orders --reason "restored from the backup of Monday; the gap is known"`,
		Args:    cli.AsUsage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return cli.Usagef(c, "--reason is missing: say why it is right to go on; it is kept")
			}
			cl, err := f.Client()
			if err != nil {
				return err
			}
			done, err := cl.Accept(c.Context(), args[0], reason)
			var p *wire.Problem
			if errors.As(err, &p) && p.Code == wire.CodeNotAcceptable {
				return cli.WithHint(err, "engine rebuild %s builds it from the stream as it is", args[0])
			}
			if err != nil {
				return cli.Explain(err)
			}
			if f.JSON {
				return cli.PrintJSON(c.OutOrStdout(), done)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: accepted (%s): it goes on after %d, was at %d\n", args[0], done.Facts, done.To, done.From)
			return err
		},
	}
	f.AddServer(c)
	c.Flags().StringVar(&reason, "reason", "", "why it is right to go on")
	c.Flags().BoolVar(&f.JSON, "json", false, "print JSON")
	return c
}

// rebuildCommand builds a projection anew.
func rebuildCommand() *cobra.Command {
	var f cli.Server
	c := &cobra.Command{
		Use:   "rebuild NAME",
		Short: "Build a projection anew from its stream, and serve what is there meanwhile",
		Long: `Rebuild builds the state from the beginning of the stream, in a keyspace of its own. What is served now is served
until the new state has caught up, and is then taken over in one instant.`,
		Example: "  engine rebuild repo-files",
		Args:    cli.AsUsage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := f.Client()
			if err != nil {
				return err
			}
			s, err := cl.Act(c.Context(), args[0], "rebuild")
			if err != nil {
				return cli.Explain(err)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: rebuilding as %s; %d is served meanwhile\n", s.Projection, s.Building, s.Position)
			return err
		},
	}
	f.AddServer(c)
	return c
}
