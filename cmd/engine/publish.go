package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/config"
	"gnomon/engine/query"
	"gnomon/engine/query/wire"
	"gnomon/engine/streams"
)

// publishOptions are the flags of publish.
type publishOptions struct {
	config, stream, batch    string
	expectStream, expectLast uint64
	event                    wire.NewEvent
	json                     bool
}

func publishCommand() *cobra.Command {
	o := &publishOptions{}
	c := &cobra.Command{
		Use:   "publish SUBJECT DATA | --batch FILE",
		Short: "Append an event, or several as one, to the stream that stores the subject",
		Long: `Publish appends one event and prints its stream and sequence. DATA may be - for
standard input. With --expect-last-subject-seq N it is stored only when the last event of
that subject has the sequence N; 0: when there is none, which makes the subject unique.
With --expect-last-seq N, only when N is the last sequence of the stream. It exits with 3
when the sequence is another one: then nothing was stored, and --json prints the event
that is there. A retry with the same id is answered as what it repeats.

With --batch it appends the events of a file, or of standard input for -, all of them or
none: at most 1000, one JSON object a line, with the fields subject, id, msg_id, type, time,
source, data or data_b64, expect_last_subject_seq, expect_subject, expect_stream and, of the
first one, expect_last_seq. It prints the sequences of the first and the last.`,
		Example: "  engine publish events.account.42 '{\"amount\":5}'\n" +
			"  engine publish users.name.ada '{}' --expect-last-subject-seq 0\n" +
			"  engine publish --batch order.jsonl --expect-last-seq 1041",
		Args: publishArgs,
		RunE: func(c *cobra.Command, args []string) error { return publishWith(c, o, args) },
	}
	cli.ConfigFlag(c, &o.config)
	f := c.Flags()
	f.StringVar(&o.stream, "stream", "", "stream that must store the event; default: the configured one with this subject")
	f.Uint64Var(&o.expectLast, "expect-last-subject-seq", 0, "sequence that the subject's last event must have; 0: there must be none")
	f.StringVar(&o.event.ExpectSubject, "expect-subject", "", "the subject that --expect-last-subject-seq is about, with wildcards or not; default: the event's")
	f.StringVar(&o.event.ExpectStream, "expect-stream", "", "name of the stream that must store the event; default: any")
	f.Uint64Var(&o.expectStream, "expect-last-seq", 0, "sequence that the stream's last event must have; 0: nothing was ever stored")
	f.StringVar(&o.event.ID, "id", "", "id of the event: the server drops a second one with it")
	f.StringVar(&o.event.MsgID, "msg-id", "", "id of the message (Nats-Msg-Id), where it is not that of the event")
	f.StringVar(&o.event.Type, "type", "", "type of the event (ce-type)")
	f.StringVar(&o.event.Time, "time", "", "business time of the event, RFC 3339 (ce-time)")
	f.StringVar(&o.batch, "batch", "", "file of events to append as one, or -")
	f.BoolVar(&o.json, "json", false, "print JSON, also of the event that is in the way")
	return c
}

// publishArgs are a subject and its data, or neither.
func publishArgs(c *cobra.Command, args []string) error {
	if !cli.Given(c, "batch") {
		return cobra.ExactArgs(2)(c, args)
	}
	for _, flag := range []string{"id", "msg-id", "type", "time", "expect-last-subject-seq", "expect-subject", "expect-stream"} {
		if cli.Given(c, flag) {
			return fmt.Errorf("--batch and --%s are both given: of a batch that belongs into the events", flag)
		}
	}
	if len(args) > 0 {
		return errors.New("--batch and a subject are both given: of a batch each event names its own")
	}
	return nil
}

func publishWith(c *cobra.Command, o *publishOptions, args []string) error {
	cfg, err := config.Load(o.config)
	if err != nil {
		return err
	}
	events := []wire.NewEvent{o.event}
	if o.batch == "" {
		events[0].Subject = args[0]
		events[0].DataB64, err = dataOf(c, args[1])
	} else {
		events, err = readBatch(c, o.batch)
	}
	if err != nil {
		return err
	}
	if cli.Given(c, "expect-last-subject-seq") {
		events[0].ExpectLastSubjectSeq = &o.expectLast
	}
	if cli.Given(c, "expect-last-seq") {
		events[0].ExpectLastSeq = &o.expectStream
	}
	if o.stream == "" {
		if o.stream, err = streamOf(cfg, events[0].Subject); err != nil {
			return err
		}
	}
	return publishEvents(c, cfg, o, events)
}

// dataOf is an argument, or for - what standard input holds.
func dataOf(c *cobra.Command, arg string) ([]byte, error) {
	if arg == "-" {
		return io.ReadAll(c.InOrStdin())
	}
	return []byte(arg), nil
}

// readBatch reads a file of events, or standard input.
func readBatch(c *cobra.Command, file string) ([]wire.NewEvent, error) {
	if file == "-" {
		return parseBatch(file, c.InOrStdin())
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseBatch(file, f)
}

// maxBatchLine bounds an event of a batch, as the body of a request is bounded.
const maxBatchLine = 4 << 20

// parseBatch reads events, one JSON object a line. Empty lines are passed over.
func parseBatch(file string, r io.Reader) (events []wire.NewEvent, _ error) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxBatchLine)
	line := 0
	for s.Scan() {
		line++
		if len(bytes.TrimSpace(s.Bytes())) == 0 {
			continue
		}
		d := json.NewDecoder(bytes.NewReader(s.Bytes()))
		d.DisallowUnknownFields()
		var e wire.NewEvent
		if err := d.Decode(&e); err != nil {
			return nil, fmt.Errorf("%s:%d: not an event: %w", file, line, err)
		}
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s:%d: more than one JSON value on the line", file, line)
		}
		if events = append(events, e); len(events) > wire.MaxEvents {
			return nil, cli.WithHint(fmt.Errorf("%s has more than %d events, and a batch takes no more", file, wire.MaxEvents), "engine import takes any number, each by itself")
		}
	}
	switch err := s.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("%s:%d: line of more than %d bytes", file, line+1, maxBatchLine)
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", file, err)
	case len(events) == 0:
		return nil, fmt.Errorf("%s has no events", file)
	}
	return events, nil
}

// streamOf finds the configured stream that stores a subject.
func streamOf(c *config.Config, subject string) (string, error) {
	if err := streams.CheckSubject(subject); err != nil {
		return "", err
	}
	for _, s := range c.Streams {
		for _, filter := range s.Subjects {
			if streams.MatchSubject(filter, []byte(subject)) {
				return s.Name, nil
			}
		}
	}
	return "", cli.WithHint(fmt.Errorf("no configured stream stores the subject %q", subject), "name the stream with --stream, or add the subject to a [[stream]]")
}

func publishEvents(c *cobra.Command, cfg *config.Config, o *publishOptions, events []wire.NewEvent) (err error) {
	t, err := openTarget(c.Context(), cfg, cli.QuietLog(c.ErrOrStderr()))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	var done wire.Appended
	if o.batch == "" {
		done, err = t.publish(c.Context(), o.stream, events[0])
	} else {
		done, err = t.publishBatch(c.Context(), o.stream, events)
	}
	if err != nil {
		if there := thereInstead(err); there != nil && o.json {
			err = errors.Join(err, cli.PrintJSON(c.OutOrStdout(), there))
		}
		return conflict(cli.Explain(err))
	}
	if o.json {
		return cli.PrintJSON(c.OutOrStdout(), done)
	}
	was, first := "", ""
	if done.Duplicate {
		was = " (was there already)"
	}
	if done.Count > 1 {
		first = fmt.Sprintf("%d-", done.First)
	}
	fmt.Fprintf(c.OutOrStdout(), "%s %s%d%s\n", done.Stream, first, done.Sequence, was)
	return nil
}

// thereInstead is what an error of an append says is there; nil: nothing.
func thereInstead(err error) *wire.Conflict {
	var p *wire.Problem
	var conflict *query.ConflictError
	switch {
	case errors.As(err, &p):
		return p.Conflict
	case errors.As(err, &conflict):
		return &conflict.Conflict
	}
	return nil
}

// conflict tells the error for a sequence that is not the expected one, which callers
// handle, from others.
func conflict(err error) error {
	var p *wire.Problem
	if errors.Is(err, query.ErrWrongStream) || errors.As(err, &p) && p.Code == wire.CodeWrongStream {
		return cli.Differs(err)
	}
	if errors.Is(err, query.ErrWrongSequence) || errors.As(err, &p) && p.Code == wire.CodeWrongSequence {
		return cli.WithHint(cli.Differs(err), "look at the last event (--json prints it), decide again, and publish with its sequence")
	}
	return err
}
