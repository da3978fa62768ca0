package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
)

// changesCommand tells what changed between two points of a projection's history.
func changesCommand() *cobra.Command {
	var f cli.Server
	var ask client.Between
	var prefix string
	c := &cobra.Command{
		Use:   "changes NAME",
		Short: "Print which keys changed between two sequences, or times",
		Long: `Changes compares the state as of two points of the history, key by key, and prints in key order:
  + KEY VALUE          the key was added
  - KEY VALUE          it was removed
  ~ KEY OLD → NEW      its value is another one
and the numbers at the end. Without --to it compares with what is served now. A key that changed
and changed back is no difference. With --json it prints {"key","change","before","after"} on each
line, where change is "added", "changed" or "removed", and the last line is
  {"projection","generation","from","to","counts":{"added","changed","removed","complete"}}
with the sequence and time that each side reflects. It asks a running engine, and goes back as far
as projection.history keeps, or further with --replay.
It exits with 3 when something changed.`,
		Example: "  engine changes balances --from 12000\n" +
			"  engine changes balances --from 2026-01-31T00:00:00Z --to 2026-02-01T00:00:00Z --prefix 17\n" +
			"  engine changes repo-files --from 0 --to 100 --replay --json",
		Args: cli.AsUsage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case ask.From == "":
				return cli.Usagef(c, "--from is missing: say from which sequence, or time, on")
			case ask.Limit < 0:
				return cli.Usagef(c, "--limit %d: it cannot be negative", ask.Limit)
			}
			cl, err := f.Client()
			if err != nil {
				return err
			}
			ask.Prefix = []byte(prefix)
			out := bufio.NewWriter(c.OutOrStdout())
			sum, err := cl.AllChanges(c.Context(), args[0], ask, func(k wire.ChangedKey) error { return printChangedKey(out, k, f.JSON) })
			if err == nil {
				err = printChanges(out, sum, f.JSON)
			}
			if err = errors.Join(cli.Explain(err), out.Flush()); err == nil && sum.Counts.Differ() > 0 {
				err = cli.Differs(fmt.Errorf("%s: the state changed", args[0]))
			}
			return err
		},
	}
	f.AddServer(c)
	c.Flags().StringVar(&ask.From, "from", "", "a sequence of the stream, or a time such as 2026-01-31T00:00:00Z")
	c.Flags().StringVar(&ask.To, "to", "", "the same; without it: what is served now")
	c.Flags().BoolVar(&ask.Replay, "replay", false, "compute what is no longer kept (projection.history) from the events, from the first one on")
	c.Flags().StringVar(&prefix, "prefix", "", "only keys that begin with it")
	c.Flags().IntVar(&ask.Limit, "limit", 0, "print at most so many keys, and count all; 0: print all")
	c.Flags().BoolVar(&f.JSON, "json", false, "print JSON")
	return c
}

func printChangedKey(w io.Writer, k wire.ChangedKey, asJSON bool) error {
	if asJSON {
		return cli.PrintJSON(w, k)
	}
	return printKeyChange(w, k.Change, k.Key, k.Before, k.After)
}

// printKeyChange writes a key that differs between two states, as a line that begins like one
// of diff -u.
func printKeyChange(w io.Writer, change wire.KeyChange, key, before, after []byte) (err error) {
	switch change {
	case wire.KeyAdded:
		_, err = fmt.Fprintf(w, "+ %s\t%s\n", cli.Readable(key), cli.Readable(after))
	case wire.KeyRemoved, wire.KeyMissing:
		_, err = fmt.Fprintf(w, "- %s\t%s\n", cli.Readable(key), cli.Readable(before))
	default:
		_, err = fmt.Fprintf(w, "~ %s\t%s → %s\n", cli.Readable(key), cli.Readable(before), cli.Readable(after))
	}
	return err
}

func printChanges(w io.Writer, sum wire.ChangesSum, asJSON bool) error {
	if asJSON {
		return cli.PrintJSON(w, sum)
	}
	_, err := fmt.Fprintf(w, "%s from %s to %s: %d added, %d removed, %d changed\n",
		sum.Projection, printPoint(sum.From), printPoint(sum.To), sum.Counts.Added, sum.Counts.Removed, sum.Counts.Changed)
	return err
}

func printPoint(r wire.Reflected) string {
	if r.AsOfTime == nil {
		return fmt.Sprint(r.AsOfSeq)
	}
	return fmt.Sprintf("%d (%s)", r.AsOfSeq, r.AsOfTime.UTC().Format(time.RFC3339))
}
