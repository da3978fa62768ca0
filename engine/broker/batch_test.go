package broker_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/broker"
	"gnomon/engine/streams"
	"gnomon/internal/testutil/natstest"
)

// of makes a batch from subjects, with the ids prefix1, prefix2 …; none without a prefix.
func of(prefix string, subjects ...string) (events []broker.Event) {
	for i, subject := range subjects {
		e := broker.Event{Subject: subject, Data: fmt.Append(nil, i+1), Headers: map[string][]string{"ce-type": {"T"}}}
		if prefix != "" {
			e.ID = fmt.Sprint(prefix, i+1)
		}
		events = append(events, e)
	}
	return events
}

// A batch is stored as one, in consecutive sequences; sent again with the same ids it is answered as
// what it repeats, with and without expectations, and whatever came after it.
func TestBatch(t *testing.T) {
	everyKind(t, func(t *testing.T, b *broker.Broker) {
		conditional := of("b", "s.b", "s.b", "s.c")
		conditional[0].Expect, conditional[2].Expect = expect(3, -1), expect(-1, 0)
		subject := of("c", "s.a", "s.d")
		subject[1].Expect = expect(-1, 0)
		batches := map[uint64][]broker.Event{1: of("a", "s.a", "s.a", "s.b"), 4: conditional, 7: subject, 9: of("d", "s.e")}
		for _, want := range []bool{false, true, true} {
			for _, first := range []uint64{1, 4, 7, 9} {
				if seq, duplicate, err := b.PublishBatch(t.Context(), "S", batches[first]); seq != first || duplicate != want || err != nil {
					t.Fatalf("batch at %d: %d, %v, %v, want duplicate: %v", first, seq, duplicate, err, want)
				}
			}
			if want {
				continue
			}
			if got := lastSequence(t, b, "S"); got != 9 {
				t.Fatalf("the stream ends at %d", got)
			}
			if seq, _, err := b.PublishBatch(t.Context(), "S", of("", "s.b", "s.c")); seq != 10 || err != nil {
				t.Fatalf("a batch without ids: %d, %v", seq, err)
			}
		}
		s, err := b.JetStream().Stream(t.Context(), "S")
		if err != nil {
			t.Fatal(err)
		}
		if m, err := s.GetMsg(t.Context(), 2); err != nil || m.Subject != "s.a" || string(m.Data) != "2" || m.Header.Get("ce-type") != "T" {
			t.Errorf("event 2 is %+v, %v", m, err)
		}
	})
}

// A batch of which one event cannot be stored stores none, and the refusal names the event.
func TestBatchIsRefusedAsOne(t *testing.T) {
	everyKind(t, func(t *testing.T, b *broker.Broker) {
		if _, _, err := b.Publish(t.Context(), broker.Event{Subject: "s.a", ID: "known", Data: []byte("one")}); err != nil {
			t.Fatal(err)
		}
		known := `id is one of an event that is stored: "known", at 1`
		with := func(change func(events []broker.Event)) []broker.Event {
			events := of("", "s.x", "s.y", "s.z")
			change(events)
			return events
		}
		for name, tt := range map[string]struct {
			events []broker.Event
			want   error
			text   string
		}{
			"a sequence of the stream":  {with(func(e []broker.Event) { e[0].Expect = expect(0, -1) }), nil, "event 1 of the batch, s.x: expected last sequence 0 of the stream: wrong last sequence: 1"},
			"a sequence of a subject":   {with(func(e []broker.Event) { e[1].Subject, e[1].Expect = "s.a", expect(-1, 0) }), nil, "event 2 of the batch, s.a: expected last sequence 0: wrong last sequence: 1"},
			"of another subject":        {with(func(e []broker.Event) { e[2].Expect = expect(-1, 5); e[2].Filter = "s.a" }), nil, "event 3 of the batch, s.z: expected last sequence 5 of s.a: wrong last sequence: 1"},
			"a known id":                {with(func(e []broker.Event) { e[2].ID = "known" }), broker.ErrKnownID, "event 3 of the batch, s.z: " + known},
			"a known id at the place":   {with(func(e []broker.Event) { e[0].ID = "known" }), broker.ErrKnownID, "event 1 of the batch, s.x: " + known},
			"a known id that expects":   {with(func(e []broker.Event) { e[0].ID, e[0].Expect = "known", expect(0, -1) }), nil, "wrong last sequence: 1"},
			"the same id twice":         {with(func(e []broker.Event) { e[0].ID, e[2].ID = "i", "i" }), broker.ErrBadBatch, `events 1 and 3 have the same id "i"`},
			"a late expectation":        {with(func(e []broker.Event) { e[2].Expect = expect(1, -1) }), broker.ErrBadBatch, "event 3 expects a last sequence of the stream, which only the first can"},
			"its own subject":           {with(func(e []broker.Event) { e[2].Subject, e[2].Expect = "s.x", expect(-1, 0) }), broker.ErrBadBatch, "event 3 expects a last sequence of s.x, which event 1 is of"},
			"a subject not its own":     {with(func(e []broker.Event) { e[2].Expect = expect(-1, 0); e[2].Filter = "s.*" }), broker.ErrBadBatch, "event 3 expects a last sequence of s.*, which event 1 is of"},
			"another stream's subject":  {with(func(e []broker.Event) { e[1].Subject = "t" }), streams.ErrNoStream, "event 2 of the batch, t: stream not found: stream S does not store this subject"},
			"a filter without sequence": {with(func(e []broker.Event) { e[1].Filter = "s.q" }), broker.ErrBadExpectation, "event 2 of the batch"},
			"too many headers": {with(func(e []broker.Event) { e[1].Headers = map[string][]string{"h": {strings.Repeat("x", 1<<16)}} }),
				broker.ErrTooLarge, "event 2 of the batch, s.y: event is too large"},
			"too much data": {with(func(e []broker.Event) { e[1].Data = make([]byte, 1<<20) }), broker.ErrTooLarge, "max_payload of the server"},
			"none":          {nil, broker.ErrBadBatch, "1 to 1000 events, not 0"},
			"too many":      {make([]broker.Event, 1001), broker.ErrBadBatch, "1 to 1000 events, not 1001"},
		} {
			_, duplicate, err := b.PublishBatch(t.Context(), "S", tt.events)
			var wrong *broker.WrongSequenceError
			is := errors.Is(err, tt.want) || tt.want == nil && errors.As(err, &wrong) && string(wrong.Last.Data) == "one"
			if !is || !strings.Contains(fmt.Sprint(err), tt.text) || duplicate {
				t.Errorf("%s: %v, want %s", name, err, tt.text)
			}
		}
		if got := lastSequence(t, b, "S"); got != 1 {
			t.Errorf("the stream ends at %d", got)
		}
		if seq, _, err := b.PublishBatch(t.Context(), "S", of("", make1000()...)); seq != 2 || err != nil {
			t.Errorf("a batch of the largest size: %d, %v", seq, err)
		}
		if got := lastSequence(t, b, "S"); got != 1001 {
			t.Errorf("the stream ends at %d", got)
		}
	})
}

func make1000() (subjects []string) {
	for i := range 1000 {
		subjects = append(subjects, fmt.Sprint("s.n.", i))
	}
	return subjects
}

// Of many batches that expect the same, one is stored; the streams takes only so many at once, and
// those beyond it wait.
func TestBatchesAtOnce(t *testing.T) {
	everyKind(t, func(t *testing.T, b *broker.Broker) {
		const clients = 70 // a server takes 50 at once
		var won, lost int
		var mu sync.Mutex
		var all sync.WaitGroup
		for range clients {
			all.Go(func() {
				events := of("", "s.a", "s.a", "s.b")
				events[0].Expect, events[2].Expect = expect(-1, 0), expect(-1, 0)
				_, _, err := b.PublishBatch(t.Context(), "S", events)
				var wrong *broker.WrongSequenceError
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					won++
				case errors.As(err, &wrong):
					lost++
				default:
					t.Error(err)
				}
			})
		}
		all.Wait()
		if got := lastSequence(t, b, "S"); won != 1 || lost != clients-1 || got != 3 {
			t.Errorf("%d won, %d lost, the stream ends at %d", won, lost, got)
		}
	})
}

// A stream that takes no batches is named with the setting; and so is what a server that
// takes smaller ones says.
func TestBatchIsNotTaken(t *testing.T) {
	s := natstest.Start(t, natstest.With(func(o *server.Options) { o.JetStreamLimits.MaxBatchSize = 2 }))
	b := open(t, broker.Config{URL: s.URL()})
	create(t, b.JetStream(), jetstream.StreamConfig{Name: "PLAIN", Subjects: []string{"p.>"}})
	create(t, b.JetStream(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, AllowAtomicPublish: true})
	if _, _, err := b.PublishBatch(t.Context(), "PLAIN", of("", "p.a", "p.b")); !errors.Is(err, broker.ErrNotAtomic) || !strings.Contains(err.Error(), "PLAIN: set allow_atomic on it") {
		t.Errorf("a stream that takes none: %v", err)
	}
	if _, _, err := b.PublishBatch(t.Context(), "NONE", of("", "p.a")); !errors.Is(err, streams.ErrNoStream) {
		t.Errorf("no stream: %v", err)
	}
	if _, _, err := b.PublishBatch(t.Context(), "S", of("", "s.a", "s.b", "s.c")); !errors.Is(err, broker.ErrTooLarge) {
		t.Errorf("more than the server takes: %v", err)
	}
	if seq, _, err := b.PublishBatch(t.Context(), "S", of("", "s.a", "s.b")); seq != 1 || err != nil {
		t.Errorf("as many as it takes: %d, %v", seq, err)
	}
}
