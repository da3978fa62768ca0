package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"gnomon/internal/testutil/natstest"
)

// Two engines on one server share the requests that come over NATS. Each answers as over
// HTTP, and when one is stopped, in good order, no request is lost: the other answers them.
func TestNodesShareRequests(t *testing.T) {
	h, server, publish := logServer(t)
	publish(30)
	other := newHome(t, "log.>", projection("count", "count.wasm"))
	other.undeclareStream()
	other.configure("", fmt.Sprintf("[nats]\nurl = %q", server.URL()))
	first, second := h.serve(), other.serve()
	first.awaitLive("count", 30)
	second.awaitLive("count", 30)
	conn := server.Connect(t)
	nodes := servicesOn(t, conn, 2)
	if nodes[0] == nodes[1] {
		t.Errorf("the services are %q", nodes)
	}
	m, err := conn.Request("gnomon.v1.get.count", []byte(`{"key":"log.0","min_seq":30}`), patience)
	if err != nil || !strings.Contains(string(m.Data), `"value_b64":"CgAAAAAAAAA="`) || m.Header.Get("Gnomon-As-Of-Seq") != "30" {
		t.Fatalf("%s, %v", m.Data, err)
	}
	if m, err = conn.Request("gnomon.v1.query.count", nil, patience); err != nil || m.Header.Get(micro.ErrorCodeHeader) != "no-query" {
		t.Errorf("a query of a module that answers none: %v, %v", m.Header, err)
	}
	stop := make(chan struct{})
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				m, err := conn.Request("gnomon.v1.get.count", []byte(`{"key":"log.1"}`), patience)
				if err != nil || m.Header.Get(micro.ErrorHeader) != "" {
					t.Errorf("%v, %v", m, err)
					return
				}
			}
		})
	}
	second.signal(syscall.SIGINT)
	if out, err := second.wait(); err != nil {
		t.Errorf("the second engine: %v\n%s", err, out)
	}
	for range 50 {
		if _, err := conn.Request("gnomon.v1.list", nil, patience); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	asking.Wait()
	servicesOn(t, conn, 1)
}

// servicesOn waits until so many engines are announced, and returns their ids.
func servicesOn(t *testing.T, conn *natsgo.Conn, n int) (ids []string) {
	t.Helper()
	inbox := natsgo.NewInbox()
	sub, err := conn.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Unsubscribe()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		ids = nil
		if err := conn.PublishRequest("$SRV.PING.gnomon", inbox, nil); err != nil {
			t.Fatal(err)
		}
		for m, err := sub.NextMsg(500 * time.Millisecond); err == nil; m, err = sub.NextMsg(500 * time.Millisecond) {
			var p micro.Ping
			if err := json.Unmarshal(m.Data, &p); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, p.ID)
		}
		if len(ids) == n {
			return ids
		}
	}
	t.Fatalf("%d services are announced, want %d", len(ids), n)
	return nil
}

// An engine answers over NATS though HTTP is off, and not at all when the configuration says
// so.
func TestServiceIsConfigured(t *testing.T) {
	for _, on := range []bool{true, false} {
		server := natstest.Start(t)
		h := newHome(t, "log.>", projection("count", "count.wasm"))
		text, err := os.ReadFile(h.config)
		if err == nil {
			err = os.WriteFile(h.config, []byte(strings.Replace(string(text), "127.0.0.1:0", "", 1)), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		h.configure("", fmt.Sprintf("[nats]\nurl = %q\nservice = %t", server.URL(), on))
		p := h.start()
		conn := server.Connect(t)
		js := server.JetStream(t)
		p.until("it has made its stream, which it does last", func() bool {
			_, err := js.Stream(t.Context(), "LOG")
			return err == nil
		})
		p.until("it answers, or does not", func() bool {
			m, err := conn.Request("gnomon.v1.status.count", nil, time.Second)
			if !on && !errors.Is(err, natsgo.ErrNoResponders) {
				t.Errorf("service = false: %v, %v", m, err)
			}
			return !on || err == nil && strings.Contains(string(m.Data), `"state":"live"`)
		})
		p.signal(syscall.SIGINT)
		out, err := p.wait()
		if err != nil {
			t.Errorf("service = %t: %v\n%s", on, err, out)
		}
		if _, err := conn.Request("gnomon.v1.list", nil, time.Second); err == nil {
			t.Error("an engine that was stopped answers")
		}
	}
}
