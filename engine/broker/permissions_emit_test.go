package broker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/broker"
	"gnomon/engine/streams"
	"gnomon/internal/testutil/natstest"
)

// Without any one of the permissions that emitting takes, an outlet says at once that it is
// that one which is missing, and never that there is no server or no stream.
func TestOutletNamesMissingPermission(t *testing.T) {
	t.Parallel()
	type call func(context.Context, *broker.Outlet) error
	find := func(ctx context.Context, o *broker.Outlet) error {
		_, err := o.StreamFor(ctx, "alerts.x")
		return err
	}
	publish := func(n int) call {
		return func(ctx context.Context, o *broker.Outlet) error {
			var all []streams.Message
			for i := range n {
				all = append(all, streams.Message{ID: fmt.Sprint(i), Subject: "alerts.x", Group: 1})
			}
			_, _, err := o.Publish(ctx, "ALERTS", all)
			return err
		}
	}
	listOf := func(stream, subjects string) call {
		return func(ctx context.Context, o *broker.Outlet) error {
			return o.Stored(ctx, stream, []string{subjects}, 0, func(string, uint64) bool { return true })
		}
	}
	list := listOf("ALERTS", "alerts.>")
	cases := []struct {
		denied, adds string
		ask          call
	}{
		{"alerts.x", "alerts.x", publish(1)},
		{"alerts.>", "alerts.x", publish(3)},
		{"$JS.API.STREAM.NAMES", "$JS.API.STREAM.NAMES", find},
		{"$JS.API.STREAM.INFO.ALERTS", "$JS.API.STREAM.INFO.ALERTS", find},
		{"$JS.API.STREAM.INFO.ALERTS", "$JS.API.STREAM.INFO.ALERTS", publish(1)},
		{"$JS.API.STREAM.INFO.ALERTS", "$JS.API.STREAM.INFO.ALERTS", list},
		{"$JS.API.CONSUMER.CREATE.ALERTS.>", "$JS.API.CONSUMER.CREATE.ALERTS.>", list},
		{"$JS.API.CONSUMER.MSG.NEXT.ALERTS.>", "$JS.API.CONSUMER.MSG.NEXT.ALERTS.>", list},
		{"$JS.API.STREAM.MSG.GET.WORK", "$JS.API.STREAM.MSG.GET.WORK", listOf("WORK", "work.>")}, // whose messages consumers would compete for
	}
	options := []natstest.Option{natstest.User("admin", "a", nil)}
	for i, c := range cases {
		options = append(options, natstest.User(fmt.Sprint("u", i), "u", &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{c.denied}}}))
	}
	s := natstest.Start(t, options...)
	js := s.JetStream(t)
	create(t, js, jetstream.StreamConfig{Name: "ALERTS", Subjects: []string{"alerts.>"}, AllowAtomicPublish: true})
	create(t, js, jetstream.StreamConfig{Name: "WORK", Subjects: []string{"work.>"}, Retention: jetstream.WorkQueuePolicy})
	for _, subject := range []string{"alerts.y", "work.y"} {
		if _, err := js.Publish(t.Context(), subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range cases {
		t.Run(fmt.Sprint(i, " ", c.denied), func(t *testing.T) {
			b := open(t, broker.Config{URL: s.URL(), User: fmt.Sprint("u", i), Password: "u"})
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			err := c.ask(ctx, b.Outlet())
			if !errors.Is(err, streams.ErrForbidden) || errors.Is(err, streams.ErrSourceDown) || errors.Is(err, streams.ErrNoStream) {
				t.Errorf("%v", err)
			}
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("add %q to the subjects that the user may publish", c.adds)) {
				t.Errorf("%v, want to be told to add %s", err, c.adds)
			}
			if b.Refusals() == 0 {
				t.Error("no refusal is counted")
			}
		})
	}
}
