package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Embedded is the URL that stands for a server inside the process.
const Embedded = "embedded"

// Config says how to reach NATS. At most one way to authenticate is set.
type Config struct {
	URL     string // Embedded, or one or more nats:// URLs separated by commas
	Context string // name of a nats CLI context, instead of a URL

	Credentials string // path of a .creds file
	NKey        string // path of a file with an nkey seed
	User        string
	Password    string
	Token       string
	InboxPrefix string // empty: the client's default
	TLS         TLS

	Server Server // for Embedded
	Log    *slog.Logger
}

// TLS are the paths and settings of an encrypted connection.
type TLS struct {
	CA, Cert, Key string
	First         bool // the server expects TLS before its greeting
}

// Server are the settings of the embedded server.
type Server struct {
	Dir          string        // where its files go
	Listen       string        // host:port; empty: no port
	SyncInterval time.Duration // between two syncs of its files; 0: every write is synced
}

// Broker is a connection to NATS, and the embedded server if there is one.
type Broker struct {
	conn   *nats.Conn
	js     jetstream.JetStream
	server *server.Server // nil for an external one
	log    *slog.Logger

	refusals refusals

	mu   sync.Mutex
	last error              // that the connection reported by itself
	link context.Context    // ends when the present connection is lost
	cut  context.CancelFunc // ends it

	closing sync.Once
}

// Open connects. An embedded server is ready when it returns; an external one need
// not be: the connection is then made as soon as it can be, and until then requests
// fail. Wrong credentials fail at once.
func Open(ctx context.Context, c Config) (*Broker, error) {
	b := &Broker{log: c.Log}
	b.link, b.cut = context.WithCancel(context.Background())
	options, address, err := b.options(c)
	if err != nil {
		return nil, err
	}
	if c.URL == Embedded && c.Context == "" {
		if b.server, err = startServer(c.Server, c.Log); err != nil {
			return nil, err
		}
		options, address = append(options, nats.InProcessServer(b.server)), ""
	}
	if b.conn, err = nats.Connect(address, options...); err != nil {
		b.stopServer()
		return nil, connectError(c, err)
	}
	if b.js, err = jetstream.New(b.conn); err != nil {
		b.Close()
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	if err := b.checkAuthorized(ctx); err != nil {
		b.Close()
		return nil, connectError(c, err)
	}
	return b, nil
}

// checkAuthorized gives an external server a moment to refuse the credentials, or to
// be refused by its certificate, which a connection that is retried would take for a
// passing failure.
func (b *Broker) checkAuthorized(ctx context.Context) error {
	if b.conn.IsConnected() {
		return nil
	}
	deadline := time.NewTimer(2 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := b.lastError()
		switch {
		case b.conn.IsConnected():
			return nil
		case unauthorized(err), untrusted(err), b.conn.IsClosed():
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			b.log.Warn("NATS does not answer yet, trying on", "error", err)
			return nil
		}
	}
}

func unauthorized(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired)
}

func untrusted(err error) bool {
	var v *tls.CertificateVerificationError
	return errors.As(err, &v)
}

// connectError explains why there is no connection. Neither URL nor secrets show.
func connectError(c Config, err error) error {
	var bad *url.Error
	if errors.As(err, &bad) { // it cites the URL, which may hold a password
		err = fmt.Errorf("the URL cannot be read: %w", bad.Err)
	}
	by, check := "", "credentials, nkey, user or token in [nats]"
	if c.Context != "" {
		by, check = fmt.Sprintf(" by context %q", c.Context), "the credentials that it names"
	}
	switch {
	case unauthorized(err):
		return fmt.Errorf("connect to NATS%s: %w: check %s", by, err, check)
	case untrusted(err):
		return fmt.Errorf("connect to NATS%s: %w: nats.tls.ca names the file with the certificate of the server's authority", by, err)
	}
	return fmt.Errorf("connect to NATS%s: %w", by, err)
}

// JetStream returns the connection's JetStream.
func (b *Broker) JetStream() jetstream.JetStream { return b.js }

// ClientURL is where other programs reach the embedded server; empty when they
// cannot.
func (b *Broker) ClientURL() string {
	if b.server == nil || b.server.Addr() == nil {
		return ""
	}
	return b.server.ClientURL()
}

// Connected reports whether the server can be reached just now.
func (b *Broker) Connected() bool { return b.conn.IsConnected() }

// Reconnects is how often the connection was lost and made again.
func (b *Broker) Reconnects() uint64 { return b.conn.Stats().Reconnects }

// Refusals is how often the server refused something for want of a permission.
func (b *Broker) Refusals() uint64 {
	b.refusals.mu.Lock()
	defer b.refusals.mu.Unlock()
	return b.refusals.count
}

// Explain adds to an error of a request what the connection reported meanwhile: a
// request that lacks a permission only times out, the refusal comes on its own.
func (b *Broker) Explain(err error) error {
	last := b.lastError()
	switch {
	case err == nil:
		return nil
	case !b.conn.IsConnected() && last != nil:
		return fmt.Errorf("%w (%w: %w)", err, nats.ErrDisconnected, last)
	case !b.conn.IsConnected():
		return fmt.Errorf("%w (%w)", err, nats.ErrDisconnected)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		if e := b.refusals.latest(); e != nil {
			return e // the time was not up, or was spent on waiting for nothing
		}
	}
	return err
}

func (b *Broker) lastError() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.last != nil {
		return b.last
	}
	if b.conn != nil {
		return b.conn.LastError()
	}
	return nil
}

// note keeps an error that the connection reported by itself.
func (b *Broker) note(what string, err error) {
	b.mu.Lock()
	b.last = err
	b.mu.Unlock()
	if err != nil {
		b.log.Warn(what, "error", err)
	}
}

// lost ends what waits for an answer over a connection that there is no more.
func (b *Broker) lost() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cut()
	b.link, b.cut = context.WithCancel(context.Background())
}

// ask calls f with a context that ends after a time, and when the connection is lost: then
// the error is nats.ErrDisconnected, wrapped, and what was asked for may have been done.
func (b *Broker) ask(ctx context.Context, timeout time.Duration, f func(context.Context) error) error {
	ctx, cancelTimeout := context.WithTimeout(ctx, timeout)
	defer cancelTimeout()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	b.mu.Lock()
	link := b.link
	b.mu.Unlock()
	defer context.AfterFunc(link, func() { cancel(nats.ErrDisconnected) })()
	err := f(ctx)
	if errors.Is(err, context.Canceled) && errors.Is(context.Cause(ctx), nats.ErrDisconnected) {
		return fmt.Errorf("no answer: %w", nats.ErrDisconnected)
	}
	return err
}

// Close closes the connection and stops the embedded server, and waits for it. It
// may be called more than once.
func (b *Broker) Close() {
	b.closing.Do(func() {
		if b.conn != nil {
			b.conn.Close()
		}
		b.stopServer()
	})
}
