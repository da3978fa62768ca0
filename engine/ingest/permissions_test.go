package ingest_test

import (
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/ingest"
	"gnomon/internal/testutil/natstest"
)

// Reading needs no more permissions than docs/OPERATIONS.md lists.
func TestLeastPermissions(t *testing.T) {
	least := &server.Permissions{
		Publish: &server.SubjectPermission{Allow: []string{
			"$JS.API.STREAM.INFO.S", "$JS.API.STREAM.MSG.GET.S", "$JS.API.CONSUMER.CREATE.S.>",
			"$JS.API.CONSUMER.MSG.NEXT.S.>", "$JS.API.CONSUMER.INFO.S.>", "$JS.API.CONSUMER.DELETE.S.>",
		}},
		Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
	}
	r := newRig(t, natstest.User("all", "secret", nil), natstest.User("least", "secret", least))
	r.fill(1, 20)
	refused := make(chan error, 10)
	conn := r.server.Connect(t, nats.UserInfo("least", "secret"), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	source := ingest.New(js, func(err error) error { return err })
	reader, err := source.Read(t.Context(), "S", 5, anyLimit)
	if err != nil {
		t.Fatal(err)
	}
	checkNumbers(t, read(t, reader, 16), span(5, 20)...)
	if through := awaitCaughtUp(t, reader); through != 20 {
		t.Errorf("caught up through %d", through)
	}
	if _, err := source.Event(t.Context(), "S", 7); err != nil {
		t.Error(err)
	}
	reader.Close()
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-refused:
		t.Error(err)
	default:
	}
}
