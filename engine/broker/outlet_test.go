package broker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/broker"
	"gnomon/engine/enginetest"
	"gnomon/engine/ingest"
	"gnomon/engine/streams"
	"gnomon/internal/testutil"
	"gnomon/internal/testutil/natstest"
	"gnomon/sdk/abi"
)

// An outlet on JetStream keeps the contract, whether or not streams take atomic batches.
func TestOutletContract(t *testing.T) {
	for name, config := range map[string]jetstream.StreamConfig{
		"atomic":     {AllowAtomicPublish: true},
		"one by one": {},
		"direct":     {AllowAtomicPublish: true, AllowDirect: true},
	} {
		t.Run(name, func(t *testing.T) {
			server := natstest.Start(t)
			enginetest.TestOutlet(t, func(t *testing.T) enginetest.OutletBackend {
				b := open(t, broker.Config{URL: server.URL()})
				js := b.JetStream()
				_ = js.DeleteStream(t.Context(), "SUITE") // of the case before
				return &outletBackend{Source: ingest.New(js, b.Explain), Outlet: b.Outlet(), t: t, js: js, config: config}
			})
		})
	}
}

// outletBackend changes the streams of a real server.
type outletBackend struct {
	streams.Source
	*broker.Outlet
	t      *testing.T
	js     jetstream.JetStream
	config jetstream.StreamConfig
	stream jetstream.Stream // the last one created
}

func (b *outletBackend) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *outletBackend) Create(name string) {
	b.t.Helper()
	c := b.config
	c.Name, c.Subjects, c.Storage = name, []string{"e.>"}, jetstream.MemoryStorage
	b.stream = create(b.t, b.js, c)
}

func (b *outletBackend) Append(_, subject string, data []byte) uint64 {
	ack, err := b.js.Publish(b.t.Context(), subject, data)
	b.must(err)
	return ack.Sequence
}

func (b *outletBackend) Delete(_ string, sequence uint64) {
	b.must(b.stream.DeleteMsg(b.t.Context(), sequence))
}

func (b *outletBackend) Purge(_ string, before uint64) {
	b.must(b.stream.Purge(b.t.Context(), jetstream.WithPurgeSequence(before)))
}

// LoseReaders does nothing: an outlet has none between its calls.
func (b *outletBackend) LoseReaders() {}

// target is a server with the stream T, which takes e.>, and an outlet to it.
type target struct {
	t      *testing.T
	server *natstest.Server
	outlet *broker.Outlet
	js     jetstream.JetStream // of another connection
	config jetstream.StreamConfig
}

func newTarget(t *testing.T, change func(*jetstream.StreamConfig), opts ...natstest.Option) *target {
	t.Helper()
	server := natstest.Start(t, opts...)
	r := &target{t: t, server: server, js: server.JetStream(t)}
	r.config = jetstream.StreamConfig{Name: "T", Subjects: []string{"e.>"}, Storage: jetstream.MemoryStorage, AllowAtomicPublish: true}
	if change != nil {
		change(&r.config)
	}
	create(t, r.js, r.config)
	r.outlet = open(t, broker.Config{URL: server.URL()}).Outlet()
	return r
}

// emits are messages whose groups have so many each. The n-th of all has the id n, from 1 on.
func emits(groups ...int) (all []streams.Message) {
	for g, n := range groups {
		for range n {
			id := fmt.Sprint(len(all) + 1)
			all = append(all, streams.Message{ID: id, Subject: "e." + id, Data: []byte(id), Group: uint64(g + 1)})
		}
	}
	return all
}

// stored are the ids of what the stream has, in order.
func (r *target) stored() (ids []string) {
	r.t.Helper()
	s, err := r.js.Stream(r.t.Context(), "T")
	if err != nil {
		r.t.Fatal(err)
	}
	for seq := max(s.CachedInfo().State.FirstSeq, 1); seq <= s.CachedInfo().State.LastSeq; seq++ {
		m, err := s.GetMsg(r.t.Context(), seq)
		if err != nil {
			r.t.Fatal(err)
		}
		ids = append(ids, m.Header.Get("Nats-Msg-Id"))
	}
	return ids
}

// listed are the ids that the outlet lists.
func (r *target) listed(after uint64, subjects ...string) (ids []string) {
	r.t.Helper()
	err := r.outlet.Stored(r.t.Context(), "T", subjects, after, func(id string, _ uint64) bool {
		ids = append(ids, id)
		return true
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return ids
}

// ids are the numbers from first to last.
func ids(first, last int) (all []string) {
	for n := first; n <= last; n++ {
		all = append(all, fmt.Sprint(n))
	}
	return all
}

// As many headers as a projection may give an event are stored, with what they are published
// with, in a batch and alone.
func TestOutletTakesAllHeaders(t *testing.T) {
	for _, atomic := range []bool{false, true} {
		r := newTarget(t, func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = atomic })
		messages := emits(2)
		for i := range messages {
			for n := 0; n < 63<<10; n += 4 + 1 + 3 { // which the engine allows: the worst are short ones
				messages[i].Headers, _ = abi.AppendHeader(messages[i].Headers, "x", "abc")
			}
			messages[i].ID = fmt.Sprintf("%s/%d", strings.Repeat("n", 64), i)
		}
		if n, _, err := r.outlet.Publish(t.Context(), "T", messages); n != 2 || err != nil {
			t.Errorf("atomic %v: stored are %d: %v", atomic, n, err)
		}
	}
}

// What a stream refuses, and all after it, is not stored; what came before it is. A group is
// stored all or none where the stream takes atomic batches, and message by message where
// not. The error says why.
func TestOutletRefused(t *testing.T) {
	full := func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Discard = 4, jetstream.DiscardNew }
	for _, tt := range []struct {
		name   string
		change func(*jetstream.StreamConfig)
		spoil  func([]streams.Message)
		groups []int
		atomic int // how many of them are stored in batches
		single int // and one by one
		says   string
	}{
		{"full", full, nil, []int{3, 3}, 3, 4, "maximum messages exceeded"},
		{"full, of single ones", full, nil, []int{1, 1, 1, 1, 1, 1}, 4, 4, "maximum messages exceeded"},
		{"full, of many single ones", full, nil, slices.Repeat([]int{1}, 40), 4, 4, "maximum messages exceeded"},
		{"too large for the stream", func(c *jetstream.StreamConfig) { c.MaxMsgSize = 600 },
			func(m []streams.Message) { m[4].Data = make([]byte, 600) }, []int{3, 3, 3}, 3, 4, "message size exceeds maximum allowed"},
		{"too large for the server", nil,
			func(m []streams.Message) { m[4].Data = make([]byte, 1<<20) }, []int{3, 3, 3}, 3, 4, "max_payload"},
		{"another stream's", nil, func(m []streams.Message) { m[4].Subject = "other.subject" }, []int{3, 3, 3}, 3, 4, "another"},
		{"bad headers", nil, func(m []streams.Message) { m[4].Headers = []byte("x") }, []int{3, 3, 3}, 3, 4, "headers of 5"},
		{"no acknowledgements", func(c *jetstream.StreamConfig) { c.NoAck = true }, nil, []int{2}, 0, 0, "no_ack"},
	} {
		for atomic, want := range map[bool]int{true: tt.atomic, false: tt.single} {
			t.Run(fmt.Sprintf("%s, atomic %v", tt.name, atomic), func(t *testing.T) {
				r := newTarget(t, func(c *jetstream.StreamConfig) {
					c.AllowAtomicPublish = atomic
					if tt.change != nil {
						tt.change(c)
					}
				})
				create(t, r.js, jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"other.>"}, AllowAtomicPublish: true})
				m := emits(tt.groups...)
				if tt.spoil != nil {
					tt.spoil(m)
				}
				n, last, err := r.outlet.Publish(t.Context(), "T", m)
				if !errors.Is(err, streams.ErrRefused) || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("refused with %v", err)
				}
				if n != want || last != uint64(want) || !slices.Equal(r.stored(), ids(1, want)) {
					t.Errorf("%d are said to be stored, up to %d; stored are %s; want %d", n, last, r.stored(), want)
				}
			})
		}
	}
}

// What is published again while the server remembers it is stored once, also when it was
// stored in other parts.
func TestOutletRepeats(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before int // so many are stored already
		groups []int
	}{
		{"whole groups", 6, []int{3, 3, 3, 3}},
		{"a part of a group", 4, []int{3, 3, 3, 3}},
		{"single ones", 4, []int{1, 1, 1, 1, 1, 1}},
		{"all", 6, []int{3, 3}},
		{"many", 50, slices.Repeat([]int{1}, 100)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newTarget(t, nil)
			m := emits(tt.groups...)
			for i := range m[:tt.before] {
				if _, _, err := r.outlet.Publish(t.Context(), "T", m[i:i+1]); err != nil {
					t.Fatal(err)
				}
			}
			n, last, err := r.outlet.Publish(t.Context(), "T", m)
			if n != len(m) || last != uint64(len(m)) || err != nil || !slices.Equal(r.stored(), ids(1, len(m))) {
				t.Errorf("%d are said to be stored, up to %d, %v; stored are %s", n, last, err, r.stored())
			}
		})
	}
}

// A group beyond what a server takes in one batch is stored in order all the same.
func TestOutletBeyondABatch(t *testing.T) {
	for name, limit := range map[string]int{"the server's own limit": 0, "a lower one": 10} {
		t.Run(name, func(t *testing.T) {
			r := newTarget(t, nil, natstest.With(func(o *server.Options) { o.JetStreamLimits.MaxBatchSize = limit }))
			m := emits(1, 2500, 1, 2)
			if n, _, err := r.outlet.Publish(t.Context(), "T", m); n != len(m) || err != nil {
				t.Fatalf("stored are %d: %v", n, err)
			}
			if got := r.listed(0, "e.>"); !slices.Equal(got, ids(1, len(m))) {
				t.Errorf("stored are %d", len(got))
			}
		})
	}
}

// A stream that no longer takes atomic batches, or takes them now, is published to as it is.
func TestOutletStreamIsChanged(t *testing.T) {
	r := newTarget(t, nil)
	m := emits(2, 2, 2)
	for i, atomic := range []bool{true, false, true} {
		r.config.AllowAtomicPublish = atomic
		s, err := r.js.UpdateStream(t.Context(), r.config)
		if err != nil {
			t.Fatal(err)
		}
		if atomic {
			if _, err := r.outlet.StreamFor(t.Context(), "e.1"); err != nil { // looks again
				t.Fatal(err)
			}
		}
		if n, _, err := r.outlet.Publish(t.Context(), "T", m[2*i:2*i+2]); n != 2 || err != nil {
			t.Fatalf("stored are %d: %v", n, err)
		}
		stored, err := s.GetMsg(t.Context(), uint64(2*i+2))
		if err != nil {
			t.Fatal(err)
		}
		if batch := stored.Header.Get("Nats-Batch-Id") != ""; batch != atomic {
			t.Errorf("in a batch: %v, though the stream takes them: %v", batch, atomic)
		}
	}
}

// Messages of work queues are listed, as are those of a stream that renames subjects, and with
// filters that overlap.
func TestOutletLists(t *testing.T) {
	renamed := &jetstream.SubjectTransformConfig{Source: "e.>", Destination: "f.>"}
	for _, tt := range []struct {
		name    string
		change  func(*jetstream.StreamConfig)
		filters []string
	}{
		{"a work queue", func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy }, []string{"e.>"}},
		{"renamed", func(c *jetstream.StreamConfig) { c.SubjectTransform = renamed }, []string{"e.*"}},
		{"filters that overlap", nil, []string{"e.*", "e.>", "*.1"}},
		{"a filter that matches more", nil, []string{">"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newTarget(t, tt.change)
			if _, _, err := r.outlet.Publish(t.Context(), "T", emits(1, 2, 3)); err != nil {
				t.Fatal(err)
			}
			if got := r.listed(2, tt.filters...); !slices.Equal(got, ids(3, 6)) {
				t.Errorf("listed are %s", got)
			}
		})
	}
}

// A listing ends where the stream ended when it began, and what is removed meanwhile, be it the
// consumer that it uses, does not keep it from the rest.
func TestOutletListsAmidChanges(t *testing.T) {
	r := newTarget(t, nil)
	m := emits(3000)
	if _, _, err := r.outlet.Publish(t.Context(), "T", m); err != nil {
		t.Fatal(err)
	}
	s, err := r.js.Stream(t.Context(), "T")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	err = r.outlet.Stored(t.Context(), "T", []string{"e.>"}, 0, func(id string, sequence uint64) bool {
		got = append(got, id)
		switch len(got) {
		case 10:
			if _, err := r.js.Publish(t.Context(), "e.later", nil, jetstream.WithMsgID("later")); err != nil {
				t.Error(err)
			}
			if err := s.DeleteMsg(t.Context(), 2500); err != nil {
				t.Error(err)
			}
		case 1200:
			for name := range s.ConsumerNames(t.Context()).Name() {
				if err := s.DeleteConsumer(t.Context(), name); err != nil {
					t.Error(err)
				}
			}
		}
		return true
	})
	if want := slices.Delete(ids(1, 3000), 2499, 2500); err != nil || !slices.Equal(got, want) {
		t.Errorf("listed are %d, want %d: %v", len(got), len(want), err)
	}
	for range s.ConsumerNames(t.Context()).Name() {
		t.Error("a consumer is left behind")
	}
}

// While the server is away every call says so, and none is refused; when it is back they work.
func TestOutletServerAway(t *testing.T) {
	t.Parallel() // a request that is out when the server stops waits for its time-out
	r := newTarget(t, func(c *jetstream.StreamConfig) { c.Storage = jetstream.FileStorage })
	publish := func() error {
		_, _, err := r.outlet.Publish(t.Context(), "T", emits(2))
		return err
	}
	calls := map[string]func() error{
		"StreamFor": func() error { _, err := r.outlet.StreamFor(t.Context(), "e.1"); return err },
		"Publish":   publish,
		"Stored": func() error {
			return r.outlet.Stored(t.Context(), "T", []string{"e.>"}, 0, func(string, uint64) bool { return true })
		},
	}
	r.server.Stop()
	for name, call := range calls {
		testutil.Until(t, func() bool { return errors.Is(call(), streams.ErrSourceDown) })
		if err := call(); !errors.Is(err, streams.ErrSourceDown) || errors.Is(err, streams.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.server.Restart()
	testutil.Until(t, func() bool { return publish() == nil })
	for name, call := range calls {
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := r.stored(); !slices.Equal(got, ids(1, 2)) {
		t.Errorf("stored are %s", got)
	}
}

// A stream that is removed is missed by name.
func TestOutletStreamIsGone(t *testing.T) {
	for _, groups := range [][]int{{1}, {3}} {
		r := newTarget(t, nil)
		if _, err := r.outlet.StreamFor(t.Context(), "e.1"); err != nil {
			t.Fatal(err)
		}
		if err := r.js.DeleteStream(t.Context(), "T"); err != nil {
			t.Fatal(err)
		}
		if n, _, err := r.outlet.Publish(t.Context(), "T", emits(groups...)); n != 0 || !errors.Is(err, streams.ErrNoStream) {
			t.Errorf("%d are said to be stored: %v", n, err)
		}
	}
}

// Emitting needs no more permissions than docs/OPERATIONS.md lists, and what one of them lacks
// is said.
func TestOutletLeastPermissions(t *testing.T) {
	least := &server.Permissions{
		Publish: &server.SubjectPermission{Allow: []string{
			"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.INFO.T", "$JS.API.STREAM.MSG.GET.T",
			"$JS.API.CONSUMER.CREATE.T.>", "$JS.API.CONSUMER.MSG.NEXT.T.>", "$JS.API.CONSUMER.DELETE.T.>", "e.>",
		}},
		Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
	}
	s := natstest.Start(t, natstest.User("all", "secret", nil), natstest.User("least", "secret", least))
	b, log, err := try(t, broker.Config{URL: s.URL(), User: "least", Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	r := &target{t: t, server: s, outlet: b.Outlet(), js: s.JetStream(t)}
	create(t, r.js, jetstream.StreamConfig{Name: "T", Subjects: []string{"e.>"}, AllowAtomicPublish: true})
	if _, err := r.outlet.StreamFor(t.Context(), "e.1"); err != nil {
		t.Error(err)
	}
	if n, _, err := r.outlet.Publish(t.Context(), "T", emits(1, 3)); n != 4 || err != nil {
		t.Errorf("stored are %d, %v", n, err)
	}
	if got := r.listed(0, "e.>"); !slices.Equal(got, ids(1, 4)) {
		t.Errorf("listed are %s", got)
	}
	if strings.Contains(log.String(), "Violation") {
		t.Errorf("a permission is missing: %s", log)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, _, err := r.outlet.Publish(ctx, "T", []streams.Message{{ID: "x", Subject: "other"}}); err == nil || !strings.Contains(err.Error(), `Publish to "other"`) {
		t.Errorf("without permission: %v", err)
	}
}
