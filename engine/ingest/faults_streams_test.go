package ingest_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/enginetest"
	"gnomon/engine/streams"
	"gnomon/internal/testutil"
)

// change replaces the configuration of S.
func (r *rig) change(c jetstream.StreamConfig) {
	r.t.Helper()
	c.Name, c.Subjects = "S", []string{"s.>"}
	if _, err := r.js.UpdateStream(r.t.Context(), c); err != nil {
		r.t.Fatal(err)
	}
}

// A reader whose consumer an operator paused yields nothing and does not say that it is
// at the end, and a new one reads on: pausing the consumer does not pause a projection.
func TestConsumerPaused(t *testing.T) {
	r := newRig(t)
	r.fill(1, 10)
	reader := r.open(1, anyLimit)
	checkNumbers(t, read(t, reader, 10), span(1, 10)...)
	names := r.stream().ConsumerNames(t.Context())
	for name := range names.Name() {
		if _, err := r.js.PauseConsumer(t.Context(), "S", name, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	r.fill(11, 20)
	checkNumbers(t, read(t, r.open(11, anyLimit), 10), span(11, 20)...)
	if through, ok, err := reader.CaughtUp(t.Context()); ok || err != nil {
		t.Errorf("caught up through %d, %v, %v", through, ok, err)
	}
	if b, err := reader.Take(); b != nil || err != nil {
		t.Errorf("the consumer is not paused: %v, %v", b, err)
	}
}

// An event that is published with the same id twice is one event within the server's
// window for duplicates, and two after it: what the stream holds is the truth.
func TestPublishedTwice(t *testing.T) {
	r := newRig(t)
	r.change(jetstream.StreamConfig{Duplicates: 200 * time.Millisecond})
	publish := func() (duplicate bool) {
		ack, err := r.js.Publish(t.Context(), "s.a", []byte("a"), jetstream.WithMsgID("1"))
		if err != nil {
			t.Fatal(err)
		}
		return ack.Duplicate
	}
	publish()
	if !publish() {
		t.Fatal("the server has no window for duplicates")
	}
	testutil.Until(t, func() bool { return !publish() })
	events := read(t, r.open(1, anyLimit), 2)
	if string(events[0].Data) != "a" || string(events[1].Data) != "a" || events[1].Sequence != 2 {
		t.Errorf("%+v", events)
	}
}

// What a publisher stores is an event, whatever it does to the stream: one that removes
// those before it, one that counts, one that is a schedule.
func TestUnusualEvents(t *testing.T) {
	header := func(name, value string) nats.Header { return nats.Header{name: {value}} }
	for name, c := range map[string]struct {
		config jetstream.StreamConfig
		stored []*nats.Msg
		want   string
	}{
		"rollup of a subject": {
			jetstream.StreamConfig{AllowRollup: true},
			[]*nats.Msg{{Subject: "s.a", Data: []byte("1")}, {Subject: "s.b", Data: []byte("2")}, {Subject: "s.a", Data: []byte("3"), Header: header("Nats-Rollup", "sub")}},
			"2 s.b 2; 3 s.a 3; ",
		},
		"rollup of the stream": {
			jetstream.StreamConfig{AllowRollup: true},
			[]*nats.Msg{{Subject: "s.a", Data: []byte("1")}, {Subject: "s.b", Data: []byte("2"), Header: header("Nats-Rollup", "all")}},
			"2 s.b 2; ",
		},
		"counter": {
			jetstream.StreamConfig{AllowMsgCounter: true},
			[]*nats.Msg{{Subject: "s.a", Header: header("Nats-Incr", "+2")}, {Subject: "s.a", Header: header("Nats-Incr", "3")}},
			`1 s.a {"val":"2"}; 2 s.a {"val":"5"}; `,
		},
		"schedule": {
			jetstream.StreamConfig{AllowMsgSchedules: true, AllowMsgTTL: true},
			[]*nats.Msg{{Subject: "s.a", Data: []byte("1"), Header: nats.Header{"Nats-Schedule": {"@at 2126-01-01T00:00:00Z"}, "Nats-Schedule-Target": {"s.b"}}}},
			"1 s.a 1; ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			if err := r.js.DeleteStream(t.Context(), "S"); err != nil {
				t.Fatal(err)
			}
			c.config.Name, c.config.Subjects, c.config.Storage = "S", []string{"s.>"}, jetstream.MemoryStorage
			r.create(c.config)
			for _, m := range c.stored {
				r.publish(m)
			}
			var got strings.Builder
			for _, e := range read(t, r.open(1, anyLimit), strings.Count(c.want, ";")) {
				fmt.Fprintf(&got, "%d %s %s; ", e.Sequence, e.Subject, e.Data)
			}
			if got.String() != c.want {
				t.Errorf("read %q, want %q", got.String(), c.want)
			}
		})
	}
}

// An atomic batch is seen when its publisher has committed it, whole, in one run of
// sequences; one that was not committed when the server stopped is never seen.
func TestAtomicBatch(t *testing.T) {
	r := newRig(t)
	r.change(jetstream.StreamConfig{AllowAtomicPublish: true})
	batch := func(id string, events int, commit bool) {
		for n := 1; n <= events; n++ {
			m := &nats.Msg{Subject: "s." + id, Data: fmt.Append(nil, n), Header: nats.Header{"Nats-Batch-Id": {id}, "Nats-Batch-Sequence": {fmt.Sprint(n)}}}
			if commit && n == events {
				m.Header.Set("Nats-Batch-Commit", "1")
				r.publish(m)
			} else if _, err := r.js.Conn().RequestMsg(m, patience); err != nil {
				t.Fatal(err)
			}
		}
	}
	batch("begun", 3, false)
	r.fill(1, 1)
	batch("whole", 3, true)
	reader := r.open(1, anyLimit)
	var got strings.Builder
	for _, e := range read(t, reader, 4) {
		fmt.Fprintf(&got, "%d %s %s; ", e.Sequence, e.Subject, e.Data)
	}
	if want := "1 s.n 1; 2 s.whole 1; 3 s.whole 2; 4 s.whole 3; "; got.String() != want {
		t.Errorf("read %q, want %q", got.String(), want)
	}
	reader.Close()
	r.stopServer()
	r.startServer()
	if got := sequencesThrough(t, r.open(2, anyLimit), 4); !slices.Equal(got, []uint64{2, 3, 4}) {
		t.Errorf("after a restart of the server there are %d", got)
	}
}

// Any bytes that the server stores reach the guest as they are: as many as there may be,
// none, and those that are no text.
func TestExtremeEvents(t *testing.T) {
	r := newRig(t)
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<20/16)
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	deep := bytes.Repeat([]byte("["), 10_000)
	stored := []*nats.Msg{
		{Subject: "s.large", Data: large},
		{Subject: "s.empty"},
		{Subject: "s.headers", Header: nats.Header{"Long": {strings.Repeat("v", 60_000)}, "Empty": {""}}},
		{Subject: "s.every", Data: every},
		{Subject: "s.utf8", Data: []byte("\xff\xfe\xc3\x28")},
		{Subject: "s.\xff\xfe", Data: []byte("a subject that is no text")},
		{Subject: "s.json", Data: []byte(`{"a":1e400,"a":2,"b":"\ud800"}`)},
		{Subject: "s.deep", Data: deep},
	}
	for _, m := range stored {
		r.publish(m)
	}
	for i, e := range read(t, r.open(1, streams.ReadLimit{Events: 2, Bytes: 1}), len(stored)) {
		want := stored[i]
		if string(e.Subject) != want.Subject || !bytes.Equal(e.Data, want.Data) {
			t.Errorf("event %d on %q has %d bytes, want %q with %d", i, e.Subject, len(e.Data), want.Subject, len(want.Data))
		}
		for name, values := range want.Header {
			if v, ok := e.Header(name); !ok || string(v) != values[0] {
				t.Errorf("event %d has a header %s of %d bytes, want %d", i, name, len(v), len(values[0]))
			}
		}
	}
}

// What is read never holds some events of an atomic batch without the others, while batches
// of any size are published and read a few events at a time.
func TestAtomicBatchesAreReadWhole(t *testing.T) {
	r := newRig(t)
	r.change(jetstream.StreamConfig{AllowAtomicPublish: true})
	p := r.project(nil)
	ends := map[uint64]bool{0: true}
	last := uint64(0)
	for i, size := range []int{1, 2, 250, 3, 150, 1, 40, 101} {
		last += uint64(size)
		ends[last] = true
		for n := 1; n <= size; n++ {
			id := fmt.Sprint("b", i)
			m := &nats.Msg{Subject: "s.n", Data: fmt.Append(nil, n), Reply: r.js.Conn().NewInbox(), Header: nats.Header{"Nats-Batch-Id": {id}, "Nats-Batch-Sequence": {fmt.Sprint(n)}}}
			if n == size {
				m.Header.Set("Nats-Batch-Commit", "1")
			}
			if err := r.js.Conn().PublishMsg(m); err != nil {
				t.Fatal(err)
			}
		}
	}
	p.awaitLive(last)
	ks, err := p.store.Open(t.Context(), "p", p.store.Generations("p")[0], false)
	if err != nil {
		t.Fatal(err)
	}
	commits := ks.(*enginetest.Keyspace).Checkpoints()
	for _, ck := range commits {
		if at := ck.Position.Sequence; !ends[at] {
			t.Errorf("a commit is at %d, within a batch", at)
		}
	}
	if len(commits) < 2 {
		t.Errorf("%d commits show nothing", len(commits))
	}
}
