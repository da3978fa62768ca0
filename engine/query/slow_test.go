package query_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gnomon/internal/testutil"
)

const (
	patience = 30 * time.Second // of a test with what has to come
	never    = time.Hour
	atOnce   = 50 * time.Millisecond
)

// listener hands out connections with small buffers, so that a client that does not
// read is noticed soon, and keeps the server's end of them.
type listener struct {
	net.Listener
	accepted chan *served
}

// served is the server's end of a connection.
type served struct {
	net.Conn
	deadlines atomic.Int64 // how many were set that are to come
	once      sync.Once
	closed    chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if err := c.(*net.TCPConn).SetWriteBuffer(64 << 10); err != nil {
		return nil, err
	}
	s := &served{Conn: c, closed: make(chan struct{})}
	l.accepted <- s
	return s, nil
}

func (s *served) SetWriteDeadline(t time.Time) error {
	if !t.IsZero() {
		s.deadlines.Add(1)
	}
	return s.Conn.SetWriteDeadline(t)
}

func (s *served) Close() error {
	s.once.Do(func() { close(s.closed) })
	return s.Conn.Close()
}

// call serves the rig on a port, sends one request there, and returns both ends of the
// connection. Nobody reads from it yet.
func (r *rig) call(request string, headers ...string) (client net.Conn, server *served) {
	r.t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	l := &listener{tcp, make(chan *served, 1)}
	ended := make(chan error, 1)
	go func() { ended <- r.query.Serve(l) }()
	r.t.Cleanup(func() {
		if err := r.query.Close(); err != nil {
			r.t.Errorf("close server: %v", err)
		}
		if err := <-ended; err != nil {
			r.t.Errorf("serve: %v", err)
		}
	})
	if client, err = net.Dial("tcp", tcp.Addr().String()); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = client.Close() })
	if err := client.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		r.t.Fatal(err)
	}
	body := ""
	if strings.HasPrefix(request, "POST ") {
		body = `{"subject":"s"}`
	}
	lines := append([]string{request + " HTTP/1.1", "Host: localhost", fmt.Sprint("Content-Length: ", len(body))}, headers...)
	if _, err := io.WriteString(client, strings.Join(lines, "\r\n")+"\r\n\r\n"+body); err != nil {
		r.t.Fatal(err)
	}
	return client, await(r.t, l.accepted, "a connection")
}

// await receives what has to come.
func await[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("%s does not come", what)
	}
	return v
}

// large are rows of nearly a megabyte each.
func large(n int) (rows []string) {
	for i := range n {
		rows = append(rows, fmt.Sprintf("k%d", i), `"`+strings.Repeat("x", 900_000)+`"`)
	}
	return rows
}

var answers = []struct {
	name, request, accept string
	held                  bool // the state is, while the client takes the answer
}{
	{"a key", "GET /v1/projections/p/state/k0", "application/json", false},
	{"a page", "GET /v1/projections/p/state", "application/json", false},
	{"a stream of rows", "GET /v1/projections/p/state", "application/x-ndjson", true},
}

// A client that does not read its answer is cut off, and holds nothing then.
func TestClientThatDoesNotRead(t *testing.T) {
	for _, tt := range answers {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, "", large(3)...).start()
			r.query.Hurry(atOnce, never, never)
			_, server := r.call(tt.request, "Accept: "+tt.accept)
			await(t, server.closed, "the end of the connection")
			testutil.Until(t, func() bool { return r.engine.Close() == nil }) // which complains of what is held
		})
	}
}

// What is read for one answer is let go of before the client takes it; only a stream,
// which is read as it is taken, holds on to it.
func TestAnswerHoldsNothing(t *testing.T) {
	for _, tt := range answers {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, "", large(3)...).start()
			r.query.Hurry(never, atOnce, never)
			_, server := r.call(tt.request, "Accept: "+tt.accept)
			testutil.Until(t, func() bool { return server.deadlines.Load() > 0 })
			if err := r.engine.Close(); (err != nil) != tt.held {
				t.Errorf("while the answer is on its way: %v", err)
			}
		})
	}
}

// The time that a client has begins anew with every part that it takes, however large
// the rows are, so that one that is slow gets everything.
func TestTimeIsRenewed(t *testing.T) {
	for _, tt := range answers {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, "", large(3)...).start()
			client, server := r.call(tt.request, "Accept: "+tt.accept)
			res, err := http.ReadResponse(bufio.NewReader(client), nil)
			if err != nil {
				t.Fatal(err)
			}
			n, err := io.Copy(io.Discard, res.Body)
			if err != nil || n < 900_000 {
				t.Fatalf("%d bytes, %v", n, err)
			}
			if renewed := server.deadlines.Load(); renewed < n>>18 {
				t.Errorf("%d times in %d bytes", renewed, n)
			}
		})
	}
}

// Close ends requests that do not end by themselves, and waits until they have: nothing
// reads from the engine any more when it returns.
func TestCloseWaits(t *testing.T) {
	t.Run("client that does not read", func(t *testing.T) {
		r := newRig(t, "", large(3)...).start()
		r.query.Hurry(never, atOnce, never)
		_, server := r.call("GET /v1/projections/p/state", "Accept: application/x-ndjson")
		testutil.Until(t, func() bool { return server.deadlines.Load() > 0 })
		_ = r.query.Close()
		if err := r.engine.Close(); err != nil {
			t.Errorf("a request goes on: %v", err)
		}
	})
	t.Run("work under way", func(t *testing.T) {
		r := newRig(t, "")
		r.query.Hurry(never, atOnce, never)
		began, ended := make(chan struct{}), atomic.Bool{}
		r.appender.during = func(ctx context.Context) {
			close(began)
			<-ctx.Done()
			for range 1000 { // takes a while
				runtime.Gosched()
			}
			ended.Store(true)
		}
		r.call("POST /v1/streams/S/events", "Content-Type: application/json")
		await(t, began, "the request")
		_ = r.query.Close()
		if !ended.Load() {
			t.Error("a request goes on")
		}
	})
}

// Close gives up on a request that does not heed that it is over, and says so. One that
// comes after Close is refused.
func TestCloseGivesUp(t *testing.T) {
	r := newRig(t, "")
	r.query.Hurry(never, atOnce, atOnce)
	began, release, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	r.appender.during = func(context.Context) {
		close(began)
		<-release
		close(ended)
	}
	r.call("POST /v1/streams/S/events", "Content-Type: application/json")
	await(t, began, "the request")
	_ = r.query.Close()
	if text := r.log.String(); !strings.Contains(text, "requests do not end") || !strings.Contains(text, "requests=1") {
		t.Errorf("the log does not tell: %s", text)
	}
	if p := r.ask("GET", "/v1/projections", "").problem(t); p.Status != 503 || p.Code != "not-ready" {
		t.Errorf("a request after Close: %+v", p)
	}
	close(release)
	await(t, ended, "the end of the request")
}
