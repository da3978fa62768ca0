package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
)

// settings of a run of the suite.
type settings struct {
	events  int    // in the stream
	rounds  int    // of each contender that count; one before them warms up
	only    string // contenders to run, separated by commas; empty: all
	results string // where results.json goes
	work    string // folder for the stream, keyspaces and compiled modules
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "server":
			return serveStream(ctx, args[1])
		case "contend":
			return contend(ctx, args[1:])
		}
	}
	var o settings
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.IntVar(&o.events, "events", 1_000_000, "events in the stream")
	f.IntVar(&o.rounds, "rounds", 5, "rounds that count, after one to warm up")
	f.StringVar(&o.only, "only", "", "contenders to run, separated by commas; all: "+strings.Join(contenderNames(), ","))
	f.StringVar(&o.results, "results", "results.json", "file for the results")
	f.StringVar(&o.work, "work", "", "folder to work in; a temporary one unless given")
	if err := f.Parse(args); err != nil {
		return err
	}
	if o.events < 1 || o.rounds < 1 {
		return errors.New("-events and -rounds must be at least 1")
	}
	return suite(ctx, o)
}
