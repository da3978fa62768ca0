package broker_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gnomon/engine/broker"
)

// An embedded server without an address serves this process and no other.
func TestEmbeddedWithoutPort(t *testing.T) {
	b := embedded(t)
	if b.ClientURL() != "" {
		t.Errorf("the server listens at %s", b.ClientURL())
	}
	if err := works(t, b); err != nil {
		t.Error(err)
	}
}

// What an embedded server stored is there when it is opened again, however often its
// files are synced.
func TestEmbeddedSurvivesReopening(t *testing.T) {
	for _, interval := range []time.Duration{0, time.Minute} {
		t.Run(interval.String(), func(t *testing.T) {
			c := broker.Config{URL: broker.Embedded, Server: broker.Server{Dir: filepath.Join(t.TempDir(), "new", "nats"), SyncInterval: interval}}
			first := open(t, c)
			spec := broker.StreamSpec{Name: "S", Subjects: []string{"s"}}
			if created, _, err := first.EnsureStream(t.Context(), spec); !created || err != nil {
				t.Fatalf("created: %v, %v", created, err)
			}
			if _, _, err := first.Publish(t.Context(), broker.Event{Subject: "s", Data: []byte("kept")}); err != nil {
				t.Fatal(err)
			}
			first.Close()
			first.Close() // is no error

			second := open(t, c)
			created, differences, err := second.EnsureStream(t.Context(), spec)
			if created || len(differences) > 0 || err != nil {
				t.Fatalf("created: %v, %v, %v", created, differences, err)
			}
			s, err := second.JetStream().Stream(t.Context(), "S")
			if err != nil {
				t.Fatal(err)
			}
			if m, err := s.GetMsg(t.Context(), 1); err != nil || string(m.Data) != "kept" {
				t.Errorf("event 1: %+v, %v", m, err)
			}
		})
	}
}

// An embedded server with an address is reached by other programs, until it is
// closed.
func TestEmbeddedListens(t *testing.T) {
	b := open(t, broker.Config{URL: broker.Embedded, Server: broker.Server{Dir: t.TempDir(), Listen: "127.0.0.1:0"}})
	url := b.ClientURL()
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	b.Close()
	if conn, err := nats.Connect(url); err == nil {
		conn.Close()
		t.Error("the server answers after Close")
	}
}

// An embedded server that cannot start says why at once.
func TestEmbeddedCannotStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		server broker.Server
		says   string
	}{
		{"address taken", broker.Server{Dir: t.TempDir(), Listen: taken.Addr().String()}, "nats.embedded.listen"},
		{"no port in the address", broker.Server{Dir: t.TempDir(), Listen: "localhost"}, "nats.embedded.listen"},
		{"a port that is no number", broker.Server{Dir: t.TempDir(), Listen: "127.0.0.1:nats?"}, "nats.embedded.listen"},
		{"folder is a file", broker.Server{Dir: file}, file},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, _, err := try(t, broker.Config{URL: broker.Embedded, Server: tt.server}); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Open: %v", err)
			}
		})
	}
}
