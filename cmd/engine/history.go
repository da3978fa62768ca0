package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/catalog"
	"gnomon/engine/query/wire"
)

// historyCommand tells what happened to a projection.
func historyCommand() *cobra.Command {
	var f readFlags
	c := &cobra.Command{
		Use:   "history NAME",
		Short: "Print which module of a projection ran from when on, and by which change",
		Long: `History prints what happened to a projection, oldest first: generations that were created, promoted, rolled back to
or discarded, code that was swapped, states that were migrated, and when it was withdrawn, because it was no longer declared.
It goes back 1000 changes. SEQ is the sequence that was applied last before. With --json it prints
  {"projection","changes":[{"time","kind","generation","module","seq","text"}]}`,
		Example: "  engine history orders\n  engine history orders --json --data-dir data",
		Args:    cli.AsUsage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			return f.read(c, func(r reader) error {
				changes, err := r.History(c.Context(), args[0])
				if err != nil {
					return err
				}
				if f.JSON {
					return cli.PrintJSON(c.OutOrStdout(), wire.History{Projection: args[0], Changes: append([]catalog.Change{}, changes...)})
				}
				return printHistory(c.OutOrStdout(), changes)
			})
		},
	}
	f.add(c)
	return c
}

func printHistory(w io.Writer, changes []catalog.Change) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "TIME\tCHANGE\tGENERATION\tMODULE\tSEQ\tWHY")
	for _, c := range changes {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\n", c.Time.UTC().Format("2006-01-02 15:04:05 MST"), c.Kind,
			cmp.Or(c.Generation, "-"), cmp.Or(fmt.Sprintf("%.12s", c.Module), "-"), c.Sequence, cli.Readable([]byte(c.Text)))
	}
	return t.Flush()
}

// History returns what happened to a projection of an engine that is not running.
func (f *files) History(_ context.Context, projection string) ([]catalog.Change, error) {
	record, err := f.record(projection)
	return record.Changes, err
}
