package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"gnomon/engine"
	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
)

// momentFlags say which state is read, and whether what it reflects is told.
type momentFlags struct {
	minSeq  uint64
	wait    time.Duration
	verbose bool
	at      string
	replay  bool
}

func (f *momentFlags) add(c *cobra.Command) {
	c.Flags().Uint64Var(&f.minSeq, "min-seq", 0, "wait until the state reflects this sequence, such as one that publish printed")
	c.Flags().DurationVar(&f.wait, "wait", 2*time.Second, "how long to wait for it, at most 1m; 0s: not at all")
	c.Flags().StringVar(&f.at, "at", "", "read the state as of this sequence of the stream, or as of a time such as 2026-01-31T00:00:00Z")
	c.Flags().BoolVar(&f.replay, "replay", false, "with --at: compute what is no longer kept (projection.history) from the events, from the first one on")
	c.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "say on standard error what the answer reflects; without it, only if the projection is not live")
}

// asked is the moment that an engine is asked for.
func (f *momentFlags) asked(stderr io.Writer) client.Moment {
	wait := f.wait
	if wait == 0 {
		wait = -1
	}
	var once sync.Once // an answer may come as many pages
	return client.Moment{MinSeq: f.minSeq, Wait: wait, At: f.at, Replay: f.replay, Reflects: func(at wire.AsOf) { once.Do(func() { f.say(stderr, at) }) }}
}

// say tells what an answer reflects: always when that was asked for, otherwise when it is
// not what the stream amounts to. What is read from files never is, which who reads them
// knows.
func (f *momentFlags) say(stderr io.Writer, at wire.AsOf) {
	if !f.verbose && (f.at != "" || at.Standing == nil || at.Freshness == engine.FreshLive) {
		return
	}
	text := fmt.Sprintf("as of %d", at.Sequence)
	if !at.Time.IsZero() {
		text += " (" + at.Time.UTC().Format(time.RFC3339) + ")"
	}
	if s := at.Standing; s != nil {
		text += fmt.Sprintf(": %s", s.Freshness)
		if string(s.State) != string(s.Freshness) {
			text += fmt.Sprintf(", %s", s.State)
		}
		text += fmt.Sprintf(", %d behind", s.Behind)
		if f.verbose {
			text += ", generation " + s.Generation
		}
	}
	fmt.Fprintln(stderr, text)
}
