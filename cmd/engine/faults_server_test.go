package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine"
	"gnomon/internal/testutil/natstest"
)

// An engine that is started while its server is away serves what it has, says that it is
// not up to date, and goes on when the server is there; one whose server comes and goes
// applies every event once.
func TestServerComesAndGoes(t *testing.T) {
	server := natstest.Start(t)
	js := server.JetStream(t)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "LOG", Subjects: []string{"log.>"}}); err != nil {
		t.Fatal(err)
	}
	publish := func(n int) {
		t.Helper()
		for i := range n {
			if _, err := js.Publish(t.Context(), fmt.Sprint("log.", i%3), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	h := newHome(t, "log.>", projection("count", "count.wasm"))
	h.undeclareStream()
	h.configure("", fmt.Sprintf("[nats]\nurl = %q", server.URL()))
	publish(30)
	h.runOnce()
	server.Stop()

	p := h.serve()
	s := p.await("count", "it says why it does not go on", func(s engine.Status) bool { return s.Reason != "" })
	if s.State == engine.Live || s.Position != 30 || !strings.Contains(s.Reason, "unreachable") {
		t.Errorf("%s at %d: %s", s.State, s.Position, s.Reason)
	}
	if got, err := p.client.Get(t.Context(), "count", []byte("log.0")); err != nil || got.Sequence != 30 {
		t.Errorf("meanwhile it serves %+v, %v", got, err)
	}
	for round := range uint64(5) {
		server.Restart()
		publish(30)
		p.await("count", "it goes on", func(s engine.Status) bool { return s.Position > 30*(round+1) })
		server.Stop()
	}
	server.Restart()
	p.awaitLive("count", 180)
	for i := range 3 {
		got, err := p.client.Get(t.Context(), "count", fmt.Append(nil, "log.", i))
		if want := "\x3c\x00\x00\x00\x00\x00\x00\x00"; err != nil || string(got.Value) != want {
			t.Errorf("log.%d was counted %q times, %v; want 60", i, got.Value, err)
		}
	}
}

// undeclareStream leaves the stream to the server.
func (h *home) undeclareStream() {
	h.t.Helper()
	text, err := os.ReadFile(h.config)
	if err != nil {
		h.t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(text), "[[stream]]")
	_, after, _ := strings.Cut(rest, "[[projection]]")
	if err := os.WriteFile(h.config, []byte(before+"[[projection]]"+after), 0o600); err != nil {
		h.t.Fatal(err)
	}
}
