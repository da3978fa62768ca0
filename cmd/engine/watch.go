package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/engine"
	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
	"gnomon/engine/state"
)

// watchCommand prints what changes, as it happens.
func watchCommand() *cobra.Command {
	var f cli.Server
	var prefix, from string
	c := &cobra.Command{
		Use:   "watch NAME",
		Short: "Print the keys of a projection, and then every change as it is committed",
		Long: `Watch prints, separated by tabs:
  SEQ = KEY VALUE   a key of the state as of a sequence
  SEQ ~ KEY VALUE   a key that was written
  SEQ - KEY         a key that was deleted
and goes on until it is interrupted. What is not printable is quoted. With --from it begins with what changed after a
sequence, if the engine still keeps that; otherwise it says so, and begins with the state. When the connection
breaks it connects anew, and goes on with what changed meanwhile. Such things, and what becomes of the projection, it tells
on standard error. With --json it prints the events as they come, one a line:
  {"event":"snapshot","seq","key","value"}, {"event":"change","seq","key","value"} or, of a deleted key, "deleted":true
  {"event":"position","as_of_seq","as_of_time","id","missed","generation"} when the changes up to a sequence are complete
  {"event":"reset","reason"}, {"event":"generation"}, {"event":"state","state","reason"}, {"event":"end","reason"}
--from takes the "id" of a position, too, which also tells whether the state there is the one that was seen.`,
		Example: "  engine watch repo-files --prefix author\n  engine watch orders --json | jq -c 'select(.event == \"change\")'\n  engine watch orders --from 1204",
		Args:    cli.AsUsage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			at, err := state.ParseBookmark(from)
			if err != nil {
				return cli.Usagef(c, "--from: %w", err)
			}
			cl, err := f.Client()
			if err != nil {
				return err
			}
			w := &watching{client: cl, name: args[0], prefix: []byte(prefix), from: at, json: f.JSON, out: bufio.NewWriter(c.OutOrStdout()), stderr: c.ErrOrStderr()}
			return cli.Explain(w.run(c.Context()))
		},
	}
	f.AddServer(c)
	c.Flags().BoolVar(&f.JSON, "json", false, "print JSON")
	c.Flags().StringVar(&prefix, "prefix", "", "only keys that begin with it")
	c.Flags().StringVar(&from, "from", "", "begin with what changed after this `SEQ`")
	return c
}

// watching watches a projection for a person or a script.
type watching struct {
	client *client.Client
	name   string
	prefix []byte
	from   state.Bookmark
	json   bool
	out    *bufio.Writer
	stderr io.Writer
	prints func(engine.WatchEvent) // in place of what is printed to out, if set
	began  bool                    // it was connected at least once
	wait   time.Duration
}

// Bounds of the waiting for an engine that is away.
const (
	firstWatchWait = 250 * time.Millisecond
	lastWatchWait  = 5 * time.Second
)

// run watches until ctx ends, and connects anew when it must. An engine that does not
// answer at all, or has no such projection, is an error.
func (w *watching) run(ctx context.Context) error {
	for {
		err := w.client.Watch(ctx, w.name, w.prefix, w.from, w.take)
		err = errors.Join(err, w.out.Flush())
		if ctx.Err() != nil {
			return nil
		}
		if !w.goesOn(err) {
			return err
		}
		w.wait = min(max(2*w.wait, firstWatchWait), lastWatchWait)
		fmt.Fprintf(w.stderr, "%v; connecting again in %s\n", err, w.wait)
		select {
		case <-time.After(w.wait):
		case <-ctx.Done():
			return nil
		}
	}
}

// goesOn reports whether it may help to connect anew.
func (w *watching) goesOn(err error) bool {
	var p *wire.Problem
	if errors.As(err, &p) {
		return w.began && p.Status == http.StatusServiceUnavailable
	}
	return w.began && !errors.As(err, new(*outputError))
}

// outputError says that nobody takes what is printed.
type outputError struct{ error }

// take prints an event.
func (w *watching) take(e engine.WatchEvent) error {
	w.began, w.wait = true, 0
	switch e.Kind {
	case engine.WatchPosition:
		w.from = e.Bookmark
	case engine.WatchReset, engine.WatchGeneration:
		w.from = state.Bookmark{}
	}
	err := w.print(e)
	if err == nil && e.Kind != engine.WatchSnapshot && e.Kind != engine.WatchChange {
		err = w.out.Flush()
	}
	if err != nil {
		return &outputError{err}
	}
	return nil
}

func (w *watching) print(e engine.WatchEvent) (err error) {
	switch {
	case w.prints != nil:
		w.prints(e)
		w.tell(e)
	case w.json && e.Kind == engine.WatchIdle:
	case w.json:
		return cli.PrintJSON(w.out, wire.Watched{WatchEvent: e})
	case e.Kind == engine.WatchSnapshot:
		_, err = fmt.Fprintf(w.out, "%d\t=\t%s\t%s\n", e.Sequence, cli.Readable(e.Key), cli.Readable(e.Value))
	case e.Kind == engine.WatchChange && e.Deleted:
		_, err = fmt.Fprintf(w.out, "%d\t-\t%s\n", e.Sequence, cli.Readable(e.Key))
	case e.Kind == engine.WatchChange:
		_, err = fmt.Fprintf(w.out, "%d\t~\t%s\t%s\n", e.Sequence, cli.Readable(e.Key), cli.Readable(e.Value))
	default:
		w.tell(e)
	}
	return err
}

// tell tells what else happens.
func (w *watching) tell(e engine.WatchEvent) {
	switch e.Kind {
	case engine.WatchReset:
		fmt.Fprintf(w.stderr, "the state, from its beginning: %s\n", e.Reason)
	case engine.WatchGeneration:
		fmt.Fprintf(w.stderr, "generation %s is read now, instead of %s\n", e.Generation, e.Former)
	case engine.WatchState:
		fmt.Fprintf(w.stderr, "%s is %s", w.name, e.State)
		if e.Reason != "" {
			fmt.Fprintf(w.stderr, ": %s", cli.Readable([]byte(e.Reason)))
		}
		fmt.Fprintln(w.stderr)
		if e.Hint != "" {
			fmt.Fprintf(w.stderr, "  hint: %s\n", e.Hint)
		}
	case engine.WatchPosition:
		if e.Missed > 0 {
			fmt.Fprintf(w.stderr, "%d commits up to %d came as one\n", e.Missed+1, e.Sequence)
		}
	}
}
