package dashboard_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/query"
	"gnomon/engine/query/dashboard"
	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// statePages is an engine with the projection "p" of stream "S", and its pages. The
// projection stores each event's data under its subject, and removes what is to be "gone".
type statePages struct {
	t      *testing.T
	nats   *enginetest.Server
	engine *engine.Engine
	server *httptest.Server
}

// newStatePages serves a projection that was handed events given as subject and data in turns.
func newStatePages(t *testing.T, history engine.HistoryPolicy, events ...string) *statePages {
	t.Helper()
	s := &statePages{t: t, nats: new(enginetest.Server)}
	s.nats.Create("S")
	for i := 0; i < len(events); i += 2 {
		s.nats.Append("S", events[i], []byte(events[i+1]))
	}
	log := slog.New(slog.DiscardHandler)
	s.engine = engine.New(engine.Options{Source: s.nats, Store: new(enginetest.Store), Catalog: new(enginetest.Catalog), Log: log})
	module := enginetest.FuncModule("subjects", func(e abi.Record, st guest.State) error {
		if string(e.Data) == "gone" {
			return st.Delete(e.Subject)
		}
		return st.Put(e.Subject, e.Data)
	})
	_, err := s.engine.Declare(t.Context(), engine.Spec{
		Name: "p", Module: module, Stream: "S", Batch: streams.ReadLimit{Events: 1, Bytes: 1 << 20}, Window: time.Nanosecond, Cache: 1 << 20, History: history,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.server = httptest.NewServer(query.New(query.Options{Engine: s.engine, Streams: rigStreams{s.nats}, Log: log, Version: "test", Dashboard: func(api http.Handler) http.Handler { return dashboard.New(api, "test") }}))
	t.Cleanup(func() {
		s.server.Close()
		if err := s.engine.Close(); err != nil {
			t.Errorf("close engine: %v", err)
		}
	})
	s.engine.Start(t.Context())
	if err := s.engine.AwaitEnd(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// rigStreams tells the events of a server, one at a time.
type rigStreams struct{ nats *enginetest.Server }

func (rigStreams) Facts(context.Context, string) (f streams.Facts, err error) {
	return f, streams.ErrNoStream
}

func (rigStreams) SequenceAt(context.Context, string, time.Time) (uint64, error) {
	return 0, streams.ErrNoStream
}

func (s rigStreams) Events(ctx context.Context, q streams.Query) (p streams.Page, err error) {
	e, err := s.nats.Event(ctx, q.Stream, q.After+1)
	return streams.Page{From: e.Sequence, Through: e.Sequence, Events: []abi.Record{e}}, err
}

// get is a page, with headers given as name and value in turns.
func (s *statePages) get(path string, headers ...string) (status int, body string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.server.URL+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// has checks that a page has parts of text, and is well.
func (s *statePages) has(path string, parts ...string) (body string) {
	s.t.Helper()
	status, body := s.get(path)
	if status != http.StatusOK {
		s.t.Errorf("%s: status %d: %s", path, status, body)
	}
	for _, part := range parts {
		if !strings.Contains(body, part) {
			s.t.Errorf("%s does not have %q:\n%s", path, part, body)
		}
	}
	return body
}
