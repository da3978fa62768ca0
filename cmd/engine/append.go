package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"gnomon/engine"
	"gnomon/engine/broker"
	"gnomon/engine/config"
	"gnomon/engine/importer"
	"gnomon/engine/query"
	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
	"gnomon/engine/store"
)

// appender appends to streams on behalf of HTTP requests.
type appender struct{ broker *broker.Broker }

var _ query.Appender = (*appender)(nil)

// Import implements query.Appender.
func (a *appender) Import(ctx context.Context, stream string, lines io.Reader) (wire.Imported, error) {
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

// publish appends one event, with the attributes of CloudEvents that it has.
func publish(ctx context.Context, b *broker.Broker, stream string, e wire.NewEvent) (wire.Appended, error) {
	if err := engine.CheckSubject(e.Subject); err != nil {
		return wire.Appended{}, fmt.Errorf("%w: %w", query.ErrBadEvent, err)
	}
	if _, err := time.Parse(time.RFC3339, e.Time); e.Time != "" && err != nil {
		return wire.Appended{}, fmt.Errorf("%w: time %q is not RFC 3339, such as 2026-01-31T12:00:00Z", query.ErrBadEvent, e.Time)
	}
	if e.Data != nil && e.DataB64 != nil {
		return wire.Appended{}, fmt.Errorf("%w: data and data_b64 are both given: use one of them", query.ErrBadEvent)
	}
	data := []byte(e.Data)
	if e.DataB64 != nil {
		data = e.DataB64
	}
	seq, duplicate, err := b.Publish(ctx, broker.Event{
		Stream: stream, Subject: e.Subject, ID: e.ID, Headers: attributes(e), Data: data, ExpectLast: e.ExpectLast,
	})
	var wrong *broker.WrongSequenceError
	if errors.As(err, &wrong) {
		return wire.Appended{}, wrongSequence{wrong}
	}
	if errors.Is(err, broker.ErrTooLarge) {
		return wire.Appended{}, fmt.Errorf("%w: %w", query.ErrBadEvent, err)
	}
	return wire.Appended{Stream: stream, Sequence: seq, Duplicate: duplicate}, err
}

// wrongSequence is query.ErrWrongSequence in the words of the broker.
type wrongSequence struct{ *broker.WrongSequenceError }

func (wrongSequence) Is(target error) bool { return target == query.ErrWrongSequence }

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
		return nil, withHint(fmt.Errorf("process %d has the embedded NATS server of %s, and serves no HTTP", h.PID, c.DataDir),
			"wait for it to end, or let it listen (http.listen)")
	}
	token, err := ownToken(c.HTTP)
	if err != nil {
		return nil, err
	}
	cl, err := client.New("http://"+h.HTTP, token)
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
