package broker_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/broker"
	"gnomon/internal/testutil"
)

// patience is how long a test waits for what has to come.
const patience = 30 * time.Second

// try opens a broker, which is closed when the test ends, and keeps its log.
func try(t *testing.T, c broker.Config) (*broker.Broker, *testutil.Log, error) {
	t.Helper()
	log := &testutil.Log{}
	c.Log = slog.New(slog.NewTextHandler(log, nil))
	b, err := broker.Open(t.Context(), c)
	if err == nil {
		t.Cleanup(b.Close)
	}
	return b, log, err
}

// open opens a broker that has to be opened.
func open(t *testing.T, c broker.Config) *broker.Broker {
	t.Helper()
	b, _, err := try(t, c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// embedded opens a broker with a server in the process.
func embedded(t *testing.T) *broker.Broker {
	t.Helper()
	return open(t, broker.Config{URL: broker.Embedded, Server: broker.Server{Dir: t.TempDir(), SyncInterval: time.Minute}})
}

// works asks the server something, and reports whether that worked out.
func works(t *testing.T, b *broker.Broker) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := b.JetStream().AccountInfo(ctx)
	return err
}

// create makes a stream.
func create(t *testing.T, js jetstream.JetStream, c jetstream.StreamConfig) jetstream.Stream {
	t.Helper()
	s, err := js.CreateStream(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
