package main

import (
	"bufio"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/query/wire"
)

func getCommand() *cobra.Command {
	var f readFlags
	var raw bool
	c := &cobra.Command{
		Use:   "get NAME KEY",
		Short: "Print the value of a key",
		Long: `Get prints a value that is text as it is, and one that is not quoted, with a line end
after it. With --raw it prints the bytes of the value and nothing else. With --json it prints
  {"projection","key","value","as_of_seq","as_of_time"}
where a value that is no JSON is "value_b64", and a key that is no UTF-8 "key_b64".

With --at the answer is as of a sequence of the stream, or of a time: exact to the event, as
far back as projection.history keeps it; with --replay beyond that.

With --min-seq the answer has the effects of that event, and of all before it: the engine
waits until the projection has passed it. Where the projection is not live, or with -v,
standard error says as of which sequence the answer is, and how far behind.`,
		Example: "  engine get repo-files total\n" +
			"  engine publish events.account.17 '{\"account\":\"17\",\"amount\":40}' # prints EVENTS 1\n" +
			"  engine get balances 17 --min-seq 1\n" +
			"  engine get process-map \"$(printf 'activity\\tfile_added')\" --json\n" +
			"  engine get repo-files total --at 12000 # or --at 2026-01-31T00:00:00Z\n" +
			"  engine get count events.a --raw | od -t u8",
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			if raw && f.JSON {
				return cli.Usagef(c, "--raw and --json are both set: use one of them")
			}
			return f.read(c, func(r reader) error {
				g, err := r.Get(c.Context(), args[0], []byte(args[1]))
				if err != nil {
					return err
				}
				g.Standing = nil // which standard error has
				switch {
				case f.JSON:
					return cli.PrintJSON(c.OutOrStdout(), g)
				case raw:
					_, err = c.OutOrStdout().Write(g.Value)
				default:
					_, err = fmt.Fprintln(c.OutOrStdout(), cli.ReadableText(g.Value))
				}
				return err
			})
		},
	}
	f.add(c)
	f.moment.add(c)
	c.Flags().BoolVar(&raw, "raw", false, "print the bytes of the value, whatever they are, without a line end")
	return c
}

func scanCommand() *cobra.Command {
	var f readFlags
	var prefix string
	var limit int
	c := &cobra.Command{
		Use:   "scan NAME",
		Short: "Print keys and values, in key order",
		Long: `Scan prints every key with its value, all as of one sequence: a tab between them,
and what is not printable quoted. With --json it prints {"key","value"} on each line, with
"value_b64" for a value that is no JSON and "key_b64" for a key that is no UTF-8.
With --min-seq they have the effects of that event. Where the projection is not live, or
with -v, standard error says as of which sequence they are.`,
		Example: "  engine scan repo-files --prefix author\n" +
			"  engine scan process-map --json | head",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if limit < 0 {
				return cli.Usagef(c, "--limit %d: it cannot be negative", limit)
			}
			out := bufio.NewWriter(c.OutOrStdout())
			err := f.read(c, func(r reader) error {
				return r.Scan(c.Context(), args[0], []byte(prefix), limit, func(row wire.Row) error {
					if f.JSON {
						return cli.PrintJSON(out, row)
					}
					return printRow(out, row)
				})
			})
			if ferr := out.Flush(); err == nil {
				err = ferr
			}
			return err
		},
	}
	f.add(c)
	f.moment.add(c)
	c.Flags().StringVar(&prefix, "prefix", "", "only keys that begin with it")
	c.Flags().IntVar(&limit, "limit", 0, "at most so many; 0: all")
	return c
}

func printRow(w io.Writer, r wire.Row) error {
	_, err := fmt.Fprintf(w, "%s\t%s\n", cli.Readable(r.Key), cli.Readable(r.Value))
	return err
}
