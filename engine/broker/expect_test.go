package broker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/broker"
	"gnomon/engine/streams"
	"gnomon/internal/testutil"
	"gnomon/internal/testutil/natstest"
)

// everyKind runs a test on a stream with one copy, in a file and in memory, and on one with
// three replicas: the server checks expectations in other places for each.
func everyKind(t *testing.T, test func(t *testing.T, b *broker.Broker)) {
	t.Helper()
	s := jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, AllowAtomicPublish: true}
	t.Run("file", func(t *testing.T) {
		b := embedded(t)
		create(t, b.JetStream(), s)
		test(t, b)
	})
	t.Run("memory", func(t *testing.T) {
		b := embedded(t)
		s := s
		s.Storage = jetstream.MemoryStorage
		create(t, b.JetStream(), s)
		test(t, b)
	})
	t.Run("replicated", func(t *testing.T) {
		if testing.Short() {
			t.Skip("a cluster takes a while")
		}
		c := natstest.StartCluster(t)
		c.Create(s)
		test(t, open(t, broker.Config{URL: c.URL()}))
	})
}

// expect are what an event expects: the last sequence of the stream and of the subject; -1: nothing.
func expect(stream, subject int) (x broker.Expect) {
	set := func(n int) *uint64 {
		if n < 0 {
			return nil
		}
		u := uint64(n)
		return &u
	}
	x.LastSeq, x.LastSubjectSeq = set(stream), set(subject)
	return x
}

// An event is stored only if everything that it expects holds; otherwise the refusal says what does
// not, what is there instead, and which event that is.
func TestExpectations(t *testing.T) {
	everyKind(t, func(t *testing.T, b *broker.Broker) {
		for i, subject := range []string{"s.a", "s.b", "s.a"} {
			if _, _, err := b.Publish(t.Context(), broker.Event{Subject: subject, ID: fmt.Sprint("id", i+1), Data: []byte(subject)}); err != nil {
				t.Fatal(err)
			}
		}
		next := uint64(4)
		for _, tt := range []struct {
			stream, subject int // a sequence before the next one; -2: the last
			filter          string
			ok              bool
			want            string // of the refusal
			last            uint64
		}{
			{stream: -1, subject: -1, ok: true},
			{stream: -2, subject: -1, ok: true},
			{stream: 0, subject: -1, want: "expected last sequence 0 of the stream: wrong last sequence: 5", last: 5},
			{stream: -1, subject: 3, want: "publish s.a: expected last sequence 3: wrong last sequence: 5", last: 5},
			{stream: -1, subject: 0, want: "publish s.a: expected last sequence 0: wrong last sequence: 5", last: 5},
			{stream: -1, subject: -2, ok: true},
			{stream: -2, subject: -2, ok: true},
			{stream: -2, subject: 3, want: "expected last sequence 3: wrong last sequence: 7", last: 7},
			{stream: 3, subject: -2, want: "expected last sequence 3 of the stream: wrong last sequence: 7", last: 7},
			{stream: 99, subject: 98, want: "expected last sequence 99 of the stream: wrong last sequence: 7", last: 7},
			{stream: -1, subject: 2, filter: "s.b", ok: true},
			{stream: -1, subject: 1, filter: "s.b", want: "expected last sequence 1 of s.b: wrong last sequence: 2", last: 2},
			{stream: -1, subject: 0, filter: "s.none", ok: true},
			{stream: -2, subject: 2, filter: "s.b", ok: true},
		} {
			last := func(n int) int {
				if n == -2 {
					return int(next) - 1
				}
				return n
			}
			x := expect(last(tt.stream), last(tt.subject))
			x.Filter = tt.filter
			name := fmt.Sprintf("stream %d, subject %d %s", last(tt.stream), last(tt.subject), tt.filter)
			seq, duplicate, err := b.Publish(t.Context(), broker.Event{Stream: "S", Subject: "s.a", Expect: x})
			if tt.ok {
				if err != nil || duplicate || seq != next {
					t.Errorf("%s: %d, %v, %v; want %d", name, seq, duplicate, err, next)
				}
				next++
				continue
			}
			var wrong *broker.WrongSequenceError
			if !errors.As(err, &wrong) || !strings.Contains(err.Error(), tt.want) || wrong.Have != tt.last || wrong.Last == nil || wrong.Last.Sequence != tt.last {
				t.Errorf("%s: %+v, want %s", name, err, tt.want)
			}
		}
		var wrong *broker.WrongSequenceError
		x := expect(-1, 0)
		x.Filter = "s.b"
		if _, _, err := b.Publish(t.Context(), broker.Event{Subject: "s.c", Expect: x}); !errors.As(err, &wrong) || wrong.Last.Subject != "s.b" || string(wrong.Last.Data) != "s.b" || wrong.Last.ID() != "id2" || wrong.Last.Time.IsZero() {
			t.Errorf("%v tells of %+v", err, wrong)
		}
		if got := lastSequence(t, b, "S"); got != next-1 {
			t.Errorf("the stream ends at %d, want %d", got, next-1)
		}
	})
}

func lastSequence(t *testing.T, b *broker.Broker, stream string) uint64 {
	t.Helper()
	s, err := b.JetStream().Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.LastSeq
}

// An event with an id that is published again is answered as stored, with the sequence of the first
// time, whatever it expects, and also when others came after it.
func TestExpectationsOfARetry(t *testing.T) {
	everyKind(t, func(t *testing.T, b *broker.Broker) {
		filtered := expect(-1, 0)
		filtered.Filter = "s.other"
		var events []broker.Event
		for i, x := range []broker.Expect{expect(-1, -1), expect(1, -1), expect(-1, 0), expect(3, 0), filtered} {
			events = append(events, broker.Event{Stream: "S", Subject: fmt.Sprint("s.", i), ID: fmt.Sprint("id", i), Expect: x})
		}
		events = append(events, broker.Event{Stream: "S", Subject: "s.0", ID: "again", Expect: expect(-1, 1)})
		publish := func(want bool) {
			t.Helper()
			for i, e := range events {
				if seq, duplicate, err := b.Publish(t.Context(), e); seq != uint64(i)+1 || duplicate != want || err != nil {
					t.Errorf("event %d: %d, %v, %v; want duplicate: %v", i+1, seq, duplicate, err, want)
				}
			}
		}
		publish(false)
		publish(true)
		for i := range 6 { // 7 to 12
			if _, _, err := b.Publish(t.Context(), broker.Event{Subject: fmt.Sprint("s.", i)}); err != nil {
				t.Fatal(err)
			}
		}
		publish(true)
		other := events[2]
		other.ID = "another's"
		var wrong *broker.WrongSequenceError
		if _, _, err := b.Publish(t.Context(), other); !errors.As(err, &wrong) || wrong.Have != 9 {
			t.Errorf("the same with another id: %v", err)
		}
	})
}

// An event whose place its expectation names is found there also after the duplicate window,
// in which the server forgets its id; one that expects nothing is stored again.
func TestExpectationsAfterTheWindow(t *testing.T) {
	b := embedded(t)
	const window = 100 * time.Millisecond // the least that a server takes
	create(t, b.JetStream(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, Duplicates: window})
	first := broker.Event{Stream: "S", Subject: "s.a", ID: "1", Expect: expect(-1, 0)}
	plain := broker.Event{Stream: "S", Subject: "s.b", ID: "2"}
	for _, e := range []broker.Event{first, plain} {
		if _, _, err := b.Publish(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	testutil.Until(t, func() bool {
		_, duplicate, err := b.Publish(t.Context(), plain)
		return err == nil && !duplicate
	})
	if seq, duplicate, err := b.Publish(t.Context(), first); seq != 1 || !duplicate || err != nil {
		t.Errorf("%d, %v, %v", seq, duplicate, err)
	}
}

// With wildcards the last event of any matching subject counts; of a replicated stream that is
// refused, since the server would let pass two at once.
func TestExpectationOfAFilter(t *testing.T) {
	everyKind(t, func(t *testing.T, b *broker.Broker) {
		x := expect(-1, 0)
		x.Filter = "s.order.17.>"
		e := broker.Event{Stream: "S", Subject: "s.order.17.placed", Expect: x}
		_, _, err := b.Publish(t.Context(), e)
		if strings.HasSuffix(t.Name(), "replicated") {
			if !errors.Is(err, broker.ErrBadExpectation) || !strings.Contains(err.Error(), "stream S has 3 replicas") {
				t.Errorf("of a replicated stream: %v", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		e.Subject = "s.order.17.paid"
		var wrong *broker.WrongSequenceError
		if _, _, err := b.Publish(t.Context(), e); !errors.As(err, &wrong) || wrong.Have != 1 || wrong.Last.Subject != "s.order.17.placed" {
			t.Errorf("after another event of the filter: %v", err)
		}
		for _, bad := range []broker.Event{
			{Subject: "s.a", Expect: x},
			{Stream: "S", Subject: "s.a", Expect: broker.Expect{Filter: "s.b"}},
		} {
			if _, _, err := b.Publish(t.Context(), bad); !errors.Is(err, broker.ErrBadExpectation) {
				t.Errorf("%+v: %v", bad, err)
			}
		}
	})
}

// Of many who expect the same, one is stored, and each of the others learns which.
func TestExpectationsAtOnce(t *testing.T) {
	everyKind(t, func(t *testing.T, b *broker.Broker) {
		const names, clients = 5, 8
		var mu sync.Mutex
		won := map[string][]string{}
		told := map[string][]string{}
		var all sync.WaitGroup
		for c := range clients {
			all.Go(func() {
				for n := range names {
					subject, who := fmt.Sprint("s.name.", n), fmt.Sprint("client ", c)
					_, _, err := b.Publish(t.Context(), broker.Event{Stream: "S", Subject: subject, ID: subject + who, Data: []byte(who), Expect: expect(-1, 0)})
					var wrong *broker.WrongSequenceError
					mu.Lock()
					switch {
					case err == nil:
						won[subject] = append(won[subject], who)
					case errors.As(err, &wrong):
						told[subject] = append(told[subject], string(wrong.Last.Data))
					default:
						t.Error(err)
					}
					mu.Unlock()
				}
			})
		}
		all.Wait()
		for n := range names {
			subject := fmt.Sprint("s.name.", n)
			if len(won[subject]) != 1 || len(told[subject]) != clients-1 || len(slices.Compact(told[subject])) != 1 || told[subject][0] != won[subject][0] {
				t.Errorf("%s: %v won, the others were told of %v", subject, won[subject], told[subject])
			}
		}
	})
}

// When the server does not answer, the error says that the event may be stored.
func TestPublishInDoubt(t *testing.T) {
	s := natstest.Start(t)
	b := open(t, broker.Config{URL: s.URL()})
	create(t, b.JetStream(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, AllowAtomicPublish: true})
	s.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), patience/60)
	defer cancel()
	if _, _, err := b.Publish(ctx, broker.Event{Stream: "S", Subject: "s.a", ID: "1"}); !errors.Is(err, broker.ErrInDoubt) || !errors.Is(err, streams.ErrSourceDown) {
		t.Errorf("publish: %v", err)
	}
}
