package ingest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/ingest"
	"gnomon/engine/streams"
	"gnomon/internal/testutil"
	"gnomon/sdk/abi"
)

// deleteConsumers removes every consumer of S, as an operator may.
func (r *rig) deleteConsumers() {
	r.t.Helper()
	names := r.stream().ConsumerNames(r.t.Context())
	for name := range names.Name() {
		if err := r.stream().DeleteConsumer(r.t.Context(), name); err != nil {
			r.t.Error(err)
		}
	}
	if names.Err() != nil {
		r.t.Error(names.Err())
	}
}

// A reader whose consumer is deleted gives what it has and then its loss, and a new
// one at the next position goes on.
func TestConsumerDeleted(t *testing.T) {
	r := newRig(t)
	r.fill(1, 100)
	reader := r.open(1, streams.ReadLimit{Events: 30, Bytes: 1 << 20})
	events := read(t, reader, 30)
	r.deleteConsumers()
	events = append(events, lost(t, reader)...)
	if _, _, err := reader.CaughtUp(t.Context()); !errors.Is(err, streams.ErrReaderLost) {
		t.Errorf("CaughtUp of a lost reader: %v", err)
	}
	if b, err := reader.Take(); b != nil || !errors.Is(err, streams.ErrReaderLost) {
		t.Errorf("the loss is not final: %v, %v", b, err)
	}
	if rest := 100 - len(events); rest > 0 {
		events = append(events, read(t, r.open(events[len(events)-1].Sequence+1, anyLimit), rest)...)
	}
	checkNumbers(t, events, span(1, 100)...)
}

// Whatever takes readers away while events are read, none is lost or repeated.
func TestNothingIsLostOrRepeated(t *testing.T) {
	const events = 12_000 // more than a reader asks for ahead
	tests := []struct {
		name    string
		trouble func(*rig)
	}{
		{"consumer deleted", (*rig).deleteConsumers},
		{"server restarted", func(r *rig) { r.server.Restart() }},
		{"connection broken", func(r *rig) {
			if err := r.js.Conn().ForceReconnect(); err != nil {
				r.t.Error(err)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.fill(1, events)
			troubles := 0
			all, losses := r.follow(1, events, func(next uint64) {
				if next > uint64(troubles+1)*events/4 && troubles < 3 {
					troubles++
					tt.trouble(r)
				}
			})
			checkNumbers(t, all, span(1, events)...)
			if troubles != 3 || losses == 0 {
				t.Errorf("%d troubles, %d readers lost: the test tests nothing", troubles, losses)
			}
		})
	}
}

// A reader that waits at the end of its stream is lost when the server stops, which
// is then said to be down, and reading goes on when it is back.
func TestServerStopped(t *testing.T) {
	r := newRig(t)
	r.fill(1, 3)
	reader := r.open(1, anyLimit)
	read(t, reader, 3)
	r.server.Stop()
	if rest := lost(t, reader); len(rest) != 0 {
		t.Errorf("%d more events came", len(rest))
	}
	testutil.Until(t, func() bool { return !r.js.Conn().IsConnected() })
	r.source = ingest.New(r.js, func(err error) error { return errors.Join(err, nats.ErrDisconnected) })
	ctx, cancel := context.WithTimeout(t.Context(), patience/100) // requests wait for the server
	defer cancel()
	calls := map[string]func() error{
		"Stream": func() error { _, err := r.source.Stream(ctx, "S"); return err },
		"Event":  func() error { _, err := r.source.Event(ctx, "S", 1); return err },
		"Read":   func() error { _, err := r.source.Read(ctx, "S", 1, anyLimit); return err },
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, streams.ErrSourceDown) {
			t.Errorf("%s while the server is away: %v", name, err)
		}
	}
	r.server.Restart()
	testutil.Until(t, r.js.Conn().IsConnected)
	r.fill(4, 4)
	checkNumbers(t, read(t, r.open(4, anyLimit), 1), 4)
}

// A reader goes on over a purge with what is left, and skips what was not read.
func TestPurge(t *testing.T) {
	r := newRig(t)
	r.fill(1, 10)
	reader := r.open(1, anyLimit)
	checkNumbers(t, read(t, reader, 10), span(1, 10)...)
	if err := r.stream().Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if through := awaitCaughtUp(t, reader); through != 10 {
		t.Errorf("caught up through %d of the purged stream, not 10", through)
	}
	r.fill(11, 20)
	if err := r.stream().Purge(t.Context(), jetstream.WithPurgeSequence(16)); err != nil {
		t.Fatal(err)
	}
	checkNumbers(t, read(t, r.open(1, anyLimit), 5), span(16, 20)...)
	var rest []abi.Record
	for len(rest) == 0 || rest[len(rest)-1].Sequence < 20 {
		rest = append(rest, read(t, reader, 1)...)
	}
	checkNumbers(t, rest[len(rest)-5:], span(16, 20)...)
}

// A reader of a stream that is deleted is lost, and the stream is not found then.
func TestStreamDeleted(t *testing.T) {
	r := newRig(t)
	r.fill(1, 3)
	reader := r.open(1, anyLimit)
	read(t, reader, 3)
	if err := r.js.DeleteStream(t.Context(), "S"); err != nil {
		t.Fatal(err)
	}
	lost(t, reader)
	if _, _, err := reader.CaughtUp(t.Context()); !errors.Is(err, streams.ErrNoStream) && !errors.Is(err, streams.ErrReaderLost) {
		t.Errorf("CaughtUp: %v", err)
	}
	if _, err := r.source.Read(t.Context(), "S", 4, anyLimit); !errors.Is(err, streams.ErrNoStream) {
		t.Errorf("Read: %v", err)
	}
}
