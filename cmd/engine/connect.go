package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/broker"
	"gnomon/engine/config"
	"gnomon/engine/ingest"
	"gnomon/engine/query"
	"gnomon/engine/query/wire"
	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// connect connects to NATS and sees to the streams there. When an external server is away
// an engine that is to serve does the latter as soon as it is there.
func (n *node) connect(ctx context.Context, serve bool) (err error) {
	if n.broker, err = openBroker(ctx, n.config, n.log); err != nil {
		return err
	}
	n.around.broker.Store(n.broker)
	source := ingest.New(n.broker.JetStream(), n.broker.Explain)
	source.Permitted(n.broker.Permitted)
	n.source.set(source)
	n.outlet.set(n.broker.Outlet())
	n.appender.set(&appender{broker: n.broker})
	if err := n.offer(); err != nil {
		return err
	}
	if !serve || n.broker.Connected() {
		return n.prepareStreams(ctx)
	}
	n.log.Warn("streams are declared and checked when the server is there")
	ctx, n.giveUp = context.WithCancel(ctx)
	n.later.Go(func() { n.prepareLater(ctx) })
	return nil
}

// prepareLater prepares the streams when there is a connection, however often that takes.
func (n *node) prepareLater(ctx context.Context) {
	told := ""
	for cli.Wait(ctx, 2*time.Second) {
		if !n.broker.Connected() {
			continue
		}
		err := n.prepareStreams(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		if err.Error() != told {
			told = err.Error()
			n.log.Error("streams are not as they have to be", "error", err)
		}
	}
}

// prepareStreams declares streams, and checks those that projections read.
func (n *node) prepareStreams(ctx context.Context) error {
	if err := ensureStreams(ctx, n.broker, n.config.Streams, n.log); err != nil {
		return err
	}
	return n.checkStreams(ctx)
}

// ensureStreams creates the declared streams that are absent, and reports where
// others differ.
func ensureStreams(ctx context.Context, b *broker.Broker, streams []config.Stream, log *slog.Logger) error {
	for _, s := range streams {
		created, differences, err := b.EnsureStream(ctx, streamSpec(s))
		if err != nil {
			return err
		}
		if created {
			log.Info("stream created", "stream", s.Name, "subjects", s.Subjects)
		}
		for _, d := range differences {
			log.Warn("stream is not as configured; it is used as it is", "stream", s.Name, "difference", d.String())
		}
	}
	return nil
}

// streamSpec is what the broker is told of a stream.
func streamSpec(s config.Stream) broker.StreamSpec {
	return broker.StreamSpec{
		Name: s.Name, Subjects: s.Subjects, Memory: s.Storage == "memory", MaxAge: time.Duration(s.MaxAge),
		MaxBytes: int64(s.MaxBytes), Duplicates: time.Duration(s.DuplicateWindow), Replicas: s.Replicas,
		Atomic: s.AllowAtomic && len(s.Subjects) > 0,
	}
}

// checkStreams refuses streams that cannot be projected. One that does not exist is waited
// for.
func (n *node) checkStreams(ctx context.Context) error {
	for _, p := range n.config.Projections {
		_, err := n.source.Stream(ctx, p.Stream)
		switch {
		case errors.Is(err, ingest.ErrUnusable) && n.refused[p.Name] == nil:
			return fmt.Errorf("projection %s: %w", p.Name, err)
		case err != nil:
			n.log.Warn("projection waits for its stream", "projection", p.Name, "error", err)
		}
	}
	return nil
}

func openBroker(ctx context.Context, c *config.Config, log *slog.Logger) (*broker.Broker, error) {
	nc := c.NATS
	return broker.Open(ctx, broker.Config{
		URL: nc.URL, Context: nc.Context, Credentials: nc.Credentials, NKey: nc.NKey,
		User: nc.User, Password: nc.Password, Token: nc.Token, InboxPrefix: nc.InboxPrefix,
		TLS:    broker.TLS{CA: nc.TLS.CA, Cert: nc.TLS.Cert, Key: nc.TLS.Key, First: nc.TLS.First},
		Server: broker.Server{Dir: filepath.Join(c.DataDir, "nats"), Listen: nc.Embedded.Listen, SyncInterval: time.Duration(nc.Embedded.SyncInterval)},
		Log:    log,
	})
}

// errConnecting says that there is no connection yet, nor an error of one.
var errConnecting = fmt.Errorf("%w: the first connection to NATS is being made", streams.ErrSourceDown)

// lateSource is a source that comes with the connection. It implements streams.Source and
// query.Streams.
type lateSource struct{ source atomic.Pointer[ingest.Source] }

func (l *lateSource) set(s *ingest.Source) { l.source.Store(s) }

// Stream implements streams.Source.
func (l *lateSource) Stream(ctx context.Context, name string) (streams.Info, error) {
	if s := l.source.Load(); s != nil {
		return s.Stream(ctx, name)
	}
	return streams.Info{}, errConnecting
}

// Event implements streams.Source.
func (l *lateSource) Event(ctx context.Context, stream string, sequence uint64) (abi.Record, error) {
	if s := l.source.Load(); s != nil {
		return s.Event(ctx, stream, sequence)
	}
	return abi.Record{}, errConnecting
}

// SequenceAt implements streams.Source.
func (l *lateSource) SequenceAt(ctx context.Context, stream string, t time.Time) (uint64, error) {
	if s := l.source.Load(); s != nil {
		return s.SequenceAt(ctx, stream, t)
	}
	return 0, errConnecting
}

// Facts implements query.Streams.
func (l *lateSource) Facts(ctx context.Context, stream string) (streams.Facts, error) {
	if s := l.source.Load(); s != nil {
		return s.Facts(ctx, stream)
	}
	return streams.Facts{}, errConnecting
}

// Events implements query.Streams.
func (l *lateSource) Events(ctx context.Context, q streams.Query) (streams.Page, error) {
	if s := l.source.Load(); s != nil {
		return s.Events(ctx, q)
	}
	return streams.Page{}, errConnecting
}

// Read implements streams.Source.
func (l *lateSource) Read(ctx context.Context, stream string, from uint64, limit streams.ReadLimit) (streams.Reader, error) {
	if s := l.source.Load(); s != nil {
		return s.Read(ctx, stream, from, limit)
	}
	return nil, errConnecting
}

// lateAppender appends when there is a connection. It implements query.Appender.
type lateAppender struct{ appender atomic.Pointer[appender] }

var _ query.Appender = (*lateAppender)(nil)

func (l *lateAppender) set(a *appender) { l.appender.Store(a) }

// Import implements query.Appender.
func (l *lateAppender) Import(ctx context.Context, stream string, lines io.Reader) (wire.Imported, error) {
	if a := l.appender.Load(); a != nil {
		return a.Import(ctx, stream, lines)
	}
	return wire.Imported{}, errConnecting
}

// Publish implements query.Appender.
func (l *lateAppender) Publish(ctx context.Context, stream string, e wire.NewEvent) (wire.Appended, error) {
	if a := l.appender.Load(); a != nil {
		return a.Publish(ctx, stream, e)
	}
	return wire.Appended{}, errConnecting
}

// PublishBatch implements query.Appender.
func (l *lateAppender) PublishBatch(ctx context.Context, stream string, events []wire.NewEvent) (wire.Appended, error) {
	if a := l.appender.Load(); a != nil {
		return a.PublishBatch(ctx, stream, events)
	}
	return wire.Appended{}, errConnecting
}

// lateOutlet publishes what is emitted when there is a connection. It implements
// streams.Outlet.
type lateOutlet struct{ outlet atomic.Pointer[broker.Outlet] }

func (l *lateOutlet) set(o *broker.Outlet) { l.outlet.Store(o) }

// StreamFor implements streams.Outlet.
func (l *lateOutlet) StreamFor(ctx context.Context, subject string) (streams.Info, error) {
	if o := l.outlet.Load(); o != nil {
		return o.StreamFor(ctx, subject)
	}
	return streams.Info{}, errConnecting
}

// Publish implements streams.Outlet.
func (l *lateOutlet) Publish(ctx context.Context, stream string, messages []streams.Message) (stored int, last uint64, err error) {
	if o := l.outlet.Load(); o != nil {
		return o.Publish(ctx, stream, messages)
	}
	return 0, 0, errConnecting
}

// Stored implements streams.Outlet.
func (l *lateOutlet) Stored(ctx context.Context, stream string, subjects []string, after uint64, fn func(id string, sequence uint64) bool) error {
	if o := l.outlet.Load(); o != nil {
		return o.Stored(ctx, stream, subjects, after, fn)
	}
	return errConnecting
}

// MaxBytes implements streams.Outlet.
func (l *lateOutlet) MaxBytes() int {
	if o := l.outlet.Load(); o != nil {
		return o.MaxBytes()
	}
	return 0
}
