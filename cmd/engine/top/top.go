package top

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/gdamore/tcell/v3"
	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/engine"
	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
)

func Command() *cobra.Command {
	var f cli.Server
	var once bool
	c := &cobra.Command{
		Use:   "top",
		Short: "Watch all projections in the terminal, live",
		Long: `Top shows what each projection is doing, and renews it every second: its state, how far it is behind in
events and in time, its pace with that of the last seconds, and what it holds; as many columns as the terminal has room for.
Keys: q quits, p holds the picture, s sorts by the next column, / filters by name or state, the arrows select a
projection and Enter shows all that is known of it, ? lists the keys.
PgUp and PgDn go through what Enter shows, where it is longer than the terminal.
With --once, and where standard output is no terminal or a dumb one, it prints one table, as engine status does. With --json
it prints a line {"projections":[…]} every second, or one with --once. Colours are left out where NO_COLOR is set.`,
		Example: "  engine top\n  engine top --server https://gnomon.example.com:7780\n  engine top --json | jq -c '.projections[] | [.projection, .behind]'",
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := f.Client()
			if err != nil {
				return err
			}
			switch out := c.OutOrStdout(); {
			case f.JSON:
				return cli.Explain(topLines(c.Context(), cl, out, once))
			case once:
				return cli.Explain(topOnce(c.Context(), cl, out))
			case !cli.IsTerminal(out):
				fmt.Fprintln(c.ErrOrStderr(), "engine top: standard output is no terminal: this is one table, as with --once")
				return cli.Explain(topOnce(c.Context(), cl, out))
			case os.Getenv("TERM") == "dumb":
				fmt.Fprintln(c.ErrOrStderr(), "engine top: the terminal cannot place a cursor (TERM is dumb): this is one table, as with --once")
				return cli.Explain(topOnce(c.Context(), cl, out))
			}
			screen, err := tcell.NewScreen(tcell.OptSanitizeContent(true))
			if err == nil {
				err = screen.Init()
			}
			if err != nil {
				return cli.WithHint(fmt.Errorf("open the terminal: %w", err), "print one table with --once")
			}
			return watchTop(c.Context(), cl, screen, &topView{server: f.URL})
		},
	}
	f.AddServer(c)
	c.Flags().BoolVar(&once, "once", false, "print one table, and end")
	c.Flags().BoolVar(&f.JSON, "json", false, "print JSON, a line every second")
	return c
}

const (
	topEvery    = time.Second
	topPatience = 5 * time.Second // with one answer
)

// topOnce prints what status prints.
func topOnce(ctx context.Context, cl *client.Client, w io.Writer) error {
	all, err := cl.Overview(ctx)
	if err != nil {
		return err
	}
	return cli.PrintOverview(w, all, false)
}

// topLines prints a line of JSON every second, until it is interrupted, or one.
func topLines(ctx context.Context, cl *client.Client, w io.Writer, once bool) error {
	for {
		all, err := cl.Projections(ctx)
		if err == nil {
			err = cli.PrintStatuses(w, all, true)
		}
		if once || err != nil && ctx.Err() == nil {
			return err
		}
		if !cli.Wait(ctx, topEvery) {
			return nil
		}
	}
}

// topAnswer is what an engine said, or why it did not.
type topAnswer struct {
	all     []engine.Status
	version string    // empty: not known
	started time.Time // zero: not known
	err     error
}

// askTop asks every second until the context ends.
func askTop(ctx context.Context, cl *client.Client, answers chan<- topAnswer) {
	for {
		asking, cancel := context.WithTimeout(ctx, topPatience)
		var a topAnswer
		said, err := cl.Overview(asking)
		a.all, a.err = said.Projections, err
		if said.Engine != nil {
			a.version, a.started = said.Engine.Version, said.Engine.Started
		}
		cancel()
		select {
		case answers <- a:
		case <-ctx.Done():
			return
		}
		if !cli.Wait(ctx, topEvery) {
			return
		}
	}
}

// watchTop shows a view on a screen until somebody ends it. The terminal is as it was before
// when this returns, or panics.
func watchTop(ctx context.Context, cl *client.Client, screen tcell.Screen, v *topView) error {
	defer screen.Fini()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	answers := make(chan topAnswer)
	go askTop(ctx, cl, answers)
	for {
		drawTop(screen, v, time.Now())
		screen.Show()
		select {
		case <-ctx.Done():
			return nil
		case a := <-answers:
			if v.paused {
				continue
			}
			var p *wire.Problem
			if errors.As(a.err, &p) && p.Code == wire.CodeUnauthorized { // waiting does not help
				return cli.Explain(a.err)
			}
			v.version, v.started = a.version, a.started
			v.answer(a.all, a.err, time.Now())
		case e, open := <-screen.EventQ():
			if !open {
				return errors.New("the terminal is gone")
			}
			switch e := e.(type) {
			case *tcell.EventResize:
				screen.Sync()
			case *tcell.EventKey:
				if !v.press(keyOf(e)) {
					return nil
				}
			}
		}
	}
}

// keyOf is what a key is for.
func keyOf(e *tcell.EventKey) topKey {
	switch e.Key() {
	case tcell.KeyCtrlC:
		return keyEnd
	case tcell.KeyUp:
		return keyUp
	case tcell.KeyDown:
		return keyDown
	case tcell.KeyPgUp:
		return keyPageUp
	case tcell.KeyPgDn:
		return keyPageDown
	case tcell.KeyEnter:
		return keyEnter
	case tcell.KeyEscape:
		return keyEscape
	case tcell.KeyBackspace, tcell.KeyBackspace2:
		return keyBackspace
	case tcell.KeyRune:
		if e.Str() == "c" && e.Modifiers()&tcell.ModCtrl != 0 {
			return keyEnd
		}
		return topKey(e.Str())
	}
	return ""
}
