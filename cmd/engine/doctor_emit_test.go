package main

import (
	"fmt"
	"slices"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/internal/testutil/natstest"
)

// The doctor names each permission that emitting takes and the user lacks, with all of them it
// finds nothing, and nobody gets what it tries with.
func TestDoctorTriesEmitting(t *testing.T) {
	denied := []string{"", "alerts.>", "alerts.gnomon-doctor", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.INFO.ALERTS", "$JS.API.STREAM.MSG.GET.ALERTS", "$JS.API.CONSUMER.CREATE.ALERTS.>", "$JS.API.CONSUMER.MSG.NEXT.ALERTS.>", "$JS.API.CONSUMER.DELETE.ALERTS.>"}
	options := []natstest.Option{natstest.User("admin", "secret", nil)}
	for i, subject := range denied {
		options = append(options, natstest.User(fmt.Sprint("u", i), "secret", &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{subject}}}))
	}
	options[1] = natstest.User("u0", "secret", nil) // who lacks nothing
	s := natstest.Start(t, options...)
	conn := s.Connect(t)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	for name, subjects := range map[string]string{"EVENTS": "events.>", "ALERTS": "alerts.>"} {
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{subjects}, AllowAtomicPublish: true}); err != nil {
			t.Fatal(err)
		}
	}
	seen := make(chan *natsgo.Msg, 100)
	if _, err := conn.ChanSubscribe("alerts.>", seen); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PASSWORD", "secret")
	for i, subject := range denied {
		p := newPatient(t)
		p.server = s
		p.replace(`url = "URL"`, fmt.Sprintf("url = \"URL\"\nuser = \"u%d\"\npassword = \"${PASSWORD}\"", i))
		p.text += "[projection.emit]\nsubjects = [\"alerts.>\"]\n"
		bad := p.examined()
		want := subject
		if i == 2 { // what is missing is named as it is configured
			want = "alerts.>"
		}
		says := fmt.Sprintf("the user may not publish %q", want)
		switch {
		case subject == "" && len(bad) > 0:
			t.Errorf("with all permissions: %+v", bad)
		case subject != "" && (len(bad) != 1 || !slices.ContainsFunc(bad, func(f finding) bool { return f.Check == "permissions" && f.Level == levelFail && f.Found == says })):
			t.Errorf("without %s: %+v, want %s", subject, bad, says)
		}
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	if len(seen) > 0 {
		t.Errorf("a subscriber gets %+v", <-seen)
	}
}
