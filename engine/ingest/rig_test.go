package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/ingest"
	"gnomon/engine/streams"
	"gnomon/internal/testutil/natstest"
	"gnomon/sdk/abi"
)

// patience is how long a test waits for what has to come.
const patience = 30 * time.Second

// anyLimit is a limit that the tests' few events do not reach.
var anyLimit = streams.ReadLimit{Events: 1000, Bytes: 64 << 20}

// rig is a server with the stream S, which takes every subject below s.
type rig struct {
	t      *testing.T
	server *natstest.Server
	js     jetstream.JetStream
	source *ingest.Source
}

func newRig(t *testing.T, opts ...natstest.Option) *rig {
	t.Helper()
	server := natstest.Start(t, opts...)
	js := server.JetStream(t)
	r := &rig{t: t, server: server, js: js, source: ingest.New(js, func(err error) error { return err })}
	r.create(jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
	return r
}

func (r *rig) create(c jetstream.StreamConfig) jetstream.Stream {
	r.t.Helper()
	s, err := r.js.CreateStream(r.t.Context(), c)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// stream is S.
func (r *rig) stream() jetstream.Stream {
	r.t.Helper()
	s, err := r.js.Stream(r.t.Context(), "S")
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// publish stores one event.
func (r *rig) publish(m *nats.Msg) {
	r.t.Helper()
	if _, err := r.js.PublishMsg(r.t.Context(), m); err != nil {
		r.t.Fatal(err)
	}
}

// fill stores events whose data are their numbers, from first to last.
func (r *rig) fill(first, last int) {
	r.t.Helper()
	for n := first; n <= last; n++ {
		if _, err := r.js.PublishAsync("s.n", fmt.Append(nil, n), jetstream.WithStallWait(patience)); err != nil {
			r.t.Fatal(err)
		}
	}
	select {
	case <-r.js.PublishAsyncComplete():
	case <-time.After(patience):
		r.t.Fatal("the server does not store what was published")
	}
}

// open reads S from a sequence, until the test ends.
func (r *rig) open(from uint64, limit streams.ReadLimit) streams.Reader {
	r.t.Helper()
	reader, err := r.source.Read(r.t.Context(), "S", from, limit)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(reader.Close)
	return reader
}

// take waits for a batch or an error.
func take(t *testing.T, reader streams.Reader) (*streams.Batch, error) {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case <-reader.Ready():
		case <-timeout:
			t.Fatal("the reader yields nothing")
		}
		if b, err := reader.Take(); b != nil || err != nil {
			return b, err
		}
	}
}

// records are copies of a batch's events.
func records(t *testing.T, b *streams.Batch) (all []abi.Record) {
	t.Helper()
	for rest := slices.Clone(b.Records); len(rest) > 0; {
		var e abi.Record
		var err error
		if e, rest, err = abi.Next(rest); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	if len(all) != b.Count || all[len(all)-1].Sequence != b.Through {
		t.Fatalf("the batch says %d events through %d, it holds %d through %d", b.Count, b.Through, len(all), all[len(all)-1].Sequence)
	}
	return all
}

// read takes batches until n events have come.
func read(t *testing.T, reader streams.Reader, n int) (all []abi.Record) {
	t.Helper()
	for len(all) < n {
		b, err := take(t, reader)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, records(t, b)...)
	}
	return all
}

// lost takes batches until the reader ends, and returns what it still gave.
func lost(t *testing.T, reader streams.Reader) (all []abi.Record) {
	t.Helper()
	for {
		b, err := take(t, reader)
		if err != nil {
			if !errors.Is(err, streams.ErrReaderLost) {
				t.Fatalf("the reader ended with %v", err)
			}
			return all
		}
		all = append(all, records(t, b)...)
	}
}

// follow does what the engine does: it reads on from a sequence through another,
// opens a new reader whenever one is lost, and counts those.
func (r *rig) follow(from, through uint64, during func(uint64)) (all []abi.Record, losses int) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	for from <= through {
		reader, err := r.source.Read(ctx, "S", from, streams.ReadLimit{Events: 100, Bytes: 1 << 20})
		if errors.Is(err, streams.ErrSourceDown) {
			continue
		}
		if err != nil {
			r.t.Fatal(err)
		}
		for from <= through {
			b, err := take(r.t, reader)
			if errors.Is(err, streams.ErrReaderLost) {
				losses++
				break
			}
			if err != nil {
				r.t.Fatal(err)
			}
			all = append(all, records(r.t, b)...)
			from = b.Through + 1
			during(from)
		}
		reader.Close()
	}
	return all, losses
}

// checkNumbers reports where events are not those that fill stored, in order.
func checkNumbers(t *testing.T, events []abi.Record, want ...int) {
	t.Helper()
	if len(events) != len(want) {
		t.Errorf("%d events came, not %d", len(events), len(want))
	}
	for i, e := range events[:min(len(events), len(want))] {
		if e.Sequence != uint64(want[i]) || string(e.Data) != fmt.Sprint(want[i]) {
			t.Fatalf("event %d of those read is %d with data %q, want %d", i, e.Sequence, e.Data, want[i])
		}
	}
}

// span lists the numbers from first to last.
func span(first, last int) (all []int) {
	for n := first; n <= last; n++ {
		all = append(all, n)
	}
	return all
}
