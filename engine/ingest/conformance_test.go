package ingest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/enginetest"
	"gnomon/engine/ingest"
	"gnomon/engine/streams"
	"gnomon/internal/testutil/natstest"
)

// A source on JetStream keeps the contract.
func TestSourceContract(t *testing.T) {
	server := natstest.Start(t)
	enginetest.TestSource(t, func(t *testing.T) enginetest.Backend {
		js := server.JetStream(t)
		return &backend{Source: ingest.New(js, func(err error) error { return err }), t: t, js: js}
	})
}

// backend changes the streams of a real server.
type backend struct {
	streams.Source
	t      *testing.T
	js     jetstream.JetStream
	stream jetstream.Stream // the last one created
}

func (b *backend) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *backend) Create(name string) {
	if err := b.js.DeleteStream(b.t.Context(), name); !errors.Is(err, jetstream.ErrStreamNotFound) {
		b.must(err)
	}
	var err error
	// In memory: the server removes the files of a deleted stream a moment later, and
	// may find them when the stream is made anew at once.
	b.stream, err = b.js.CreateStream(b.t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{"e.>"}, Storage: jetstream.MemoryStorage})
	b.must(err)
}

func (b *backend) Append(_, subject string, data []byte) uint64 {
	ack, err := b.js.Publish(b.t.Context(), subject, data)
	b.must(err)
	return ack.Sequence
}

func (b *backend) Delete(_ string, sequence uint64) {
	b.must(b.stream.DeleteMsg(b.t.Context(), sequence))
}

func (b *backend) Purge(_ string, before uint64) {
	b.must(b.stream.Purge(b.t.Context(), jetstream.WithPurgeSequence(before)))
}

func (b *backend) LoseReaders() {
	names := b.stream.ConsumerNames(b.t.Context())
	for name := range names.Name() {
		b.must(b.stream.DeleteConsumer(context.WithoutCancel(b.t.Context()), name))
	}
	b.must(names.Err())
}
