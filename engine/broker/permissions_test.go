package broker_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/broker"
	"gnomon/internal/testutil/natstest"
)

// A request that the server refuses ends at once, though the client library would wait for
// its answer, and the error and the log say what to add to the permissions. These requests
// have an hour.
func TestRefusedAtOnce(t *testing.T) {
	t.Parallel()
	deny := func(subjects ...string) *server.Permissions {
		return &server.Permissions{Publish: &server.SubjectPermission{Deny: subjects}, Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>", "_MINE.>"}}}
	}
	noAnswers := &server.Permissions{Subscribe: &server.SubjectPermission{Allow: []string{"other"}}}
	s := natstest.Start(t, natstest.User("admin", "a", nil),
		natstest.User("reader", "r", deny("$JS.API.STREAM.INFO.S", "$JS.API.STREAM.CREATE.T", "s.secret", "$JS.API.CONSUMER.CREATE.>", "$O.>")),
		natstest.User("deaf", "d", noAnswers))
	js := s.JetStream(t)
	create(t, js, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, AllowAtomicPublish: true})
	if _, err := js.CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: "B"}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, user, password, inbox string
		adds                        string
		ask                         func(context.Context, *broker.Broker) error
	}{
		{"stream", "reader", "r", "", `"$JS.API.STREAM.INFO.S" to the subjects that the user may publish`, func(ctx context.Context, b *broker.Broker) error {
			_, _, err := b.EnsureStream(ctx, broker.StreamSpec{Name: "S"})
			return err
		}},
		{"create", "reader", "r", "", `"$JS.API.STREAM.CREATE.T" to`, func(ctx context.Context, b *broker.Broker) error {
			_, _, err := b.EnsureStream(ctx, broker.StreamSpec{Name: "T", Subjects: []string{"t"}})
			return err
		}},
		{"publish", "reader", "r", "", `"s.secret" to`, func(ctx context.Context, b *broker.Broker) error {
			_, _, err := b.Publish(ctx, broker.Event{Subject: "s.secret"})
			return err
		}},
		{"a batch", "reader", "r", "", `"$JS.API.STREAM.INFO.S" to`, func(ctx context.Context, b *broker.Broker) error {
			_, _, err := b.PublishBatch(ctx, "S", []broker.Event{{Subject: "s.a"}, {Subject: "s.secret"}})
			return err
		}},
		{"a name that is made for once", "reader", "r", "", `"$JS.API.CONSUMER.CREATE.S.>" to`, func(ctx context.Context, b *broker.Broker) error {
			ctx, done := b.Permitted(ctx, "S")
			defer done()
			_, err := b.JetStream().CreateConsumer(ctx, "S", jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy})
			return b.Explain(err)
		}},
		{"a bucket", "reader", "r", "", `"$O.B.>" to`, func(ctx context.Context, b *broker.Broker) error {
			ctx, done := b.Permitted(ctx)
			defer done()
			bucket, err := b.JetStream().ObjectStore(ctx, "B")
			if err == nil {
				_, err = bucket.PutString(ctx, "x", "y")
			}
			return b.Explain(err)
		}},
		{"answers", "deaf", "d", "", `"_INBOX.>" to the subjects that the user may subscribe`, func(ctx context.Context, b *broker.Broker) error {
			_, _, err := b.EnsureStream(ctx, broker.StreamSpec{Name: "S"})
			return err
		}},
		{"answers elsewhere", "deaf", "d", "_MINE", `"_MINE.>" to the subjects that the user may subscribe`, func(ctx context.Context, b *broker.Broker) error {
			_, _, err := b.EnsureStream(ctx, broker.StreamSpec{Name: "S"})
			return err
		}},
	} {
		b, log, err := try(t, broker.Config{URL: s.URL(), User: tt.user, Password: tt.password, InboxPrefix: tt.inbox})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the refusal of answers comes once
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			err = tt.ask(ctx, b)
			cancel()
			var refused *broker.PermissionError
			if !errors.As(err, &refused) || !errors.Is(err, nats.ErrPermissionViolation) || errors.Is(err, broker.ErrInDoubt) || !strings.Contains(err.Error(), "add "+tt.adds) {
				t.Errorf("%s: %v, want add %s", tt.name, err, tt.adds)
			}
		}
		if text := strings.ReplaceAll(log.String(), `\"`, `"`); !strings.Contains(text, "add "+tt.adds) {
			t.Errorf("%s: the log does not say so: %s", tt.name, text)
		}
	}
}

// A refusal ends the requests that it is about, and no others.
func TestOthersAreNotRefused(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.User("admin", "a", nil), natstest.User("u", "u", &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"s.secret"}}}))
	b := open(t, broker.Config{URL: s.URL(), User: "u", Password: "u"})
	other, done := b.Permitted(t.Context(), "OTHER", "s.open")
	defer done()
	about, done := b.Permitted(t.Context(), "s.secret")
	defer done()
	if err := b.JetStream().Conn().Publish("s.secret", nil); err != nil {
		t.Fatal(err)
	}
	<-about.Done()
	if about.Err() != context.DeadlineExceeded || other.Err() != nil {
		t.Errorf("about it: %v; about something else: %v", about.Err(), other.Err())
	}
	ctx, cancel := context.WithCancel(t.Context())
	mine, done := b.Permitted(ctx)
	defer done()
	child, end := context.WithTimeout(mine, time.Hour)
	defer end()
	cancel()
	<-child.Done()
	if mine.Err() != context.Canceled || child.Err() != context.Canceled {
		t.Errorf("given up: %v, %v", mine.Err(), child.Err())
	}
}
