package broker_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/broker"
	"gnomon/engine/streams"
)

// A declared stream is created as declared, once.
func TestStreamIsCreated(t *testing.T) {
	b := embedded(t)
	spec := broker.StreamSpec{
		Name: "S", Subjects: []string{"s.>", "t"}, Memory: true, MaxAge: time.Hour, MaxBytes: 1 << 20, Duplicates: time.Minute, Replicas: 1, Atomic: true,
	}
	for _, want := range []bool{true, false} {
		created, differences, err := b.EnsureStream(t.Context(), spec)
		if created != want || len(differences) > 0 || err != nil {
			t.Fatalf("created: %v, want %v; %v, %v", created, want, differences, err)
		}
	}
	s, err := b.JetStream().Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	if !slices.Equal(c.Subjects, spec.Subjects) || c.Storage != jetstream.MemoryStorage || c.MaxAge != time.Hour || c.MaxBytes != 1<<20 || c.Duplicates != time.Minute || !c.AllowAtomicPublish {
		t.Errorf("the stream is %+v", c)
	}
}

// A stream that exists is left as it is, and every setting that differs from the
// declaration is named with both values; what is not declared may be anything.
func TestStreamIsCompared(t *testing.T) {
	b := embedded(t)
	have := jetstream.StreamConfig{Name: "S", Subjects: []string{"a", "b"}, MaxAge: time.Hour, MaxBytes: 1000, Duplicates: time.Minute}
	create(t, b.JetStream(), have)
	tests := []struct {
		name string
		spec broker.StreamSpec
		want []string
	}{
		{"nothing declared", broker.StreamSpec{}, nil},
		{"the same", broker.StreamSpec{Subjects: []string{"b", "a"}, MaxAge: time.Hour, MaxBytes: 1000, Duplicates: time.Minute, Replicas: 1}, nil},
		{"subjects", broker.StreamSpec{Subjects: []string{"a"}}, []string{"subjects is a b, the configuration says a"}},
		{"storage", broker.StreamSpec{Memory: true}, []string{"storage is File, the configuration says Memory"}},
		{"everything", broker.StreamSpec{Subjects: []string{"c"}, MaxAge: time.Minute, MaxBytes: 5, Duplicates: time.Second, Replicas: 3, Atomic: true}, []string{
			"subjects is a b, the configuration says c", "max_age is 1h0m0s, the configuration says 1m0s",
			"max_bytes is 1000, the configuration says 5", "duplicate_window is 1m0s, the configuration says 1s",
			"replicas is 1, the configuration says 3", "allow_atomic is false, the configuration says true",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.spec.Name = "S"
			created, differences, err := b.EnsureStream(t.Context(), tt.spec)
			if created || err != nil {
				t.Fatalf("created: %v, %v", created, err)
			}
			var got []string
			for _, d := range differences {
				got = append(got, d.String())
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("differences are %q, want %q", got, tt.want)
			}
		})
	}
	s, err := b.JetStream().Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if c := s.CachedInfo().Config; c.MaxBytes != 1000 || len(c.Subjects) != 2 {
		t.Errorf("the stream was changed: %+v", c)
	}
}

// A stream that cannot be had is named.
func TestStreamThatCannotBeHad(t *testing.T) {
	b := embedded(t)
	if _, _, err := b.EnsureStream(t.Context(), broker.StreamSpec{Name: "NONE"}); !errors.Is(err, jetstream.ErrStreamNotFound) || !strings.Contains(err.Error(), "NONE") {
		t.Errorf("a stream that must exist: %v", err)
	}
	create(t, b.JetStream(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
	if _, _, err := b.EnsureStream(t.Context(), broker.StreamSpec{Name: "T", Subjects: []string{"s.t"}}); err == nil || !strings.Contains(err.Error(), "create stream T") {
		t.Errorf("a stream whose subjects another one has: %v", err)
	}
}

// A published event is stored whole, once for each id, and its sequence is returned.
func TestPublish(t *testing.T) {
	b := embedded(t)
	s := create(t, b.JetStream(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
	e := broker.Event{Stream: "S", Subject: "s.a", ID: "1", Headers: map[string][]string{"ce-type": {"T"}}, Data: []byte("{}")}
	for _, want := range []bool{false, true} {
		if seq, duplicate, err := b.Publish(t.Context(), e); seq != 1 || duplicate != want || err != nil {
			t.Fatalf("sequence %d, duplicate %v, %v", seq, duplicate, err)
		}
	}
	m, err := s.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if m.Subject != "s.a" || string(m.Data) != "{}" || m.Header.Get("ce-type") != "T" || m.Header.Get("Nats-Msg-Id") != "1" {
		t.Errorf("stored was %+v", m)
	}
	if seq, duplicate, err := b.Publish(t.Context(), broker.Event{Subject: "s.b"}); seq != 2 || duplicate || err != nil {
		t.Errorf("an event with a subject only: sequence %d, duplicate %v, %v", seq, duplicate, err)
	}
}

// An event with an expected last sequence is stored only if its subject has that.
func TestPublishExpectsLast(t *testing.T) {
	b := embedded(t)
	s := create(t, b.JetStream(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
	put := func(subject string, last uint64) (uint64, error) {
		seq, _, err := b.Publish(t.Context(), broker.Event{Subject: subject, Expect: broker.Expect{LastSubjectSeq: &last}})
		return seq, err
	}
	steps := []struct {
		subject  string
		last     uint64
		sequence uint64 // 0: refused
	}{
		{"s.a", 0, 1}, {"s.a", 0, 0}, {"s.b", 0, 2}, {"s.a", 2, 0}, {"s.a", 1, 3}, {"s.b", 2, 4},
	}
	for _, step := range steps {
		seq, err := put(step.subject, step.last)
		var wrong *broker.WrongSequenceError
		refused := errors.As(err, &wrong) && wrong.Subject == step.subject && wrong.Want == step.last && strings.Contains(err.Error(), "expected last sequence")
		if seq != step.sequence || refused != (step.sequence == 0) {
			t.Errorf("%s after %d: sequence %d, %v", step.subject, step.last, seq, err)
		}
	}
	if info, err := s.Info(t.Context()); err != nil || info.State.LastSeq != 4 {
		t.Errorf("the stream is %+v, %v", info, err)
	}
}

// An event that no stream stores, or another one than named, is refused because there
// is no such stream, in words of its own.
func TestPublishIsRefused(t *testing.T) {
	b := embedded(t)
	create(t, b.JetStream(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
	for _, tt := range []struct {
		event broker.Event
		want  string
	}{
		{broker.Event{Subject: "t"}, "publish t: stream not found: no stream stores this subject"},
		{broker.Event{Subject: "t", Stream: "S"}, "publish t: stream not found: no stream stores this subject"},
		{broker.Event{Subject: "s.a", Stream: "OTHER"}, "publish s.a: stream not found: stream OTHER does not store this subject"},
	} {
		if _, _, err := b.Publish(t.Context(), tt.event); !errors.Is(err, streams.ErrNoStream) || err.Error() != tt.want {
			t.Errorf("%+v: %v, want %s", tt.event, err, tt.want)
		}
	}
}
