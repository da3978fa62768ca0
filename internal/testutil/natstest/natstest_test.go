package natstest_test

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/internal/testutil/natstest"
)

// A server that is restarted has its files and its port.
func TestRestart(t *testing.T) {
	s := natstest.Start(t)
	url, js := s.URL(), s.JetStream(t)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	if conn, err := nats.Connect(url); err == nil {
		conn.Close()
		t.Fatal("a stopped server answers")
	}
	s.Restart()
	if s.URL() != url {
		t.Errorf("the server moved from %s to %s", url, s.URL())
	}
	if _, err := s.JetStream(t).Stream(t.Context(), "S"); err != nil {
		t.Error(err)
	}
}

// Clients have to authenticate as the options say; the test itself does.
func TestCredentials(t *testing.T) {
	for name, option := range map[string]natstest.Option{
		"user":  natstest.User("u", "p", nil),
		"token": natstest.Token("t"),
	} {
		t.Run(name, func(t *testing.T) {
			s := natstest.Start(t, option)
			if conn, err := nats.Connect(s.URL()); err == nil {
				conn.Close()
				t.Error("connected without credentials")
			}
			if _, err := s.JetStream(t).AccountInfo(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
