package query_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

// listen serves the rig as an engine does, with its limits, and returns the address.
func (r *rig) listen() string {
	r.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	return r.listenOn(l)
}

// listenOn is listen on a listener.
func (r *rig) listenOn(l net.Listener) string {
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
	return l.Addr().String()
}

// dial opens a connection that is closed at the end of the test.
func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// send writes bytes to a new connection, and returns the status of the answer.
func send(t *testing.T, address, request string) int {
	t.Helper()
	c := dial(t, address)
	go func() { _, _ = io.WriteString(c, request) }() // the server may answer before it has read all
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("%.80q: %v", request, err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

// Whatever a client sends, however much and however malformed, is answered with what is
// wrong with it, and the next client is served.
func TestHostileRequests(t *testing.T) {
	r := newRig(t, "", "a", "1").start()
	address := r.listen()
	get := func(target string, headers ...string) string {
		return "GET " + target + " HTTP/1.1\r\nHost: localhost\r\n" + strings.Join(headers, "\r\n") + "\r\nConnection: close\r\n\r\n"
	}
	post := func(body string) string {
		return fmt.Sprintf("POST /v1/projections/p/snapshots HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	for _, c := range []struct {
		name, request string
		want          int
	}{
		{"slashes in a key", get("/v1/projections/p/state/..%2f..%2fetc%2fpasswd"), 404},
		{"a path that goes up", get("/v1/projections/p/state/../../../../etc/passwd"), 404},
		{"a path that goes up, encoded", get("/v1/projections/%2e%2e/state/a"), 404},
		{"a NUL in a key", get("/v1/projections/p/state/%00"), 404},
		{"a NUL in a name", get("/v1/projections/p%00/state/a"), 404},
		{"a NUL itself", get("/v1/projections/p/state/\x00"), 400},
		{"a broken escape", get("/v1/projections/p/state/%zz"), 400},
		{"no path", get("v1"), 400},
		{"a long path", get("/v1/projections/p/state/" + strings.Repeat("x", 50_000)), 404},
		{"a path beyond the limit", get("/" + strings.Repeat("x", 100_000)), 431},
		{"many headers", get("/", slicesOf(3000, "X-%d: some forty bytes of a value, or so")...), 431},
		{"no HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400},
		{"a body that is too large", post(`{"name":"` + strings.Repeat("x", 8<<20) + `"}`), 413},
		{"a deep body", post(strings.Repeat("[", 100_000)), 400},
		{"two lengths", "POST /v1/projections/p/snapshots HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x", 400},
		{"an unknown coding", "POST /v1/projections/p/snapshots HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 501},
	} {
		if got := send(t, address, c.request); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
		if got := send(t, address, get("/v1/projections/p/state/a")); got != 200 {
			t.Fatalf("after %s: %d", c.name, got)
		}
	}
	if strings.Contains(r.log.String(), "panic") {
		t.Errorf("the log tells of a panic: %s", r.log)
	}
}

func slicesOf(n int, format string) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf(format, i))
	}
	return all
}

// Connections on which nothing comes, and requests that never get to their end, keep
// nobody from being served, and cost little memory.
func TestIdleConnections(t *testing.T) {
	const idle = 400 // a process may have some 1000 files, and has both ends here
	r := newRig(t, "", "a", "1").start()
	address := r.listen()
	before := live()
	for i := range idle {
		c := dial(t, address)
		if i%2 == 0 {
			if _, err := io.WriteString(c, "POST /v1/projections/p/snapshots HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := send(t, address, "GET /v1/projections/p/state/a HTTP/1.1\r\nHost: localhost\r\n\r\n"); got != 200 {
		t.Errorf("beside %d idle connections: %d", idle, got)
	}
	if took := (live() - before) / idle; took > 64<<10 {
		t.Errorf("an idle connection takes %d bytes", took)
	}
}

// live is what is in use of the heap, and of stacks.
func live() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
