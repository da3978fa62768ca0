package query_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/query"
	"gnomon/engine/query/access"
	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
	"gnomon/engine/streams"
	"gnomon/internal/testutil"
	"gnomon/sdk/abi"
)

// rig is an engine with one projection behind an HTTP server. The projection "p"
// stores each event's data under the event's subject.
type rig struct {
	t        *testing.T
	nats     *enginetest.Server
	outlet   *enginetest.Outlet
	engine   *engine.Engine
	spec     engine.Spec // of "p"
	appender *appender
	query    *query.Server
	server   *httptest.Server
	log      *testutil.Log
	token    string
	held     atomic.Int64 // requests that hold saw

	openapi   *description
	described func(checked) // if given, is told of every answer that was held against it
}

var letters = enginetest.FuncModule("letters", func(e abi.Record, st guest.State) error {
	if string(e.Data) == "poison" {
		return enginetest.Refuse("poisoned")
	}
	return st.Put(e.Subject, e.Data)
})

// newRig serves a projection that holds the rows given as key and value in turns.
func newRig(t *testing.T, token string, rows ...string) *rig {
	t.Helper()
	return newRigOf(t, token, func(*engine.Spec) {}, rows...)
}

// newRigOf is newRig with another projection.
func newRigOf(t *testing.T, token string, change func(*engine.Spec), rows ...string) *rig {
	t.Helper()
	r := newRigFor(t, query.Options{Access: admin(t, token)}, change, rows...)
	r.token = token
	return r
}

// newRigWith is newRig with other options; those that a rig is made of are its own.
func newRigWith(t *testing.T, o query.Options, rows ...string) *rig {
	t.Helper()
	return newRigFor(t, o, func(*engine.Spec) {}, rows...)
}

func newRigFor(t *testing.T, o query.Options, change func(*engine.Spec), rows ...string) *rig {
	t.Helper()
	r := &rig{t: t, nats: new(enginetest.Server), appender: new(appender), log: new(testutil.Log), openapi: describe(t)}
	r.nats.Create("S")
	r.nats.CreateFor("T", "out.>")
	r.outlet = enginetest.NewOutlet(r.nats)
	for i := 0; i < len(rows); i += 2 {
		r.nats.Append("S", rows[i], []byte(rows[i+1]))
	}
	log := slog.New(slog.NewTextHandler(r.log, nil))
	r.engine = engine.New(engine.Options{Source: r.nats, Store: new(enginetest.Store), Catalog: new(enginetest.Catalog), Outlet: r.outlet, Space: roomy{}, Reserve: 1 << 20, Log: log})
	spec := engine.Spec{
		Name: "p", Module: letters, Stream: "S", Batch: streams.ReadLimit{Events: 100, Bytes: 1 << 20}, Window: time.Second, Cache: 1 << 20,
		MemorySnapshots: engine.MemoryPolicy{Events: 1, Every: time.Hour, Keep: 1}, Pins: engine.PinPolicy{Max: 2},
	}
	change(&spec)
	r.spec = spec
	if _, err := r.engine.Declare(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	o.Streams = natsStreams{r.nats}
	o.Engine, o.Appender, o.Bundler, o.Version, o.Log = r.engine, r.appender, bundler{}, "test", cmp.Or(o.Log, log)
	r.query = query.New(o)
	r.server = httptest.NewServer(r.query)
	t.Cleanup(func() {
		r.server.Close()
		if err := r.engine.Close(); err != nil {
			t.Errorf("close engine: %v", err) // it complains of readings that were not closed
		}
	})
	return r
}

// roomy is a disk of 1 GiB. It implements engine.Space.
type roomy struct{}

func (roomy) Free() (uint64, error) { return 1 << 30, nil }

// admin is a file of tokens with one that may do everything; nil when it is empty.
func admin(t *testing.T, token string) query.Access {
	t.Helper()
	if token == "" {
		return nil
	}
	return tokens(t, map[string]access.Grant{token: {Role: access.Admin}})
}

// tokens are files of one token each.
func tokens(t *testing.T, grants map[string]access.Grant) *access.Tokens {
	t.Helper()
	var all []access.Grant
	for token, g := range grants {
		g.File = filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(g.File, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
		all = append(all, g)
	}
	opened, err := access.OpenTokens(all, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

// start runs the engine and waits until everything is applied.
func (r *rig) start() *rig {
	r.t.Helper()
	r.engine.Start(r.t.Context())
	if err := r.engine.AwaitEnd(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	return r
}

// pause pauses p, and waits until it is.
func (r *rig) pause() {
	r.t.Helper()
	if err := r.engine.Pause("p"); err != nil {
		r.t.Fatal(err)
	}
	testutil.Until(r.t, func() bool { s, err := r.engine.Status("p"); return err == nil && s.State == engine.Paused })
}

// reply is an answer, read.
type reply struct {
	*http.Response
	body string
}

// ask sends a request with headers given as name and value in turns.
func (r *rig) ask(method, path, body string, headers ...string) reply {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.server.URL+path, bytes.NewReader([]byte(body)))
	if err != nil {
		r.t.Fatal(err)
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	r.holdToDescription(method, req.URL.EscapedPath(), res, b)
	return reply{res, string(b)}
}

// holdToDescription checks that an answer is as openapi.json says, if it is no page.
func (r *rig) holdToDescription(method, path string, res *http.Response, body []byte) {
	r.t.Helper()
	if strings.HasPrefix(path, "/ui/") || strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
		return
	}
	c, err := r.openapi.check(method, path, res, body)
	if err != nil {
		r.t.Error(err)
	}
	if r.described != nil {
		r.described(c)
	}
}

func (r *rig) client() *client.Client {
	r.t.Helper()
	c, err := client.New(r.server.URL, r.token)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// problem reads an answer that is an error.
func (a reply) problem(t *testing.T) wire.Problem {
	t.Helper()
	var p wire.Problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.Header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("%s is no problem: %v", a, err)
	}
	if p.Status != a.StatusCode || p.Title != http.StatusText(a.StatusCode) || p.Type != "about:blank" || p.Code == "" || p.Detail == "" {
		t.Errorf("%d answers %+v", a.StatusCode, p)
	}
	return p
}

func (a reply) String() string {
	return fmt.Sprintf("%s %s %q", a.Status, a.Header.Get("Content-Type"), a.body)
}

// appender notes what it was asked to append.
type appender struct {
	mu     sync.Mutex
	stream string
	lines  string
	event  wire.NewEvent
	events []wire.NewEvent
	err    error
	during func(context.Context) // what Publish does, if anything
}

func (a *appender) Import(_ context.Context, stream string, lines io.Reader) (wire.Imported, error) {
	b, err := io.ReadAll(lines)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stream, a.lines = stream, string(b)
	if a.err != nil {
		err = a.err
	}
	return wire.Imported{Imported: bytes.Count(b, []byte("\n")), Duplicates: 1, Last: 42}, err
}

func (a *appender) Publish(ctx context.Context, stream string, e wire.NewEvent) (wire.Appended, error) {
	a.mu.Lock()
	a.stream, a.event = stream, e
	a.mu.Unlock()
	if a.during != nil {
		a.during(ctx)
	}
	return wire.Appended{Stream: stream, Sequence: 43}, a.err
}

func (a *appender) PublishBatch(_ context.Context, stream string, events []wire.NewEvent) (wire.Appended, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stream, a.events = stream, events
	return wire.Appended{Stream: stream, Sequence: 44, First: 43, Count: len(events), Duplicate: true}, a.err
}

// bundler makes a bundle of the event 3 only; 5 failed in another module.
type bundler struct{}

func (bundler) Bundle(_ context.Context, projection string, sequence uint64) ([]byte, error) {
	switch sequence {
	case 3:
	case 5:
		return nil, fmt.Errorf("event 5: %w", query.ErrModuleChanged)
	default:
		return nil, fmt.Errorf("event %d: %w", sequence, engine.ErrNoLetter)
	}
	return []byte("bundle of " + projection), nil
}
