package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
)

// settings of a run of the suite.
type settings struct {
	events  int    // in the stream
	rounds  int    // of each contender that count; one before them warms up
	only    string // contenders and measurements to run, separated by commas; empty: all
	results string // where results.json goes
	work    string // folder for the streams, keyspaces and compiled modules
	soak    bool   // the long stream has the 20 M events of the goal
	sizes   sizes  // of the measurements
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
		case "measure":
			return measureHere(ctx, args[1])
		case "gets":
			return getUntilTold(ctx, args[1:])
		case "tables":
			return printTables(args[1:])
		}
	}
	o, err := parseSettings(args)
	if err != nil {
		return err
	}
	return suite(ctx, o)
}

// soakEvents are those that the goal for memory speaks of.
const soakEvents = 20_000_000

func parseSettings(args []string) (o settings, err error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.IntVar(&o.events, "events", 1_000_000, "events in the stream of the contenders")
	f.IntVar(&o.rounds, "rounds", 5, "rounds that count, after one to warm up; measurements have 3 at most")
	f.StringVar(&o.only, "only", "", "what to run, separated by commas: contenders ("+strings.Join(contenderNames(), ", ")+") and measurements ("+strings.Join(measurementNames(), ", ")+"); all unless given")
	f.StringVar(&o.results, "results", "results.json", "file for the results")
	f.StringVar(&o.work, "work", "", "folder to work in, on a disk; a temporary one unless given")
	f.IntVar(&o.sizes.Long, "long", 10_000_000, "events in the long stream, of memory, reads and growth: some 300 bytes of disk each")
	f.BoolVar(&o.soak, "soak", false, fmt.Sprintf("the same as -long %d", soakEvents))
	f.IntVar(&o.sizes.Grow, "grow-events", 10_000_000, "events at most in the curves of growth")
	f.IntVar(&o.sizes.Keys, "keys", 1_000_000, "keys at most, in the curves of growth and of the projection that is opened")
	f.IntVar(&o.sizes.Projections, "projections", 32, "projections at most in the curves of growth")
	f.IntVar(&o.sizes.IdleSeconds, "idle", 3, "seconds for which the memory of idle projections has not to fall")
	f.IntVar(&o.sizes.HeadSeconds, "head", 20, "seconds for which events are published at the head")
	f.StringVar(&o.sizes.Logs, "logs", "gitlog,bpic2012", "real event logs, separated by commas; those that are not there are left out")
	f.StringVar(&o.sizes.Languages, "languages", "", "languages to compare, separated by commas; all unless given")
	f.IntVar(&o.sizes.RealEvents, "log-events", 200_000, "a log is repeated until it has so many events")
	f.StringVar(&o.sizes.Plot, "plot", "../docs/performance-growth.svg", "file for the curves of growth")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.soak {
		o.sizes.Long = soakEvents
	}
	o.sizes.Rounds = min(o.rounds, 3)
	if o.sizes.Plot, err = filepath.Abs(o.sizes.Plot); err != nil {
		return o, err
	}
	for name, n := range map[string]int{
		"events": o.events, "rounds": o.rounds, "long": o.sizes.Long, "grow-events": o.sizes.Grow,
		"keys": o.sizes.Keys, "projections": o.sizes.Projections, "head": o.sizes.HeadSeconds, "idle": o.sizes.IdleSeconds,
	} {
		if n < 1 {
			return o, fmt.Errorf("-%s is %d: it must be at least 1", name, n)
		}
	}
	return o, nil
}
