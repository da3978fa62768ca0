package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"gnomon/engine"
	"gnomon/engine/config"
	"gnomon/engine/query"
	"gnomon/engine/query/wire"
)

func publishCommand() *cobra.Command {
	var configPath, stream string
	var asJSON bool
	var expect uint64
	e := wire.NewEvent{}
	c := &cobra.Command{
		Use:   "publish SUBJECT DATA",
		Short: "Append one event to the stream that stores its subject",
		Long: `Publish appends one event and prints its stream and sequence. DATA may be - for
standard input. With --expect-last-subject-seq N it is stored only when the last event of
that subject has the sequence N; 0: when there is none, which makes the subject unique.
It exits with 3 when the sequence is another one: then nothing was stored.`,
		Example: "  engine publish events.account.42 '{\"amount\":5}'\n" +
			"  engine publish users.name.ada '{}' --expect-last-subject-seq 0",
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := config.Load(configPath)
			if err != nil {
				return err
			}
			e.Subject, e.DataB64 = args[0], []byte(args[1])
			if args[1] == "-" {
				if e.DataB64, err = io.ReadAll(c.InOrStdin()); err != nil {
					return err
				}
			}
			if c.Flags().Changed("expect-last-subject-seq") {
				e.ExpectLast = &expect
			}
			if stream == "" {
				if stream, err = streamOf(cfg, e.Subject); err != nil {
					return err
				}
			}
			return publishEvent(c, cfg, stream, e, asJSON)
		},
	}
	configFlag(c, &configPath)
	c.Flags().StringVar(&stream, "stream", "", "stream that must store the event; default: the configured one with this subject")
	c.Flags().Uint64Var(&expect, "expect-last-subject-seq", 0, "sequence that the subject's last event must have; 0: there must be none")
	c.Flags().StringVar(&e.ID, "id", "", "id of the event: the server drops a second one with it")
	c.Flags().StringVar(&e.Type, "type", "", "type of the event (ce-type)")
	c.Flags().StringVar(&e.Time, "time", "", "business time of the event, RFC 3339 (ce-time)")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// streamOf finds the configured stream that stores a subject.
func streamOf(c *config.Config, subject string) (string, error) {
	if err := engine.CheckSubject(subject); err != nil {
		return "", err
	}
	for _, s := range c.Streams {
		for _, filter := range s.Subjects {
			if engine.MatchSubject(filter, []byte(subject)) {
				return s.Name, nil
			}
		}
	}
	return "", withHint(fmt.Errorf("no configured stream stores the subject %q", subject), "name the stream with --stream, or add the subject to a [[stream]]")
}

func publishEvent(c *cobra.Command, cfg *config.Config, stream string, e wire.NewEvent, asJSON bool) (err error) {
	t, err := openTarget(c.Context(), cfg, quietLog(c.ErrOrStderr()))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	done, err := t.publish(c.Context(), stream, e)
	if err != nil {
		return conflict(explain(err))
	}
	if asJSON {
		return printJSON(c.OutOrStdout(), done)
	}
	was := ""
	if done.Duplicate {
		was = " (was there already)"
	}
	fmt.Fprintf(c.OutOrStdout(), "%s %d%s\n", done.Stream, done.Sequence, was)
	return nil
}

// conflict tells the error for a sequence that is not the expected one, which callers
// handle, from others.
func conflict(err error) error {
	var p *wire.Problem
	if errors.Is(err, query.ErrWrongSequence) || errors.As(err, &p) && p.Code == wire.CodeWrongSequence {
		return withHint(&differsError{err}, "read the subject's last event, decide again, and publish with its sequence")
	}
	return err
}
