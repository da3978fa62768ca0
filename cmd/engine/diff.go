package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/query/wire"
)

// diffCommand compares a candidate with what is read.
func diffCommand() *cobra.Command {
	var f cli.Server
	var prefix string
	var limit int
	c := &cobra.Command{
		Use:   "diff NAME",
		Short: "Print what the candidate of a projection has otherwise than what is read",
		Long: `Diff compares the candidate with what is read, key by key and byte by byte, both as of one sequence, and prints in
key order:
  + KEY VALUE          only the candidate has the key
  - KEY VALUE          only what is read has it
  ~ KEY OLD → NEW      both have it, with different values
and the numbers at the end. With --json it prints {"key","change","live","candidate"} on each line, where change is "added",
"missing" or "changed", values and keys are as those of engine scan, and the last line is
  {"as_of_seq","live","candidate","added","missing","changed","same"}
with the ids of the two generations. NAME@previous compares with what was read before instead.
It exits with 3 when there is a difference.`,
		Example: "  engine diff orders\n  engine diff orders --prefix customer --limit 20\n  engine diff orders --json | tail -1",
		Args:    cli.AsUsage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if limit < 0 {
				return cli.Usagef(c, "--limit %d: it cannot be negative", limit)
			}
			cl, err := f.Client()
			if err != nil {
				return err
			}
			out := bufio.NewWriter(c.OutOrStdout())
			sum, err := cl.Diff(c.Context(), args[0], []byte(prefix), limit, func(d wire.Difference) error { return printDifference(out, d, f.JSON) })
			if err == nil {
				err = printCompared(out, args[0], sum, f.JSON)
			}
			if err = errors.Join(explainGeneration(err, args[0]), out.Flush()); err == nil && sum.Differs() {
				err = cli.Differs(fmt.Errorf("%s: the two generations differ", args[0]))
			}
			return err
		},
	}
	f.AddServer(c)
	c.Flags().StringVar(&prefix, "prefix", "", "only keys that begin with it")
	c.Flags().IntVar(&limit, "limit", 0, "print at most so many keys, and count all; 0: print all")
	c.Flags().BoolVar(&f.JSON, "json", false, "print JSON")
	return c
}

func printDifference(w io.Writer, d wire.Difference, asJSON bool) error {
	if asJSON {
		return cli.PrintJSON(w, d)
	}
	return printKeyChange(w, d.Change, d.Key, d.Live, d.Candidate)
}

func printCompared(w io.Writer, name string, sum wire.Compared, asJSON bool) error {
	if asJSON {
		return cli.PrintJSON(w, sum)
	}
	_, err := fmt.Fprintf(w, "%s as of %d: %d added, %d missing, %d changed, %d the same; %s is read, compared with %s\n",
		name, sum.AsOfSeq, sum.Added, sum.Missing, sum.Changed, sum.Same, sum.Live, sum.Candidate)
	return err
}
