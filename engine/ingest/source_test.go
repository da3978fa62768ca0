package ingest_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/ingest"
	"gnomon/engine/streams"
	"gnomon/internal/testutil/natstest"
)

// Stream tells what the stream holds and held.
func TestStream(t *testing.T) {
	r := newRig(t)
	empty, err := r.source.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if empty.Last != 0 || empty.Events != 0 || empty.Created.IsZero() || empty.Name != "S" || len(empty.Subjects) != 1 || empty.Subjects[0] != "s.>" {
		t.Errorf("the new stream is %+v", empty)
	}
	r.fill(1, 5)
	for _, seq := range []uint64{1, 4} {
		if err := r.stream().DeleteMsg(t.Context(), seq); err != nil {
			t.Fatal(err)
		}
	}
	info, err := r.source.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if info.First != 2 || info.Last != 5 || info.Events != 3 || info.LastTime.IsZero() || !info.Created.Equal(empty.Created) {
		t.Errorf("the stream is %+v", info)
	}
	if err := r.stream().Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if info, err = r.source.Stream(t.Context(), "S"); err != nil || info.First != 6 || info.Last != 5 || info.Events != 0 {
		t.Errorf("the purged stream is %+v, %v", info, err)
	}
}

// What a stream, or the server, does not have is said as the engine's errors.
func TestAbsent(t *testing.T) {
	r := newRig(t)
	r.fill(1, 1)
	if _, err := r.source.Stream(t.Context(), "NONE"); !errors.Is(err, streams.ErrNoStream) || !strings.Contains(err.Error(), "NONE") {
		t.Errorf("Stream: %v", err)
	}
	if _, err := r.source.Event(t.Context(), "NONE", 1); !errors.Is(err, streams.ErrNoStream) {
		t.Errorf("Event of no stream: %v", err)
	}
	if _, err := r.source.Read(t.Context(), "NONE", 1, anyLimit); !errors.Is(err, streams.ErrNoStream) {
		t.Errorf("Read: %v", err)
	}
	if _, err := r.source.SequenceAt(t.Context(), "NONE", time.Now()); !errors.Is(err, streams.ErrNoStream) {
		t.Errorf("SequenceAt: %v", err)
	}
	if _, err := r.source.Event(t.Context(), "S", 2); !errors.Is(err, streams.ErrNoEvent) || errors.Is(err, streams.ErrSourceDown) {
		t.Errorf("Event beyond the end: %v", err)
	}
}

// Of a server without JetStream the reason is named.
func TestJetStreamOff(t *testing.T) {
	s := natstest.Start(t, natstest.With(func(o *server.Options) { o.JetStream = false }))
	source := ingest.New(s.JetStream(t), func(err error) error { return err })
	_, err := source.Stream(t.Context(), "S")
	if err == nil || !strings.Contains(err.Error(), "JetStream is switched off") || errors.Is(err, streams.ErrNoStream) {
		t.Errorf("Stream: %v", err)
	}
}

// SequenceAt returns the first event stored at a time or later, or the end.
func TestSequenceAt(t *testing.T) {
	r := newRig(t)
	at := func(when time.Time) uint64 {
		t.Helper()
		seq, err := r.source.SequenceAt(t.Context(), "S", when)
		if err != nil {
			t.Fatal(err)
		}
		return seq
	}
	start := time.Now()
	if seq := at(start); seq != 1 {
		t.Errorf("in the empty stream: %d, want 1", seq)
	}
	r.fill(1, 5)
	if err := r.stream().DeleteMsg(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if seq := at(start.Add(-time.Hour)); seq != 1 {
		t.Errorf("before the first event: %d", seq)
	}
	if seq := at(time.Now().Add(time.Hour)); seq != 6 {
		t.Errorf("after the last event: %d, want 6", seq)
	}
	for stored, next := range map[uint64]uint64{1: 2, 2: 4, 4: 5, 5: 6} {
		e, err := r.source.Event(t.Context(), "S", stored)
		if err != nil {
			t.Fatal(err)
		}
		when := time.Unix(0, e.TimeNs)
		if seq := at(when); seq != stored {
			t.Errorf("when event %d was stored: %d", stored, seq)
		}
		if seq := at(when.Add(1)); seq != next {
			t.Errorf("just after event %d was stored: %d, want %d", stored, seq, next)
		}
	}
	if info, err := r.stream().Info(t.Context()); err != nil || info.State.Consumers != 0 {
		t.Errorf("%d consumers are left, %v", info.State.Consumers, err)
	}
}

// The end may be deleted: there is no event to wait for then.
func TestSequenceAtDeletedEnd(t *testing.T) {
	r := newRig(t)
	r.fill(1, 2)
	first, err := r.source.Event(t.Context(), "S", 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.stream().DeleteMsg(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if seq, err := r.source.SequenceAt(t.Context(), "S", time.Unix(0, first.TimeNs+1)); seq != 3 || err != nil {
		t.Errorf("after the only event that is left: %d, %v; want 3", seq, err)
	}
}

// Streams that lose events by design are refused, with the reason.
func TestUnusableStreams(t *testing.T) {
	r := newRig(t)
	tests := []struct {
		config jetstream.StreamConfig
		reason string
	}{
		{jetstream.StreamConfig{Name: "WORK", Retention: jetstream.WorkQueuePolicy}, "work-queue retention"},
		{jetstream.StreamConfig{Name: "INTEREST", Retention: jetstream.InterestPolicy}, "interest retention"},
		{jetstream.StreamConfig{Name: "LATEST", MaxMsgsPerSubject: 1}, "max_msgs_per_subject"},
	}
	for _, tt := range tests {
		tt.config.Subjects = []string{tt.config.Name}
		r.create(tt.config)
		calls := map[string]func() error{
			"Stream": func() error { _, err := r.source.Stream(t.Context(), tt.config.Name); return err },
			"Read":   func() error { _, err := r.source.Read(t.Context(), tt.config.Name, 1, anyLimit); return err },
		}
		for name, call := range calls {
			err := call()
			if !errors.Is(err, ingest.ErrUnusable) || !strings.Contains(err.Error(), tt.reason) || !strings.Contains(err.Error(), tt.config.Name) {
				t.Errorf("%s of %s: %v", name, tt.config.Name, err)
			}
		}
	}
}
