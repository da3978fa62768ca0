package ingest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/streams"
)

// awaitCaughtUp asks until the reader is caught up.
func awaitCaughtUp(t *testing.T, reader streams.Reader) uint64 {
	t.Helper()
	for {
		through, ok, err := reader.CaughtUp(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			return through
		}
	}
}

// What CaughtUp returns is behind the reader: no event up to it comes later. Events
// are stored all the while, so that the question meets them in every state.
func TestCaughtUpWhileEventsAreStored(t *testing.T) {
	r := newRig(t)
	reader := r.open(1, anyLimit)
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	published := make(chan error, 1)
	js := r.server.JetStream(t)
	go func() {
		var err error
		for err == nil {
			_, err = js.Publish(ctx, "s.n", nil)
		}
		published <- err
	}()
	promised := uint64(0)
	for answers := 0; answers < 50; {
		b, err := reader.Take()
		if err != nil {
			t.Fatal(err)
		}
		if b != nil {
			for _, e := range records(t, b) {
				if e.Sequence <= promised {
					t.Fatalf("event %d came after CaughtUp had returned %d", e.Sequence, promised)
				}
			}
			continue
		}
		through, ok, err := reader.CaughtUp(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			promised = through
			answers++
		}
	}
	stop()
	if err := <-published; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// CaughtUp returns the stream's last sequence at its end, whether that event is
// there or deleted, and nothing while events wait to be taken.
func TestCaughtUp(t *testing.T) {
	r := newRig(t)
	r.fill(1, 5)
	reader := r.open(1, anyLimit)
	<-reader.Ready()
	if _, ok, err := reader.CaughtUp(t.Context()); ok || err != nil {
		t.Errorf("with events to take: %v, %v", ok, err)
	}
	b, err := reader.Take()
	if err != nil {
		t.Fatal(err)
	}
	events := records(t, b)
	events = append(events, read(t, reader, 5-len(events))...)
	checkNumbers(t, events, span(1, 5)...)
	if through := awaitCaughtUp(t, reader); through != 5 {
		t.Errorf("caught up through %d, not 5", through)
	}

	r.create(jetstream.StreamConfig{Name: "GONE", Subjects: []string{"gone"}})
	for range 3 {
		if _, err := r.js.Publish(t.Context(), "gone", nil); err != nil {
			t.Fatal(err)
		}
	}
	gone, err := r.js.Stream(t.Context(), "GONE")
	if err != nil {
		t.Fatal(err)
	}
	tail, err := r.source.Read(t.Context(), "GONE", 1, anyLimit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tail.Close)
	read(t, tail, 3)
	if err := gone.DeleteMsg(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	late, err := r.source.Read(t.Context(), "GONE", 3, anyLimit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(late.Close)
	for name, reader := range map[string]streams.Reader{"that read it": tail, "that did not": late} {
		if through := awaitCaughtUp(t, reader); through != 3 {
			t.Errorf("the last event is deleted; a reader %s is caught up through %d, not 3", name, through)
		}
	}
}

// A reader of a stream that never held anything is at its end.
func TestCaughtUpOfEmptyStream(t *testing.T) {
	r := newRig(t)
	reader := r.open(1, anyLimit)
	if through, ok, err := reader.CaughtUp(t.Context()); through != 0 || !ok || err != nil {
		t.Errorf("caught up through %d, %v, %v", through, ok, err)
	}
	r.fill(1, 1)
	checkNumbers(t, read(t, reader, 1), 1)
}
