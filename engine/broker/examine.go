package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// examinePatience is how long a question of an examination waits for its answer.
const examinePatience = 5 * time.Second

// ServerFacts say which server a connection has reached.
type ServerFacts struct {
	Name, Version string
	Cluster       string        // empty: it is in none
	RoundTrip     time.Duration // of one message
	MaxPayload    int64         // bytes of a message, headers included
}

// Facts asks who is there. It fails when nobody is.
func (b *Broker) Facts() (f ServerFacts, err error) {
	if f.RoundTrip, err = b.conn.RTT(); err != nil {
		return f, b.Explain(err)
	}
	f.Name, f.Version, f.Cluster = b.conn.ConnectedServerName(), b.conn.ConnectedServerVersion(), b.conn.ConnectedClusterName()
	f.MaxPayload = b.conn.MaxPayload()
	return f, nil
}

// LastError is what the connection reported last; nil: nothing.
func (b *Broker) LastError() error { return b.lastError() }

// ErrNoJetStream says that JetStream is off, for the server or for the account.
var ErrNoJetStream = errors.New("JetStream is not enabled")

// Account is what an account has of JetStream, and may have; limits below 1 are none.
type Account struct {
	Streams, MaxStreams     int
	Consumers, MaxConsumers int
	Stored, MaxStored       int64 // bytes in files
	Memory, MaxMemory       int64 // bytes in memory
}

// Account asks for them. It fails with ErrNoJetStream, and with a *PermissionError when the
// user may not ask.
func (b *Broker) Account(ctx context.Context) (Account, error) {
	ctx, done := b.examining(ctx)
	defer done()
	i, err := b.js.AccountInfo(ctx)
	if errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
		return Account{}, fmt.Errorf("%w: %w", ErrNoJetStream, err)
	}
	if err != nil {
		return Account{}, b.Explain(err)
	}
	return Account{
		Streams: i.Streams, MaxStreams: i.Limits.MaxStreams, Consumers: i.Consumers, MaxConsumers: i.Limits.MaxConsumers,
		Stored: int64(i.Store), MaxStored: i.Limits.MaxStore, Memory: int64(i.Memory), MaxMemory: i.Limits.MaxMemory,
	}, nil
}

// StreamReport is what is known of a stream, for one who looks for what is wrong with it.
type StreamReport struct {
	Config       jetstream.StreamConfig
	Differences  []Difference // from what is declared
	Memory       bool         // its events are in memory
	MaxAge       time.Duration
	MaxBytes     int64 // below 1: no limit, as MaxEvents
	MaxEvents    int64
	DiscardNew   bool // at a limit it refuses events, instead of removing the oldest
	Duplicates   time.Duration
	Replicas     int
	Async        bool // it acknowledges events before they are written (persist_mode)
	Sources      []string
	NoAck        bool     // it acknowledges nothing
	Events       uint64   // that it holds
	Bytes        uint64   // of them
	Consumers    int      // that it has
	MaxConsumers int      // below 1: no limit
	Troubles     []string // of its mirror or its sources, in the server's words

	Clock time.Time // of the server, when it answered
	Asked time.Time // our own, in the middle between question and answer
}

// Report asks for a stream. Absent tells of its errors the one that there is none.
func (b *Broker) Report(ctx context.Context, s StreamSpec) (r StreamReport, err error) {
	ctx, done := b.examining(ctx, s.Name)
	defer done()
	began := time.Now()
	stream, err := b.js.Stream(ctx, s.Name)
	if err != nil {
		return r, b.Explain(err)
	}
	info := stream.CachedInfo()
	r = s.report(info.Config)
	r.Events, r.Bytes, r.Consumers = info.State.Msgs, info.State.Bytes, info.State.Consumers
	r.Clock, r.Asked = info.TimeStamp, began.Add(time.Since(began)/2)
	for _, s := range append(info.Sources, info.Mirror) {
		if s != nil && s.Error != nil {
			r.Troubles = append(r.Troubles, fmt.Sprintf("%s: %s", s.Name, s.Error.Description))
		}
	}
	return r, nil
}

// report is what the configuration of a stream tells.
func (s StreamSpec) report(c jetstream.StreamConfig) StreamReport {
	r := StreamReport{
		Config: c, Differences: s.compare(c), Memory: c.Storage == jetstream.MemoryStorage,
		MaxAge: c.MaxAge, MaxBytes: c.MaxBytes, MaxEvents: c.MaxMsgs, DiscardNew: c.Discard == jetstream.DiscardNew,
		Duplicates: c.Duplicates, Replicas: c.Replicas, Async: c.PersistMode == jetstream.AsyncPersistMode,
		NoAck: c.NoAck, MaxConsumers: c.MaxConsumers,
	}
	for _, s := range c.Sources {
		r.Sources = append(r.Sources, s.Name)
	}
	return r
}

// EmbeddedReport reads what the files of an embedded server, in the folder Server.Dir, say of a
// stream: how it is configured, not what it holds. Nobody else need have the files; nothing is
// changed. It fails with fs.ErrNotExist where there is no such stream in files.
func EmbeddedReport(dir string, s StreamSpec) (StreamReport, error) {
	b, err := os.ReadFile(filepath.Join(dir, server.JetStreamStoreDir, "$G", "streams", s.Name, server.JetStreamMetaFile))
	if err != nil {
		return StreamReport{}, err
	}
	var c jetstream.StreamConfig // in JSON it is that of the server
	if err := json.Unmarshal(b, &c); err != nil {
		return StreamReport{}, fmt.Errorf("read what the embedded server has of stream %s: %w", s.Name, err)
	}
	return s.report(c), nil
}

// StreamOf is the stream that stores what is published to a subject, or to one that it matches; empty: none does.
// Known tells whether that could be asked: only some users may.
func (b *Broker) StreamOf(ctx context.Context, subject string) (name string, known bool) {
	ctx, done := b.examining(ctx, subject)
	defer done()
	name, err := b.js.StreamNameBySubject(ctx, subject)
	return name, err == nil || errors.Is(err, jetstream.ErrStreamNotFound)
}

// Absent reports whether an error says that there is no such stream.
func Absent(err error) bool { return errors.Is(err, jetstream.ErrStreamNotFound) }

// Try asks at a subject with a body that nothing comes of, and fails with a *PermissionError
// if the server refuses. What is answered, if anything is, does not count.
func (b *Broker) Try(ctx context.Context, subject string) error {
	ctx, done := b.examining(ctx, subject)
	defer done()
	_, err := b.conn.RequestWithContext(ctx, subject, []byte("{}"))
	if errors.Is(err, nats.ErrNoResponders) {
		return nil
	}
	return b.refusal(err)
}

// TryPublish fails with a *PermissionError if the user may not publish to a subject. Nobody gets
// what is tried with: answers to it are to go where only the server itself may have them sent,
// and such a message the server drops once it has looked whether the user may publish it.
func (b *Broker) TryPublish(ctx context.Context, subject string) error {
	ctx, done := b.examining(ctx, subject)
	defer done()
	m := nats.NewMsg(subject)
	m.Reply = "_R_.gnomon-doctor"                                 // isServiceReply in nats-server, server/client.go
	m.Header.Set(jetstream.ExpectedStreamHeader, "gnomon-doctor") // were it otherwise, no stream would store it
	if err := b.conn.PublishMsg(m); err != nil {
		return err
	}
	return b.heard(ctx)
}

// TryListen subscribes to a subject for a moment, and fails as Try does.
func (b *Broker) TryListen(ctx context.Context, subject string) error {
	ctx, done := b.examining(ctx, subject)
	defer done()
	sub, err := b.conn.SubscribeSync(subject)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }() // it ends with the connection
	return b.heard(ctx)
}

// heard waits until the server has refused what was sent, or has not.
func (b *Broker) heard(ctx context.Context) error {
	if err := b.conn.FlushWithContext(ctx); err != nil {
		return b.refusal(err)
	}
	// The server refuses before it answers the flush, but tells it on a way of its own.
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	<-short.Done()
	if ctx.Err() != nil {
		return b.refusal(ctx.Err())
	}
	return nil
}

// refusal is the error of the server's refusal, or nil: others do not count.
func (b *Broker) refusal(err error) error {
	var refused *PermissionError
	if errors.As(b.Explain(err), &refused) {
		return refused
	}
	return nil
}

// examining is the context of one question about some names.
func (b *Broker) examining(ctx context.Context, about ...string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, examinePatience)
	ctx, done := b.Permitted(ctx, about...)
	return ctx, func() { done(); cancel() }
}
