package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/query/wire"
)

func statusCommand() *cobra.Command {
	var f readFlags
	c := &cobra.Command{
		Use:   "status [NAME]",
		Short: "Print what each projection is doing, and how far it is",
		Long: `Status prints a line for each projection, or everything known of one. With --json it
prints {"projections":[…]}, or the one. Position is the sequence that is served, durable the one that
survives a crash of the machine. While a projection catches up, left is the time until it has done so at
its present pace ("-": not known yet), and left_ms in JSON. A candidate that is built beside what is read, and the generation
that was read before, are shown too; NAME@candidate and NAME@previous print all that is known of them.`,
		Example: "  engine status\n  engine status repo-files --json\n  engine status repo-files@candidate",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return f.read(c, func(r reader) error {
				if len(args) > 0 {
					s, err := r.Projection(c.Context(), args[0])
					if err != nil {
						return err
					}
					return cli.PrintStatus(c.OutOrStdout(), s, f.JSON)
				}
				all, err := overview(c.Context(), r)
				if err != nil {
					return err
				}
				return cli.PrintOverview(c.OutOrStdout(), all, f.JSON)
			})
		},
	}
	f.add(c)
	return c
}

// overview is the status of all projections and, of a running engine, what it says of itself.
func overview(ctx context.Context, r reader) (wire.Projections, error) {
	if running, ok := r.(remote); ok {
		return running.Overview(ctx)
	}
	all, err := r.Projections(ctx)
	return wire.Projections{Projections: all}, err
}

func pauseCommand() *cobra.Command {
	return verbCommand("pause", "Stop a projection until it is resumed, also across restarts")
}

func resumeCommand() *cobra.Command {
	return verbCommand("resume", "Let a paused projection go on")
}

// verbCommand is a command that does a verb at a running engine.
func verbCommand(verb, short string) *cobra.Command {
	var f cli.Server
	c := &cobra.Command{
		Use:     verb + " NAME",
		Short:   short,
		Example: "  engine " + verb + " repo-files",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := f.Client()
			if err != nil {
				return err
			}
			s, err := cl.Act(c.Context(), args[0], verb)
			if err != nil {
				return cli.Explain(err)
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: %sd at %d\n", s.Projection, verb, s.Position)
			return nil
		},
	}
	f.AddServer(c)
	return c
}
