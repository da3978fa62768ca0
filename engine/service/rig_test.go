package service_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/query"
	"gnomon/engine/query/wire"
	"gnomon/engine/service"
	"gnomon/engine/state"
	"gnomon/engine/streams"
	"gnomon/internal/testutil/natstest"
	"gnomon/sdk/abi"
)

// rig is an engine with one projection, p, that stores each event's data under the event's
// subject, behind a service on a server.
type rig struct {
	t       *testing.T
	events  *enginetest.Server
	store   *enginetest.Store
	catalog *enginetest.Catalog
	spec    engine.Spec
	engine  *engine.Engine
	nats    *natstest.Server
	conn    *nats.Conn // of who asks
	service *service.Service
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// letters answers a query with its text and the value of key a; it refuses "no".
func letters() *enginetest.Module {
	m := enginetest.FuncModule("letters", func(e abi.Record, st guest.State) error { return st.Put(e.Subject, e.Data) })
	m.Answer = func(_ enginetest.Guest, request []byte, rows state.Rows) ([]byte, error) {
		if string(request) == "no" {
			return nil, enginetest.Refuse("I will not\nhave that")
		}
		a, _, err := rows.Get([]byte("a"))
		return append(append(request, ':'), a...), err
	}
	return m
}

// newRig serves a projection that holds the rows given as key and value in turns.
func newRig(t *testing.T, m *enginetest.Module, rows ...string) *rig {
	t.Helper()
	return newRigOn(t, natstest.Start(t), m, rows...)
}

func newRigOn(t *testing.T, server *natstest.Server, m *enginetest.Module, rows ...string) *rig {
	t.Helper()
	r := &rig{t: t, events: new(enginetest.Server), store: new(enginetest.Store), catalog: new(enginetest.Catalog), nats: server}
	r.events.Create("S")
	for i := 0; i < len(rows); i += 2 {
		r.events.Append("S", rows[i], []byte(rows[i+1]))
	}
	r.spec = engine.Spec{Name: "p", Module: m, Stream: "S", Batch: streams.ReadLimit{Events: 100, Bytes: 1 << 20}, Window: time.Second, Cache: 1 << 20, Pins: engine.PinPolicy{Max: 2}, History: engine.HistoryPolicy{Events: 1000}}
	r.run()
	r.conn = server.Connect(t)
	r.service = r.serve(r.reads(query.Options{}), server.Connect(t))
	return r
}

// run runs an engine, until everything is applied.
func (r *rig) run() {
	r.t.Helper()
	r.engine = engine.New(engine.Options{Source: r.events, Store: r.store, Catalog: r.catalog, Log: quiet})
	if _, err := r.engine.Declare(r.t.Context(), r.spec); err != nil {
		r.t.Fatal(err)
	}
	r.engine.Start(r.t.Context())
	r.t.Cleanup(func() {
		if err := r.engine.Close(); err != nil {
			r.t.Errorf("close engine: %v", err) // it complains of readings that were not closed
		}
	})
	r.awaitEnd()
}

func (r *rig) awaitEnd() {
	r.t.Helper()
	if err := r.engine.AwaitEnd(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// reads answers requests as the engine does; of the options those that a rig is made of are
// its own.
func (r *rig) reads(o query.Options) http.Handler {
	o.Engine, o.Version, o.Log = r.engine, "test", quiet
	return query.New(o).Reads()
}

// serve opens a service, whose subscriptions the server knows when it returns.
func (r *rig) serve(reads http.Handler, conn *nats.Conn) *service.Service {
	r.t.Helper()
	s, err := service.Open(service.Options{Conn: conn, Reads: reads, Version: "v1.2.3", Log: quiet})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(s.Close)
	if err := conn.Flush(); err != nil {
		r.t.Fatal(err)
	}
	return s
}

// ask sends a request, whose headers are given as name and value in turns.
func (r *rig) ask(subject, body string, headers ...string) *nats.Msg {
	r.t.Helper()
	m := nats.NewMsg(subject)
	m.Data = []byte(body)
	for i := 0; i < len(headers); i += 2 {
		m.Header.Add(headers[i], headers[i+1])
	}
	reply, err := r.conn.RequestMsg(m, 30*time.Second)
	if err != nil {
		r.t.Fatalf("%s: %v", subject, err)
	}
	return reply
}

// wantBody checks that a reply is one, and has some text.
func (r *rig) wantBody(m *nats.Msg, want string) {
	r.t.Helper()
	if code := m.Header.Get("Nats-Service-Error-Code"); code != "" || !strings.Contains(string(m.Data), want) {
		r.t.Errorf("reply %s %.300s, want %s", code, m.Data, want)
	}
}

// wantProblem checks that a reply is an error: in the headers, and in the body.
func (r *rig) wantProblem(m *nats.Msg, code, text string) {
	r.t.Helper()
	var p wire.Problem
	if err := json.Unmarshal(m.Data, &p); err != nil {
		r.t.Errorf("reply %.300s: %v; want a problem", m.Data, err)
	}
	said := m.Header.Get("Nats-Service-Error")
	if m.Header.Get("Nats-Service-Error-Code") != code || p.Code != code || !strings.Contains(said, text) || strings.ContainsAny(said, "\r\n") || m.Header.Get("Content-Type") != "application/problem+json" {
		r.t.Errorf("headers %v, problem %+v; want %s: %s", m.Header, p, code, text)
	}
}
