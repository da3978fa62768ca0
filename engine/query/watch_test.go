package query_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/query"
	"gnomon/engine/query/access"
	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
	"gnomon/engine/state"
	"gnomon/internal/testutil"
)

// stream is an answer that goes on.
type stream struct {
	t    *testing.T
	res  *http.Response
	text *bufio.Reader
	stop context.CancelFunc
}

// open asks for a stream with headers given as name and value in turns.
func (r *rig) open(path string, headers ...string) *stream {
	r.t.Helper()
	ctx, stop := context.WithTimeout(r.t.Context(), patience)
	r.t.Cleanup(stop)
	req, err := http.NewRequestWithContext(ctx, "GET", r.server.URL+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = res.Body.Close() })
	return &stream{r.t, res, bufio.NewReader(res.Body), stop}
}

// want reads blocks of server-sent events, which must be as given.
func (s *stream) want(blocks ...string) {
	s.t.Helper()
	for _, want := range blocks {
		if got := s.block(); got != want {
			s.t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}

func (s *stream) block() (block string) {
	s.t.Helper()
	for {
		line, err := s.text.ReadString('\n')
		if err != nil {
			s.t.Fatalf("after %q: %v", block, err)
		}
		if line == "\n" {
			return block
		}
		block += line
	}
}

// A watch is a stream of server-sent events whose ids a client goes on from by itself.
func TestWatchEvents(t *testing.T) {
	r := newRig(t, "", "a/1", `{"n": 1}`, "b", "\xff", "a/2", "2").start()
	s := r.open("/v1/projections/p/watch?prefix=a/", "Accept", "text/event-stream")
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no", "Vary": "Accept"} {
		if got := s.res.Header.Get(name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	s.want("retry: 2000\n",
		"id:\nevent: reset\ndata: {\"event\":\"reset\",\"reason\":\"the watch begins\"}\n",
		"event: snapshot\ndata: {\"event\":\"snapshot\",\"seq\":3,\"key\":\"a/1\",\"value\":{\"n\":1}}\n",
		"event: snapshot\ndata: {\"event\":\"snapshot\",\"seq\":3,\"key\":\"a/2\",\"value\":2}\n")
	position := s.block()
	id, rest, _ := strings.Cut(strings.TrimPrefix(position, "id: "), "\n")
	if !strings.HasPrefix(id, "3.") || !strings.HasPrefix(rest, `event: position`+"\n"+`data: {"event":"position","as_of_seq":3,"as_of_time":"`) || !strings.Contains(rest, `"id":"`+id+`"`) {
		t.Errorf("position %q", position)
	}
	s.want("event: state\ndata: {\"event\":\"state\",\"state\":\"live\"}\n")
	r.nats.Append("S", "a/2", []byte("\xfe"))
	s.want("event: change\ndata: {\"event\":\"change\",\"seq\":4,\"key\":\"a/2\",\"value_b64\":\"/g==\"}\n")
	s.stop()

	testutil.Until(t, func() bool { return r.query.Watches() == 0 })
	r.nats.Append("S", "a/3", []byte("3"))
	s = r.open("/v1/projections/p/watch?prefix=a/&from=1", "Last-Event-ID", id) // the header says more
	s.want("retry: 2000\n", "event: state\ndata: {\"event\":\"state\",\"state\":\"live\"}\n")
	changes := s.block()
	for !strings.Contains(changes, "position") || !strings.Contains(changes, `"as_of_seq":5`) {
		changes += s.block()
	}
	if strings.Contains(changes, "a/1") || !strings.Contains(changes, "a/2") || !strings.Contains(changes, "a/3") || strings.Contains(changes, "reset") {
		t.Errorf("changes are %s", changes)
	}
	s = r.open("/v1/projections/p/watch", "Last-Event-ID", "99")
	s.want("retry: 2000\n", "id:\nevent: reset\ndata: {\"event\":\"reset\",\"reason\":\"the projection is at 5, which is before 99\"}\n")
}

// The same comes as JSON, one event a line, to who asks for that; the client of this engine
// does.
func TestWatchLines(t *testing.T) {
	r := newRig(t, "a-token-that-is-a-secret", "a", "1", "b", "x").start()
	s := r.open("/v1/projections/p/watch", "Accept", "application/x-ndjson")
	line, err := s.text.ReadString('\n')
	if err != nil || line != "{\"event\":\"reset\",\"reason\":\"the watch begins\"}\n" || s.res.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("%q, %v, %v", line, err, s.res.Header)
	}
	st, at := map[string]string{}, engine.WatchEvent{}
	stop := errors.New("stop")
	err = r.client().Watch(t.Context(), "p", nil, state.Bookmark{}, func(e engine.WatchEvent) error {
		switch e.Kind {
		case engine.WatchSnapshot, engine.WatchChange:
			st[string(e.Key)] = string(e.Value)
		case engine.WatchPosition:
			if at = e; e.Sequence == 3 {
				return stop
			}
			r.nats.Append("S", "c", []byte("3"))
		}
		return nil
	})
	if !errors.Is(err, stop) || !maps.Equal(st, map[string]string{"a": "1", "b": "x", "c": "3"}) || at.Bookmark.Version.Sequence() != 3 || at.Time.IsZero() {
		t.Errorf("%v, %v, %+v", err, st, at)
	}
	err = r.client().Watch(t.Context(), "p", nil, at.Bookmark, func(e engine.WatchEvent) error {
		if e.Kind == engine.WatchReset {
			t.Errorf("reset: %s", e.Reason)
		}
		return stop
	})
	if !errors.Is(err, stop) {
		t.Error(err)
	}
}

// What cannot be watched is refused with a problem.
func TestWatchRefused(t *testing.T) {
	r := newRigWith(t, query.Options{Watches: 1}, "a", "1").start()
	for _, c := range []struct {
		method, path string
		status       int
		code, detail string
	}{
		{"GET", "/v1/projections/q/watch", 404, wire.CodeNoProjection, `"q"`},
		{"HEAD", "/v1/projections/q/watch", 404, "", ""},
		{"HEAD", "/v1/projections/p/watch", 200, "", ""},
		{"GET", "/v1/projections/p@candidate/watch", 404, wire.CodeNoGeneration, "candidate"},
		{"GET", "/v1/projections/p/watch?from=x", 400, wire.CodeBadRequest, `from: "x" is no position of a watch`},
		{"GET", "/v1/projections/p/watch?limit=1", 400, wire.CodeBadRequest, "limit"},
		{"POST", "/v1/projections/p/watch", 405, wire.CodeBadMethod, "POST"},
	} {
		a := r.ask(c.method, c.path, "")
		if a.StatusCode != c.status {
			t.Errorf("%s %s: %s", c.method, c.path, a)
		}
		if c.code == "" {
			continue
		}
		if p := a.problem(t); p.Code != c.code || !strings.Contains(p.Detail, c.detail) {
			t.Errorf("%s %s: %+v", c.method, c.path, p)
		}
	}
	first := r.open("/v1/projections/p/watch")
	first.block()
	a := r.ask("GET", "/v1/projections/p/watch", "")
	if p := a.problem(t); p.Status != 503 || p.Code != wire.CodeTooManyWatches || a.Header.Get("Retry-After") == "" || !strings.Contains(p.Hint, "http.max_watches") {
		t.Errorf("the second: %+v", p)
	}
	first.stop()
	testutil.Until(t, func() bool { return r.query.Watches() == 0 })
	r.open("/v1/projections/p/watch").block()
}

// A client hears now and then that it is connected; one whose token is taken back is not.
func TestWatchBeats(t *testing.T) {
	granted := tokens(t, map[string]access.Grant{readsP: {Role: access.Read}})
	revoked := &revocable{Access: granted}
	r := newRigWith(t, query.Options{Access: revoked}, "a", "1")
	r.token = readsP
	r.start()
	r.query.Beat(time.Millisecond)
	s := r.open("/v1/projections/p/watch")
	for s.block() != ":\n" {
	}
	revoked.gone.Store(true)
	last := s.block()
	for last == ":\n" {
		last = s.block()
	}
	if last != "event: end\ndata: {\"event\":\"end\",\"reason\":\"the token is no longer good for this\"}\n" {
		t.Errorf("the end is %q", last)
	}
}

// revocable takes all tokens back.
type revocable struct {
	query.Access
	gone atomic.Bool
}

func (v *revocable) Rights(token string) (access.Rights, bool) {
	if v.gone.Load() {
		return access.Rights{}, false
	}
	return v.Access.Rights(token)
}

// Close does not wait for watches: they are told that the engine stops.
func TestCloseEndsWatches(t *testing.T) {
	r := newRig(t, "", "a", "1").start()
	r.query.Hurry(never, never, never)
	conn, _ := r.call("GET /v1/projections/p/watch")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &stream{t: t, text: bufio.NewReader(res.Body)}
	for !strings.Contains(s.block(), "position") {
	}
	if err := r.query.Close(); err != nil {
		t.Error(err)
	}
	rest, err := io.ReadAll(s.text)
	if err != nil || !strings.HasSuffix(string(rest), "event: end\ndata: {\"event\":\"end\",\"reason\":\"the engine stops\"}\n\n") {
		t.Errorf("%q, %v", rest, err)
	}
}

// A watcher that does not read is cut off, and holds nothing then.
func TestWatcherThatDoesNotRead(t *testing.T) {
	r := newRig(t, "", large(6)...).start()
	r.query.Hurry(atOnce, never, never)
	_, server := r.call("GET /v1/projections/p/watch")
	await(t, server.closed, "the end of the connection")
	testutil.Until(t, func() bool { return r.query.Watches() == 0 })
}

// However many watch, and however many of them do not read, the others get every change
// soon, and the memory that they take is bounded.
func TestManyWatchers(t *testing.T) {
	const all, stuck, commits, size = 200, 60, 40, 50 << 10
	r := newRig(t, "", "r", "0").start()
	address := r.serveNarrow(all)
	for range stuck {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if err := conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "GET /v1/projections/p/watch HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	reached := make([]atomic.Uint64, all-stuck)
	cl, err := client.New(address, "")
	if err != nil {
		t.Fatal(err)
	}
	for i := range reached {
		ended.Go(func() {
			_ = cl.Watch(ctx, "p", []byte("r"), state.Bookmark{}, func(e engine.WatchEvent) error {
				if e.Kind == engine.WatchPosition {
					reached[i].Store(e.Sequence)
				}
				return nil
			})
		})
	}
	defer func() { stop(); ended.Wait() }()
	everybody := func(seq uint64) func() bool {
		return func() bool {
			for i := range reached {
				if reached[i].Load() < seq {
					return false
				}
			}
			return true
		}
	}
	testutil.Until(t, everybody(1))
	testutil.Until(t, func() bool { return r.query.Watches() == all })
	before := heap()
	for i := range uint64(commits) {
		r.nats.Append("S", "k0", fmt.Appendf(nil, `"%s"`, strings.Repeat("y", size)))
		r.nats.Append("S", "r", []byte("1"))
		testutil.Until(t, everybody(2*i+3))
	}
	// A watcher that does not read holds its buffers and one row, not what it has not read; the
	// store of this test keeps every version.
	if after := heap(); after > before+stuck*10*size+commits*2*size {
		t.Errorf("%d bytes before, %d after", before, after)
	}
}

// serveNarrow serves the rig on connections with small buffers, so that one that is not read
// is full soon, and returns the address.
func (r *rig) serveNarrow(connections int) string {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	go func() { _ = r.query.Serve(&listener{tcp, make(chan *served, connections)}) }()
	r.t.Cleanup(func() { _ = r.query.Close() })
	return tcp.Addr().String()
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
