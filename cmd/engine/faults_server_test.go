package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine"
	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
	"gnomon/engine/store"
	"gnomon/internal/testutil/natstest"
)

// logServer is a server with the stream LOG, which the engine of a home reads, and what
// stores events in it.
func logServer(t *testing.T) (h *home, server *natstest.Server, publish func(n int)) {
	t.Helper()
	server = natstest.Start(t)
	js := server.JetStream(t)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "LOG", Subjects: []string{"log.>"}}); err != nil {
		t.Fatal(err)
	}
	h = newHome(t, "log.>", projection("count", "count.wasm"))
	h.undeclareStream()
	h.configure("", fmt.Sprintf("[nats]\nurl = %q", server.URL()))
	published := 0
	return h, server, func(n int) {
		t.Helper()
		for i := range n {
			published++
			var err error
			for range 6 { // a server that has just started again may not answer
				if _, err = js.Publish(t.Context(), fmt.Sprint("log.", i%3), nil, jetstream.WithMsgID(fmt.Sprint(published))); err == nil {
					break
				}
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// An engine whose server comes and goes serves what it has meanwhile, says that it is not
// up to date, and applies every event once.
func TestServerComesAndGoes(t *testing.T) {
	long(t)
	h, server, publish := logServer(t)
	publish(30)
	p := h.serve()
	p.awaitLive("count", 30)
	for round := range uint64(3) {
		server.Stop()
		s := p.await("count", "it says that the server is away", func(s engine.Status) bool { return s.Reason != "" })
		if s.State == engine.Live {
			t.Errorf("%s at %d: %s", s.State, s.Position, s.Reason)
		}
		if got, err := p.client.Get(t.Context(), "count", []byte("log.0")); err != nil || got.Sequence != 30*(round+1) {
			t.Errorf("meanwhile it serves %+v, %v", got, err)
		}
		server.Restart()
		publish(30)
		p.awaitLive("count", 30*(round+2))
	}
	p.wantCounts(3, 40)
}

// An engine that is started while its server is away serves what it has, says that it is
// not up to date, and goes on when the server is there.
func TestServerAwayAtStart(t *testing.T) {
	long(t)
	for name, tables := range map[string]string{
		"a stream that is there":    "",
		"a stream that is declared": "[[stream]]\nname = \"LOG\"\nsubjects = [\"log.>\"]",
	} {
		t.Run(name, func(t *testing.T) { serverAwayAtStart(t, tables) })
	}
}

func serverAwayAtStart(t *testing.T, tables string) {
	h, server, publish := logServer(t)
	h.configure("", tables)
	publish(30)
	h.runOnce()
	server.Stop()
	p := h.serve()
	s := p.await("count", "it says that the server is away", func(s engine.Status) bool { return s.Reason != "" })
	if s.State == engine.Live || s.Position != 30 || !strings.Contains(s.Reason, "unreachable") {
		t.Errorf("%s at %d: %s", s.State, s.Position, s.Reason)
	}
	if got, err := p.client.Get(t.Context(), "count", []byte("log.0")); err != nil || got.Sequence != 30 {
		t.Errorf("meanwhile it serves %+v, %v", got, err)
	}
	server.Restart()
	publish(30)
	p.awaitLive("count", 60)
	p.wantCounts(3, 20)
}

// State is served before there is an answer of the NATS server, which may never come: when
// the first connection to it arrives, and waits, HTTP answers.
func TestServedBeforeServerAnswers(t *testing.T) {
	h, server, publish := logServer(t)
	publish(30)
	h.runOnce()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.replace(server.URL(), "nats://"+silent.Addr().String())
	arrived := make(chan net.Conn, 1)
	go func() {
		if c, err := silent.Accept(); err == nil {
			arrived <- c // and nobody ever speaks on it
		}
	}()
	t.Cleanup(func() { _ = silent.Close() })
	p := h.start()
	var waits net.Conn
	p.until("it connects to NATS", func() bool {
		select {
		case waits = <-arrived:
			return true
		default:
			return false
		}
	})
	defer waits.Close()
	holder, _ := store.Running(h.data())
	if holder.HTTP == "" {
		t.Fatal("it does not serve yet")
	}
	c, err := client.New("http://"+holder.HTTP, "")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Get(t.Context(), "count", []byte("log.0")); err != nil || got.Sequence != 30 {
		t.Errorf("it serves %+v, %v", got, err)
	}
	if s, err := c.Projection(t.Context(), "count"); err != nil || s.State != engine.Starting || s.Position != 30 {
		t.Errorf("its status is %s at %d, %v", s.State, s.Position, err)
	}
	var problem *wire.Problem
	if _, err := c.Publish(t.Context(), "LOG", wire.NewEvent{Subject: "log.0"}); !errors.As(err, &problem) || problem.Code != wire.CodeNotReady {
		t.Errorf("an event is appended with %v", err)
	}
}

// An engine whose stream does not exist says so, and begins by itself when it does.
func TestStreamCreatedLater(t *testing.T) {
	h, server, publish := logServer(t)
	js := server.JetStream(t)
	if err := js.DeleteStream(t.Context(), "LOG"); err != nil {
		t.Fatal(err)
	}
	p := h.serve()
	s := p.await("count", "it says that there is no stream", func(s engine.Status) bool { return s.Reason != "" })
	if !strings.Contains(s.Reason, "stream not found") {
		t.Errorf("%s: %s", s.State, s.Reason)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "LOG", Subjects: []string{"log.>"}, Storage: jetstream.MemoryStorage}); err != nil {
		t.Fatal(err)
	}
	publish(30)
	p.awaitLive("count", 30)
	p.wantCounts(3, 10)
}

// wantCounts checks how often count has seen each subject.
func (p *process) wantCounts(subjects int, want uint64) {
	p.t.Helper()
	for i := range subjects {
		got, err := p.client.Get(p.t.Context(), "count", fmt.Append(nil, "log.", i))
		if err != nil || len(got.Value) != 8 || binary.LittleEndian.Uint64(got.Value) != want {
			p.t.Errorf("log.%d was counted %x times, %v; want %d", i, got.Value, err, want)
		}
	}
}

// replace replaces a part of the configuration.
func (h *home) replace(old, new string) {
	h.t.Helper()
	text, err := os.ReadFile(h.config)
	if err == nil && !strings.Contains(string(text), old) {
		err = fmt.Errorf("there is no %s in %s", old, text)
	}
	if err == nil {
		err = os.WriteFile(h.config, []byte(strings.Replace(string(text), old, new, 1)), 0o600)
	}
	if err != nil {
		h.t.Fatal(err)
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
