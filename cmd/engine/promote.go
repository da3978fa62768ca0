package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/engine"
	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
)

// promoteCommand lets readers see a candidate.
func promoteCommand() *cobra.Command {
	var f cli.Server
	var wait time.Duration
	var generation string
	c := &cobra.Command{
		Use:   "promote NAME",
		Short: "Let readers see the candidate of a projection",
		Long: `Promote lets readers see the candidate that was built beside what is read, in one instant and at one sequence:
no read sees a mix, and none goes back. It is refused when the candidate has not caught up; with --wait it is waited for.
What was read before follows on for keep_previous, so that engine rollback goes back to it. See engine diff for what
will be otherwise. With --generation it is promoted only if it is still the one that you looked at; one that comes
in its place while it is waited for is not promoted in any case.`,
		Example: "  engine promote orders\n  engine promote orders --wait 10m\n  engine promote orders --generation $(engine status orders --json | jq -r .building)",
		Args:    cli.AsUsage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if wait < 0 || wait > wire.MaxWait {
				return cli.Usagef(c, "--wait %s: it must be between 0s and %s", wait, wire.MaxWait)
			}
			cl, err := f.Client()
			if err != nil {
				return err
			}
			shown := showCandidate(c.Context(), cl, args[0], wait, c.ErrOrStderr())
			done, err := cl.PromoteTo(c.Context(), args[0], generation, wait)
			shown()
			if err != nil {
				return explainGeneration(err, args[0])
			}
			return printPromotion(c.OutOrStdout(), done, f.JSON)
		},
	}
	f.AddServer(c)
	c.Flags().StringVar(&generation, "generation", "", "id of the candidate that is meant: another one is not promoted")
	c.Flags().DurationVar(&wait, "wait", 0, "how long to wait for a candidate that has not caught up, such as 10m")
	c.Flags().BoolVar(&f.JSON, "json", false, "print JSON")
	return c
}

// rollbackCommand goes back to the generation that was read before.
func rollbackCommand() *cobra.Command {
	var f cli.Server
	var generation string
	c := &cobra.Command{
		Use:   "rollback NAME",
		Short: "Let readers see what was read before the last promotion, with its own state as of now",
		Long: `Rollback goes back to the generation that was read before, which has followed the stream since: at once, and with
its own state. What was read becomes the candidate again, and does not take over by itself any more. Of keep_previous it
depends how long this can be done: see engine status NAME.`,
		Example: "  engine rollback orders",
		Args:    cli.AsUsage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := f.Client()
			if err != nil {
				return err
			}
			done, err := cl.RollbackTo(c.Context(), args[0], generation)
			if err != nil {
				return explainRollback(err, args[0])
			}
			return printPromotion(c.OutOrStdout(), done, f.JSON)
		},
	}
	f.AddServer(c)
	c.Flags().StringVar(&generation, "generation", "", "id of the previous generation that is meant: readers do not go to another one")
	c.Flags().BoolVar(&f.JSON, "json", false, "print JSON")
	return c
}

func printPromotion(w io.Writer, done engine.Promotion, asJSON bool) error {
	if asJSON {
		return cli.PrintJSON(w, done)
	}
	_, err := fmt.Fprintf(w, "%s: %s is read now, as of %d; before it was %s\n", done.Projection, done.To, done.Sequence, done.From)
	return err
}

// explainRollback adds the way out to why it is not gone back: there is nothing to promote.
func explainRollback(err error, name string) error {
	if p, ok := errors.AsType[*wire.Problem](err); ok && p.Code == wire.CodeBehind {
		return cli.WithHint(err, "engine status %s@previous says why, and what lets it go on; once it has caught up it can be gone back to", name)
	}
	return explainGeneration(err, name)
}

// explainGeneration adds the way out of an error that is about the generations of a
// projection.
func explainGeneration(err error, name string) error {
	name, _, _ = strings.Cut(name, "@") // what is about one of them is to be seen at the projection
	var p *wire.Problem
	if !errors.As(err, &p) {
		return cli.Explain(err)
	}
	switch p.Code {
	case wire.CodeBehind:
		return cli.WithHint(err, "engine status %s says how far it is; engine promote %s --wait 10m promotes it once it has caught up", name, name)
	case wire.CodeNoGeneration:
		return cli.WithHint(err, "engine status %s says which there are, engine history %s what became of others", name, name)
	case wire.CodeOtherGeneration:
		return cli.WithHint(err, "engine status %s says which there are by now, engine diff %s how the candidate differs", name, name)
	case wire.CodeDeclared:
		return cli.WithHint(err, "take it out of the configuration first; engine plan says what that does")
	}
	return cli.Explain(err)
}

// showEvery is how often it is asked how far a candidate is.
const showEvery = 200 * time.Millisecond

// showCandidate shows how far a candidate is that is waited for, until it is told to end.
func showCandidate(ctx context.Context, cl *client.Client, name string, wait time.Duration, w io.Writer) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var shows sync.WaitGroup
	if wait > 0 {
		shows.Go(func() { followCandidate(ctx, cl, name, w) })
	}
	return func() {
		cancel()
		shows.Wait()
	}
}

// followCandidate shows how far a candidate is, until ctx ends, or there is none.
func followCandidate(ctx context.Context, cl *client.Client, name string, w io.Writer) {
	tick := time.NewTicker(showEvery)
	defer tick.Stop()
	var shown cli.Progress
	defer func() {
		if shown != nil {
			shown.Finish()
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s, err := cl.Projection(ctx, name)
		if err != nil || s.Candidate == nil {
			return
		}
		if shown == nil {
			shown = cli.NewProgress(w, name+" is built", int64(s.Candidate.Position+s.Candidate.Behind))
		}
		shown.Set(int64(s.Candidate.Position))
	}
}
