package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/query/wire"
)

func logsCommand() *cobra.Command {
	var f cli.Server
	var follow bool
	var level string
	c := &cobra.Command{
		Use:   "logs NAME",
		Short: "Show what a projection's module logged last",
		Long: `Logs shows the last lines that the guests of a projection logged, at most 500 of them and 256 KiB,
with the events that a guest was handed when it wrote a line. A running engine has them in
memory, as far as log.level of its configuration lets lines through.
With --follow it goes on with those that come.`,
		Example: "  engine logs repo-files\n  engine logs repo-files --level warn --follow",
		Args:    cli.AsUsage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := f.Client()
			if err != nil {
				return err
			}
			var after uint64
			for {
				page, err := cl.Log(c.Context(), args[0], after, level)
				if err == nil {
					err = printLines(c.OutOrStdout(), page, after > 0, f.JSON)
				}
				if after = page.Next; err != nil || !follow {
					return cli.Explain(err)
				}
				select {
				case <-c.Context().Done():
					return nil
				case <-time.After(followEvery):
				}
			}
		},
	}
	f.AddServer(c)
	c.Flags().BoolVar(&follow, "follow", false, "go on with lines that come, until interrupted")
	c.Flags().StringVar(&level, "level", "", "lines of this `LEVEL` at least: debug, info, warn or error")
	c.Flags().BoolVar(&f.JSON, "json", false, "print JSON, one line each")
	return c
}

// followEvery is how often the engine is asked for lines that came.
const followEvery = 500 * time.Millisecond

// printLines prints lines, those of guests as text that a terminal takes.
func printLines(w io.Writer, page wire.GuestLog, goesOn, asJSON bool) error {
	if goesOn && page.Dropped > 0 && !asJSON {
		fmt.Fprintf(w, "… %d lines in between are no longer kept\n", page.Dropped)
	}
	for _, l := range page.Lines {
		if asJSON {
			b, err := json.Marshal(l)
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "%s\n", b)
			continue
		}
		about := ""
		switch {
		case l.First == 0:
		case l.First == l.Last:
			about = fmt.Sprintf(" [%d]", l.First)
		default:
			about = fmt.Sprintf(" [%d-%d]", l.First, l.Last)
		}
		if l.Upcaster != "" {
			about += " " + l.Upcaster
		}
		fmt.Fprintf(w, "%s %-5s%s %s\n", l.Time.Local().Format("15:04:05.000"), l.Level, about, cli.Readable([]byte(l.Text)))
	}
	return nil
}
