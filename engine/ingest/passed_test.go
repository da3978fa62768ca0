package ingest_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/ingest"
	"gnomon/engine/streams"
	"gnomon/internal/testutil"
	"gnomon/sdk/abi"
)

// mark stores what the server itself stores where an event expired, but does not take as
// long over it; TestDeleteMarkers has real ones.
func (r *rig) mark() {
	r.t.Helper()
	r.publish(&nats.Msg{Subject: "s.n", Header: nats.Header{jetstream.MarkerReasonHeader: {"MaxAge"}}})
}

// What a projection passes over is counted, once: what was deleted, in the middle of the
// stream and at its end, apart from the server's markers. What was trimmed before it began is
// not. The stream says how much it lacks.
func TestPassedOver(t *testing.T) {
	r := newRig(t)
	remove := func(all ...uint64) {
		t.Helper()
		for _, sequence := range all {
			if err := r.stream().DeleteMsg(t.Context(), sequence); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.fill(1, 6)
	r.mark()
	r.fill(8, 9)
	remove(1, 3, 4, 9)
	p := r.project(nil)
	passed := func(want streams.Passed, last, absent uint64) {
		t.Helper()
		p.await(fmt.Sprintf("%+v, and a stream that lacks %d", want, absent), func(s engine.Status) bool {
			return s.State == engine.Live && s.Position == last && s.Passed == want && s.StreamAbsent == absent
		})
	}
	passed(streams.Passed{Absent: 3, Markers: 1}, 9, 3)
	r.fill(10, 10)
	r.mark()
	r.mark()
	passed(streams.Passed{Absent: 3, Markers: 3}, 12, 3)
	remove(10) // which was applied
	r.fill(13, 13)
	p.awaitLive(13)
	r.deleteConsumers()
	r.fill(14, 14)
	passed(streams.Passed{Absent: 3, Markers: 3}, 14, 4)
}

// What was trimmed before a projection read anything is not passed over, also when it was
// there before the events were.
func TestTrimmedBeforeFirst(t *testing.T) {
	r := newRig(t)
	p := r.project(nil)
	p.awaitLive(0)
	p.stop()
	r.fill(1, 5)
	if err := r.stream().Purge(t.Context(), jetstream.WithPurgeSequence(3)); err != nil {
		t.Fatal(err)
	}
	p.start()
	p.awaitLive(5)
	if s := p.await("an answer about the stream", func(s engine.Status) bool { return s.StreamLast == 5 }); s.Passed != (streams.Passed{}) || s.StreamAbsent != 0 {
		t.Errorf("%+v, and the stream lacks %d", s.Passed, s.StreamAbsent)
	}
}

// Markers are taken by themselves too, as a batch without events: a reader with nothing
// else to give is not behind them.
func TestMarkersAlone(t *testing.T) {
	r := newRig(t)
	r.mark()
	r.mark()
	reader := r.open(1, anyLimit)
	for markers := uint64(0); markers < 2; {
		b, err := take(t, reader)
		if err != nil || b.Count != 0 || len(b.Records) != 0 || b.Markers == 0 {
			t.Fatalf("%+v, %v", b, err)
		}
		if markers += b.Markers; b.Through != markers || b.Pending != 2-markers {
			t.Errorf("after %d markers it is at %d, and %d are pending", markers, b.Through, b.Pending)
		}
		reader.Release(b)
	}
	if b, err := reader.Take(); b != nil || err != nil {
		t.Errorf("there is more: %+v, %v", b, err)
	}
	if through, ok, err := reader.CaughtUp(t.Context()); through != 2 || !ok || err != nil {
		t.Errorf("caught up through %d, %v, %v", through, ok, err)
	}
}

// Of a stream that gets its events from others its status says so, and whether their
// order is that of their arrival. A projection's subjects that the stream does not take are
// warned of, unless nobody can know what comes.
func TestStatusOfStream(t *testing.T) {
	r := newRig(t)
	r.create(jetstream.StreamConfig{Name: "T", Subjects: []string{"t.>"}})
	for n := range 6 {
		if _, err := r.js.Publish(t.Context(), []string{"s.x", "t.x"}[n%2], nil); err != nil {
			t.Fatal(err)
		}
	}
	s, other := &jetstream.StreamSource{Name: "S"}, &jetstream.StreamSource{Name: "T"}
	for _, tt := range []struct {
		name   string
		config jetstream.StreamConfig
		want   engine.Status
	}{
		{"mirror", jetstream.StreamConfig{Mirror: s}, engine.Status{StreamMirror: "S"}},
		{"source", jetstream.StreamConfig{Sources: []*jetstream.StreamSource{s}}, engine.Status{StreamSources: []string{"S"}}},
		{"sources", jetstream.StreamConfig{Sources: []*jetstream.StreamSource{s, other}}, engine.Status{StreamSources: []string{"S", "T"}, Interleaved: true}},
		{"source-and-subjects", jetstream.StreamConfig{Subjects: []string{"own.>"}, Sources: []*jetstream.StreamSource{s}}, engine.Status{StreamSources: []string{"S"}, Interleaved: true}},
		{"transformed", jetstream.StreamConfig{Subjects: []string{"p.>"}, SubjectTransform: &jetstream.SubjectTransformConfig{Source: "p.>", Destination: "nothing.>"}}, engine.Status{}},
		{"plain", jetstream.StreamConfig{Subjects: []string{"q.>", "r"}}, engine.Status{
			Warning: "stream plain takes only q.>, r, so that no event to come matches nothing.x: correct the projection's subjects, or add them to the stream",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.config.Name = tt.name
			stream := r.create(tt.config)
			if len(tt.config.Subjects) > 0 {
				for range 3 {
					if _, err := r.js.Publish(t.Context(), strings.Replace(tt.config.Subjects[0], ">", "x", 1), nil); err != nil {
						t.Fatal(err)
					}
				}
			}
			awaitLast(t, stream, 3)
			if err := stream.DeleteMsg(t.Context(), 2); err != nil {
				t.Fatal(err)
			}
			got, log := statusOf(t, r.source, tt.name, "nothing.x")
			if got.StreamMirror != tt.want.StreamMirror || !slices.Equal(got.StreamSources, tt.want.StreamSources) || got.Interleaved != tt.want.Interleaved || got.Warning != tt.want.Warning {
				t.Errorf("the status is %+v, want of it %+v", got, tt.want)
			}
			if tt.want.Warning != "" {
				testutil.Until(t, func() bool { return strings.Contains(log.String(), tt.want.Warning) })
			}
		})
	}
}

// statusOf is the status of a projection of a stream that lacks an event, when it is live
// and knows of that, and what is logged.
func statusOf(t *testing.T, source *ingest.Source, stream, subject string) (s engine.Status, log *testutil.Log) {
	t.Helper()
	log = new(testutil.Log)
	e := engine.New(engine.Options{Source: source, Store: new(enginetest.Store), Catalog: new(enginetest.Catalog), Log: slog.New(slog.NewTextHandler(log, nil))})
	_, err := e.Declare(t.Context(), engine.Spec{
		Name: "p", Module: enginetest.FuncModule("none", func(abi.Record, guest.State) error { return nil }), Stream: stream, Subjects: []string{subject},
		Filter: func(s []byte) bool { return string(s) == subject }, Batch: anyLimit, Window: time.Second, Cache: 1 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	e.Start(t.Context())
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	testutil.Until(t, func() bool {
		if s, err = e.Status("p"); err != nil {
			t.Fatal(err)
		}
		return s.State == engine.Live && s.StreamAbsent == 1
	})
	return s, log
}
