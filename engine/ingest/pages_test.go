package ingest_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/streams"
)

// A page goes on where the one before ended, in both directions, over events that were
// deleted and past those of other subjects, and holds each event once.
func TestPagesOfEvents(t *testing.T) {
	r := newRig(t)
	r.fill(1, 60)
	for _, subject := range []string{"s.rare", "s.rare"} { // 61 and 62
		if _, err := r.js.Publish(t.Context(), subject, []byte("rare")); err != nil {
			t.Fatal(err)
		}
	}
	r.fill(63, 120)
	for n := uint64(20); n <= 50; n++ {
		if err := r.stream().DeleteMsg(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.stream().Purge(t.Context(), jetstream.WithPurgeSequence(5)); err != nil {
		t.Fatal(err)
	}
	all := append(span(5, 19), span(51, 120)...)
	for _, limit := range []streams.ReadLimit{{Events: 1, Bytes: 1 << 20}, {Events: 7, Bytes: 1 << 20}, {Events: 50, Bytes: 20}, {Events: 200, Bytes: 1 << 20}} {
		for subject, want := range map[string][]int{"": all, "s.rare": {61, 62}, "s.none": nil} {
			q := streams.Query{Stream: "S", Subject: subject, Limit: limit}
			if got := onward(t, r, q); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%v of %q onward: %v, want %v", limit, subject, got, want)
			}
			if got := back(t, r, q); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%v of %q back: %v, want %v", limit, subject, got, want)
			}
		}
	}
}

// onward reads pages from the beginning to the end.
func onward(t *testing.T, r *rig, q streams.Query) (got []int) {
	t.Helper()
	for {
		p := page(t, r, q)
		if p.From > p.Through {
			return got
		}
		got, q.After = append(got, sequences(p)...), p.Through
	}
}

// back reads pages from the end to the beginning.
func back(t *testing.T, r *rig, q streams.Query) (got []int) {
	t.Helper()
	for q.Before = 1 << 60; ; {
		p := page(t, r, q)
		if p.From > p.Through {
			return got
		}
		got, q.Before = append(sequences(p), got...), p.From
	}
}

func page(t *testing.T, r *rig, q streams.Query) streams.Page {
	t.Helper()
	p, err := r.source.Events(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Events) > q.Limit.Events {
		t.Fatalf("a page of %d events has %d", q.Limit.Events, len(p.Events))
	}
	return p
}

func sequences(p streams.Page) (all []int) {
	for _, e := range p.Events {
		all = append(all, int(e.Sequence))
	}
	return all
}

// Facts are those of the server, also of a stream that cannot be projected and of an empty one.
func TestFacts(t *testing.T) {
	r := newRig(t)
	r.create(jetstream.StreamConfig{Name: "JOBS", Subjects: []string{"jobs"}, Retention: jetstream.WorkQueuePolicy, Storage: jetstream.MemoryStorage})
	r.fill(1, 3)
	if err := r.stream().DeleteMsg(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	f, err := r.source.Facts(t.Context(), "S")
	if err != nil || f.First != 2 || f.Last != 3 || f.Events != 2 || f.Distinct != 1 || f.Bytes == 0 || f.Retention != "limits" || f.Storage != "file" || f.FirstTime.IsZero() || fmt.Sprint(f.Subjects) != "[s.>]" || f.Duplicates != 120 {
		t.Errorf("%+v, %v", f, err)
	}
	f, err = r.source.Facts(t.Context(), "JOBS")
	if err != nil || f.First != 1 || f.Last != 0 || f.Retention != "workqueue" || f.Storage != "memory" || !f.FirstTime.IsZero() || !f.LastTime.IsZero() {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := r.source.Facts(t.Context(), "../"); !errors.Is(err, streams.ErrNoStream) {
		t.Errorf("a name that no stream can have: %v", err)
	}
	if _, err := r.source.Facts(t.Context(), "NONE"); !errors.Is(err, streams.ErrNoStream) {
		t.Errorf("a stream that is not there: %v", err)
	}
}
