package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/engine"
	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
)

// explainCommand tells how a key came to its value.
func explainCommand() *cobra.Command {
	var f cli.Server
	var ask client.Question
	c := &cobra.Command{
		Use:   "explain NAME KEY",
		Short: "Print which events changed a key, with its value before and after each",
		Long: `Explain prints the changes of a key, newest first: the sequence, time and subject of the event, and
the value before it and after it; "-" stands for an absent one. What a retry of an event that was
set aside or a migration changed is named as that. It applies the events again that were committed
with the key, so it goes back as far as projection.history keeps, and asks a running engine.
With --json it prints
  {"projection","key","as_of_seq","changes":[{"cause","seq","time","subject","module","before","after"}],"oldest_seq","ended"}
where cause is event, order, migration, or unknown: one of the events from first_seq to seq, which the stream no longer holds.`,
		Example: "  engine explain repo-files total\n" +
			"  engine explain balances 17 --at 12000 --limit 5\n" +
			"  engine explain balances 17 --since 11000 --json",
		Args: cli.AsUsage(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			if ask.Limit < 1 {
				return cli.Usagef(c, "--limit %d: it must be at least 1", ask.Limit)
			}
			engine, err := f.Client()
			if err != nil {
				return err
			}
			ask.Key = []byte(args[1])
			x, err := engine.Explain(c.Context(), args[0], ask)
			switch {
			case err != nil:
				return cli.Explain(err)
			case f.JSON:
				return cli.PrintJSON(c.OutOrStdout(), x)
			}
			return printExplanation(c.OutOrStdout(), x)
		},
	}
	f.AddServer(c)
	c.Flags().BoolVar(&f.JSON, "json", false, "print JSON")
	c.Flags().StringVar(&ask.At, "at", "", "as of this sequence of the stream, or a time such as 2026-01-31T00:00:00Z; without it: now")
	c.Flags().Uint64Var(&ask.Since, "since", 0, "only what came after this sequence")
	c.Flags().IntVar(&ask.Limit, "limit", 20, "at most so many changes, the newest")
	return c
}

func printExplanation(w io.Writer, x wire.Explanation) error {
	shown := func(value []byte) string {
		if value == nil {
			return "-"
		}
		return cli.Readable(value)
	}
	for _, c := range x.Changes {
		what := cli.Readable([]byte(c.Subject))
		switch c.Cause {
		case engine.ByOrder:
			what = "an order of an operator, such as the retry of what was set aside"
		case engine.ByMigration:
			what = "a migration of the state"
		case engine.UnknownCause:
			what = fmt.Sprintf("one or more of the events from %d on, which cannot be applied again", c.First)
		}
		when := "-"
		if !c.Time.IsZero() {
			when = c.Time.UTC().Format("2006-01-02T15:04:05.000Z")
		}
		if _, err := fmt.Fprintf(w, "%d  %s  %s\n    %s\n  → %s\n", c.Sequence, when, what, shown(c.Before), shown(c.After)); err != nil {
			return err
		}
	}
	last := fmt.Sprintf("as of %d; all changes after %d", x.Sequence, x.Oldest)
	if len(x.Changes) > 0 && x.Changes[len(x.Changes)-1].Sequence == x.Oldest {
		last = fmt.Sprintf("as of %d; all changes from %d on", x.Sequence, x.Oldest)
	}
	if x.Ended != "" {
		last += ": " + x.Ended
	}
	_, err := fmt.Fprintln(w, last)
	return err
}
