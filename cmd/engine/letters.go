package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"gnomon/cmd/engine/cli"
	"gnomon/engine"
	"gnomon/engine/query/wire"
	"gnomon/engine/state"
)

func deadLettersCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "dead-letters",
		Short: "See, retry, skip and drop events that a projection failed on",
		Long: `What becomes of an event that a projection fails on is its on_error. With "dead-letter" the
event is set aside; with "quarantine" so are, behind it, the later events of its key. With "halt" the
projection stops before the event: skip NAME SEQ passes over it.`,
		Example: "  engine dead-letters list orders\n" +
			"  engine dead-letters retry orders --key customer-17",
	}
	c.AddCommand(lettersListCommand(), lettersRetryCommand(), lettersSkipCommand(), lettersDropCommand(), lettersExportCommand())
	cli.Chooses(c)
	return c
}

func lettersListCommand() *cobra.Command {
	var f readFlags
	var after uint64
	var limit int
	c := &cobra.Command{
		Use:   "list NAME",
		Short: "List the events that a projection has set aside",
		Long: `List prints a line for each event that is set aside: dead (it failed), failed (it did, and later
events of its key wait), parked (it waits), or skipped (the record of one that was passed over). With --json
it prints an object on each line, with the event's data and headers.`,
		Example: "  engine dead-letters list orders\n  engine dead-letters list orders --json --after 1200 --limit 10",
		Args:    cli.AsUsage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if limit < 0 {
				return cli.Usagef(c, "--limit %d: it cannot be negative", limit)
			}
			return f.read(c, func(r reader) error {
				return listLetters(c.Context(), c.OutOrStdout(), r, args[0], after, limit, f.JSON)
			})
		},
	}
	f.add(c)
	c.Flags().Uint64Var(&after, "after", 0, "only events after this sequence")
	c.Flags().IntVar(&limit, "limit", 0, "at most so many; 0: all")
	return c
}

func listLetters(ctx context.Context, w io.Writer, r reader, name string, after uint64, limit int, asJSON bool) error {
	if asJSON {
		out := bufio.NewWriter(w)
		err := r.Letters(ctx, name, after, limit, func(l wire.Letter) error { return cli.PrintJSON(out, l) })
		return errors.Join(err, out.Flush())
	}
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "SEQ\tSTATUS\tKEY\tSUBJECT\tSET ASIDE\tTRIES\tERROR")
	err := r.Letters(ctx, name, after, limit, func(l wire.Letter) error {
		_, err := fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%d\t%s\n", l.Sequence, l.Status, orDash(l.Key), cli.Readable([]byte(l.Subject)),
			l.SetAside.Format("2006-01-02 15:04:05 MST"), l.Attempts, cli.Readable([]byte(l.Error)))
		return err
	})
	return errors.Join(err, t.Flush())
}

func orDash(b []byte) string {
	if len(b) == 0 {
		return "-"
	}
	return cli.Readable(b)
}

// Letters reads the events that were set aside from the files of an engine that is not
// running.
func (f *files) Letters(ctx context.Context, projection string, after uint64, limit int, fn func(wire.Letter) error) error {
	return f.view(ctx, projection, func(v state.View, _ state.Checkpoint) error {
		var ferr error
		n := 0
		err := state.ReadLetters(v, after, func(l state.Letter) bool {
			var out wire.Letter
			if out, ferr = wire.LetterOf(l); ferr == nil {
				ferr = fn(out)
			}
			n++
			return ferr == nil && n != limit && ctx.Err() == nil
		})
		return errors.Join(err, ferr, ctx.Err())
	})
}

// orderFlags say which events an order is about.
type orderFlags struct {
	read readFlags
	key  string
	all  bool
}

func (f *orderFlags) add(c *cobra.Command) {
	f.read.AddServer(c)
	c.Flags().StringVar(&f.key, "key", "", "the events of this key")
	c.Flags().BoolVar(&f.all, "all", false, "all events that are set aside")
	c.Flags().BoolVar(&f.read.JSON, "json", false, "print JSON")
}

// letters returns what the order is about: one event, those of a key, or all.
func (f *orderFlags) letters(c *cobra.Command, args []string) (l engine.Letters, err error) {
	n := 0
	if len(args) > 1 {
		n++
		if l.Sequence, err = parseSequence(c, args[1]); err != nil {
			return l, err
		}
	}
	if cli.Given(c, "key") {
		if n++; f.key == "" {
			return l, cli.Usagef(c, "--key is empty: events without a key are named by their sequence")
		}
		l.Key = []byte(f.key)
	}
	if f.all {
		n++
	}
	if n != 1 {
		return l, cli.Usagef(c, "which events? Exactly one is needed of SEQ, --key K and --all")
	}
	return l, nil
}

func parseSequence(c *cobra.Command, text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 {
		return 0, cli.Usagef(c, "%q is not the sequence of an event: a number from 1", text)
	}
	return n, nil
}

func lettersRetryCommand() *cobra.Command {
	c := orderCommand(engine.RetryLetters, "Apply events that were set aside again, with the module as it is now", nil)
	c.Long = `Retry applies events again, in order, and stops at the first that fails again: then it exits with 1.
An event that waits for others of its key is applied after them, whichever was asked for.`
	return c
}

func lettersSkipCommand() *cobra.Command {
	c := orderCommand(engine.SkipLetters, "Pass over events for good, and let what waits behind them go on", nil)
	c.Long = `Skip passes over events, keeps a record of each, and applies what waited behind them. For a projection
that is halted, SEQ is the event that it is halted before: it goes on after that one.`
	return c
}

func lettersDropCommand() *cobra.Command {
	var yes bool
	c := orderCommand(engine.DropLetters, "Forget events that were set aside, with all that waits behind them", func(c *cobra.Command, name string) error {
		return confirmed(c, yes, fmt.Sprintf("Forget these events of %s, and what waits behind them, for good?", name))
	})
	c.Long = `Drop forgets events: nothing is left of them but what the stream still holds. Later events of their keys that
wait behind them go with them. It asks before, on a terminal; elsewhere it needs --yes.`
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

// orderCommand is a command that has a running engine do something with events that
// were set aside. First, when not nil, may refuse.
func orderCommand(verb engine.Verb, short string, first func(c *cobra.Command, name string) error) *cobra.Command {
	var f orderFlags
	c := &cobra.Command{
		Use:     string(verb) + " NAME [SEQ]",
		Short:   short,
		Example: fmt.Sprintf("  engine dead-letters %s orders 1234\n  engine dead-letters %s orders --key customer-17", verb, verb),
		Args:    cli.AsUsage(cobra.RangeArgs(1, 2)),
		RunE: func(c *cobra.Command, args []string) error {
			l, err := f.letters(c, args)
			if err == nil && first != nil {
				err = first(c, args[0])
			}
			if err != nil {
				return err
			}
			cl, err := f.read.Client()
			if err != nil {
				return err
			}
			done, err := cl.Order(c.Context(), args[0], verb, l)
			if err != nil {
				return cli.Explain(err)
			}
			if err := printOrdered(c.OutOrStdout(), args[0], verb, done, f.read.JSON); err != nil {
				return err
			}
			return failedAgain(args[0], done)
		},
	}
	f.add(c)
	return c
}

func printOrdered(w io.Writer, name string, verb engine.Verb, done engine.Ordered, asJSON bool) error {
	if asJSON {
		return cli.PrintJSON(w, done)
	}
	did := map[engine.Verb]string{engine.RetryLetters: "applied", engine.SkipLetters: "skipped, or applied behind one", engine.DropLetters: "dropped"}[verb]
	if verb == engine.SkipLetters && done.Done == 1 {
		did = "skipped"
	}
	_, err := fmt.Fprintf(w, "%s: %d %s, %d set aside\n", name, done.Done, did, done.Left)
	return err
}

// failedAgain is the error for an event that failed again.
func failedAgain(name string, done engine.Ordered) error {
	if done.Error == "" {
		return nil
	}
	return cli.WithHint(fmt.Errorf("event %d of projection %s: %s", done.Seq, name, cli.Readable([]byte(done.Error))),
		"it stays set aside; mend the module, or what it needs, and retry; engine dead-letters export %s %d makes a file to reproduce it with; engine dead-letters skip %s %d passes over it", name, done.Seq, name, done.Seq)
}

// confirmed asks a person at a terminal; elsewhere the flag --yes is needed.
func confirmed(c *cobra.Command, yes bool, question string) error {
	if yes {
		return nil
	}
	if f, ok := c.InOrStdin().(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return cli.Usagef(c, "nobody can be asked here: say --yes")
	}
	fmt.Fprintf(c.ErrOrStderr(), "%s [y/N] ", question)
	line, err := bufio.NewReader(c.InOrStdin()).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
		return errors.New("nothing was done")
	}
	return nil
}
