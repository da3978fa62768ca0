package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/broker"
	"gnomon/engine/config"
	"gnomon/engine/importer"
	"gnomon/engine/query"
	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
	"gnomon/engine/store"
	"gnomon/engine/streams"
)

// appender appends to streams on behalf of HTTP requests.
type appender struct{ broker *broker.Broker }

var _ query.Appender = (*appender)(nil)

// Import implements query.Appender.
func (a *appender) Import(ctx context.Context, stream string, lines io.Reader) (done wire.Imported, err error) {
	err = permitted(ctx, a.broker, func(ctx context.Context) error {
		done, err = a.importLines(ctx, stream, lines)
		return err
	}, stream)
	return done, err
}

func (a *appender) importLines(ctx context.Context, stream string, lines io.Reader) (wire.Imported, error) {
	sink, err := importer.OpenStream(ctx, a.broker.JetStream(), stream)
	if err != nil {
		return wire.Imported{}, err
	}
	err = importer.Import(ctx, "line", lines, sink, importer.Options{})
	var line *importer.LineError
	if errors.As(err, &line) {
		err = &query.LineError{Line: line.Line, Err: line.Err}
	}
	return wire.Imported(sink.Counts()), err
}

// Publish implements query.Appender.
func (a *appender) Publish(ctx context.Context, stream string, e wire.NewEvent) (wire.Appended, error) {
	return publish(ctx, a.broker, stream, e)
}

// PublishBatch implements query.Appender.
func (a *appender) PublishBatch(ctx context.Context, stream string, events []wire.NewEvent) (wire.Appended, error) {
	return publishBatch(ctx, a.broker, stream, events)
}

// publish appends one event, with the attributes of CloudEvents that it has.
func publish(ctx context.Context, b *broker.Broker, stream string, e wire.NewEvent) (wire.Appended, error) {
	event, err := newEvent(stream, e)
	if err != nil {
		return wire.Appended{}, badEvent(err)
	}
	seq, duplicate, err := b.Publish(ctx, event)
	if err != nil {
		return wire.Appended{}, publishError(err)
	}
	return wire.Appended{Stream: stream, Sequence: seq, Duplicate: duplicate}, nil
}

// publishBatch appends events as one: all of them or none.
func publishBatch(ctx context.Context, b *broker.Broker, stream string, events []wire.NewEvent) (wire.Appended, error) {
	batch := make([]broker.Event, len(events))
	for i, e := range events {
		var err error
		if batch[i], err = newEvent(stream, e); err != nil {
			return wire.Appended{}, badEvent(fmt.Errorf("event %d: %w", i+1, err))
		}
	}
	first, duplicate, err := b.PublishBatch(ctx, stream, batch)
	if err != nil {
		return wire.Appended{}, publishError(err)
	}
	n := len(events)
	return wire.Appended{Stream: stream, Sequence: first + uint64(n) - 1, First: first, Count: n, Duplicate: duplicate}, nil
}

// badEvent is the error for an event that cannot be appended as it is.
func badEvent(err error) error {
	if errors.Is(err, query.ErrWrongStream) {
		return err
	}
	return fmt.Errorf("%w: %w", query.ErrBadEvent, err)
}

// newEvent checks an event that somebody asks to append.
func newEvent(stream string, e wire.NewEvent) (broker.Event, error) {
	if err := streams.CheckSubject(e.Subject); err != nil {
		return broker.Event{}, err
	}
	if _, err := time.Parse(time.RFC3339, e.Time); e.Time != "" && err != nil {
		return broker.Event{}, fmt.Errorf("time %q is not RFC 3339, such as 2026-01-31T12:00:00Z", e.Time)
	}
	if e.Data != nil && e.DataB64 != nil {
		return broker.Event{}, errors.New("data and data_b64 are both given: use one of them")
	}
	for _, f := range []struct{ name, value string }{{"id", e.ID}, {"msg_id", e.MsgID}, {"type", e.Type}, {"source", e.Source}} {
		if !importer.HeaderValue(f.value) {
			return broker.Event{}, fmt.Errorf("%s %.80q cannot be a header: it has line breaks, or spaces around it", f.name, f.value)
		}
	}
	if e.ExpectStream != "" && e.ExpectStream != stream {
		return broker.Event{}, fmt.Errorf("publish %s: %w: expected stream %s, and it is appended to %s", e.Subject, query.ErrWrongStream, e.ExpectStream, stream)
	}
	if e.ExpectSubject != "" {
		if err := streams.CheckFilter(e.ExpectSubject); err != nil {
			return broker.Event{}, fmt.Errorf("expect_subject: %w", err)
		}
	}
	data := []byte(e.Data)
	if e.DataB64 != nil {
		data = e.DataB64
	}
	return broker.Event{
		Stream: stream, Subject: e.Subject, ID: e.MessageID(), Headers: attributes(e), Data: data,
		Expect: broker.Expect{LastSeq: e.ExpectLastSeq, LastSubjectSeq: e.ExpectLastSubjectSeq, Filter: e.ExpectSubject},
	}, nil
}

// publishError is an error of the broker in the words of the appender.
func publishError(err error) error {
	var wrong *broker.WrongSequenceError
	if errors.As(err, &wrong) {
		return &query.ConflictError{Conflict: conflictOf(wrong), Err: wrong}
	}
	for theirs, ours := range map[error]error{
		broker.ErrTooLarge: query.ErrBadEvent, broker.ErrBadBatch: query.ErrBadEvent, broker.ErrBadExpectation: query.ErrBadEvent,
		broker.ErrKnownID: query.ErrKnownID, broker.ErrNotAtomic: query.ErrNotAtomic, broker.ErrInDoubt: query.ErrInDoubt, broker.ErrInTheWay: query.ErrInTheWay,
	} {
		if errors.Is(err, theirs) {
			return &appendError{err, ours}
		}
	}
	return err
}

// appendError is an error of the broker that is one of the appender's, too.
type appendError struct {
	error
	is error
}

func (e *appendError) Is(target error) bool { return target == e.is }
func (e *appendError) Unwrap() error        { return e.error }

func conflictOf(wrong *broker.WrongSequenceError) wire.Conflict {
	c := wire.Conflict{Event: wrong.Event}
	if wrong.Of == "" {
		c.LastSeq = &wrong.Have
	} else {
		c.LastSubjectSeq = &wrong.Have
	}
	if wrong.Last == nil {
		return c
	}
	h := nats(wrong.Last.Headers)
	c.Last = &wire.Stored{
		Sequence: wrong.Last.Sequence, Subject: wrong.Last.Subject, StoredAt: wrong.Last.Time.UTC(), MsgID: wrong.Last.ID(),
		ID: h.get("ce-id"), Type: h.get("ce-type"), Time: h.get("ce-time"), Source: h.get("ce-source"),
	}
	if wire.IsJSON(wrong.Last.Data) {
		c.Last.Data = wrong.Last.Data
	} else {
		c.Last.DataB64 = wrong.Last.Data
	}
	return c
}

// nats are headers, whose names are taken as they are written.
type nats map[string][]string

func (h nats) get(name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// attributes are an event's headers: in binary mode of CloudEvents, and what it is traced by.
func attributes(e wire.NewEvent) map[string][]string {
	h := map[string][]string{}
	for name, value := range map[string]string{"ce-id": e.ID, "ce-type": e.Type, "ce-time": e.Time, "ce-source": e.Source} {
		if value != "" {
			h[name] = []string{value}
		}
	}
	if len(h) > 0 {
		h["ce-specversion"] = []string{"1.0"}
	}
	for name, value := range map[string]string{"traceparent": e.Trace.Parent, "tracestate": e.Trace.State} {
		if value != "" {
			h[name] = []string{value}
		}
	}
	return h
}

// target is where the import and publish commands append to: NATS itself, or the
// engine that has the embedded server.
type target struct {
	broker *broker.Broker // nil when there is an engine to ask
	client *client.Client
	close  func() error
}

// openTarget finds out how to reach the streams of a configuration: directly when
// the server is an external one; through the engine that runs on the configuration;
// or by starting the embedded server for as long as the command takes.
func openTarget(ctx context.Context, c *config.Config, log *slog.Logger) (*target, error) {
	if c.NATS.URL == broker.Embedded && c.NATS.Context == "" {
		if h, running := store.Running(c.DataDir); running {
			return runningTarget(c, h)
		}
		return embeddedTarget(ctx, c, log)
	}
	b, err := openBroker(ctx, c, log)
	if err != nil {
		return nil, err
	}
	t := &target{broker: b, close: func() error { b.Close(); return nil }}
	if err := ensureStreams(ctx, b, c.Streams, log); err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

func runningTarget(c *config.Config, h store.Holder) (*target, error) {
	if h.HTTP == "" {
		return nil, cli.WithHint(fmt.Errorf("process %d has the embedded NATS server of %s, and serves no HTTP", h.PID, c.DataDir),
			"wait for it to end, or let it listen (http.listen)")
	}
	cl, err := cli.OwnClient(c.HTTP, h)
	return &target{client: cl, close: func() error { return nil }}, err
}

func embeddedTarget(ctx context.Context, c *config.Config, log *slog.Logger) (*target, error) {
	dir, err := openDir(c.DataDir, log)
	if err != nil {
		return nil, err
	}
	b, err := openBroker(ctx, c, log)
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	t := &target{broker: b, close: func() error { b.Close(); return dir.Close() }}
	if err := ensureStreams(ctx, b, c.Streams, log); err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

// permitted runs what asks the server about a stream or a bucket, which ends as soon as the
// server refuses that.
func permitted(ctx context.Context, b *broker.Broker, fn func(context.Context) error, about ...string) error {
	ctx, done := b.Permitted(ctx, about...)
	defer done()
	return b.Explain(fn(ctx))
}

// permitted is that for a command, which does one thing only.
func (t *target) permitted(ctx context.Context, fn func(context.Context) error) error {
	if t.client != nil {
		return fn(ctx)
	}
	return permitted(ctx, t.broker, fn)
}

// sink opens a stream for appending many events.
func (t *target) sink(ctx context.Context, stream string) (importer.Sink, error) {
	if t.client != nil {
		return &httpSink{client: t.client, stream: stream}, nil
	}
	return importer.OpenStream(ctx, t.broker.JetStream(), stream)
}

func (t *target) publish(ctx context.Context, stream string, e wire.NewEvent) (wire.Appended, error) {
	if t.client != nil {
		return t.client.Publish(ctx, stream, e)
	}
	return publish(ctx, t.broker, stream, e)
}

func (t *target) publishBatch(ctx context.Context, stream string, events []wire.NewEvent) (wire.Appended, error) {
	if t.client != nil {
		return t.client.PublishBatch(ctx, stream, events)
	}
	return publishBatch(ctx, t.broker, stream, events)
}
