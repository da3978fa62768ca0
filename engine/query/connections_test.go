package query_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"gnomon/engine/query"
	"gnomon/internal/testutil"
)

// bounded serves a rig on so many connections at most.
func bounded(t *testing.T, connections int) (r *rig, address string) {
	t.Helper()
	r = newRigWith(t, query.Options{Connections: connections}, "a", "1").start()
	return r, r.listen()
}

// request asks on a connection that stays open, and returns the answer with its body
// read.
func request(t *testing.T, c net.Conn, text string) *http.Response {
	t.Helper()
	if _, err := io.WriteString(c, text+" HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	res.Body = io.NopCloser(strings.NewReader(string(body)))
	return res
}

const anyKey = "GET /v1/projections/p/state/a"

// A connection beyond the bound takes the place of the one that has waited longest for a
// request, whether that had one before or not: those that wait keep nobody out.
func TestConnectionsMakeRoom(t *testing.T) {
	r, address := bounded(t, 3)
	served := func(c net.Conn) {
		t.Helper()
		if res := request(t, c, anyKey); res.StatusCode != 200 || res.Close {
			t.Fatalf("%d, and the connection is to be closed: %v", res.StatusCode, res.Close)
		}
		testutil.Until(t, r.query.AllWait) // which the server notes after it has answered
	}
	silent := dial(t, address)
	first, second := dial(t, address), dial(t, address)
	served(first)
	served(second)
	third := dial(t, address)
	served(third)
	wantClosed(t, silent)
	served(first) // so that second has waited longest
	fourth := dial(t, address)
	served(fourth)
	wantClosed(t, second)
	for _, c := range []net.Conn{first, third, fourth} {
		served(c)
	}
	for range 100 {
		served(dial(t, address))
	}
	wantClosed(t, fourth)
}

// wantClosed waits until the server has closed a connection.
func wantClosed(t *testing.T, c net.Conn) {
	t.Helper()
	var timeout net.Error
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("the connection is not closed: %d bytes, %v", n, err)
	}
}

// While all connections have a request under way others are refused, and what asks for
// the engine's health is not. What comes in such numbers that not even those could be told
// is closed, and when requests have ended everyone is served again.
func TestConnectionsUnderWay(t *testing.T) {
	const limit = 3
	r, address := bounded(t, limit)
	release := r.hold()
	hold := func() net.Conn {
		c := dial(t, address)
		if _, err := io.WriteString(c, held); err != nil {
			t.Fatal(err)
		}
		return c
	}
	var working []net.Conn
	for range limit {
		working = append(working, hold())
		r.awaitHeld(len(working))
	}
	res := request(t, dial(t, address), anyKey)
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != 503 || !res.Close || res.Header.Get("Retry-After") == "" || !strings.Contains(string(body), `"busy"`) || !strings.Contains(string(body), "http.max_connections") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		res := request(t, dial(t, address), "GET "+path)
		if res.StatusCode != 200 || !res.Close {
			t.Errorf("%s: %d, and the connection stays: %v", path, res.StatusCode, !res.Close)
		}
		if body, _ := io.ReadAll(res.Body); path == "/metrics" && !strings.Contains(string(body), "\ngnomon_http_refused_total 1\n") {
			t.Errorf("the metrics do not count the one that was refused: %s", body)
		}
	}
	var silent []net.Conn
	for range query.Spare + 1 {
		silent = append(silent, dial(t, address))
	}
	wantClosed(t, silent[0])
	if res := request(t, dial(t, address), "GET /healthz"); res.StatusCode != 200 {
		t.Errorf("beside silent connections: %d", res.StatusCode)
	}
	release()
	for _, c := range working {
		if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode != 201 {
			t.Fatalf("a request that was under way: %v, %v", res, err)
		}
	}
	if res := request(t, dial(t, address), anyKey); res.StatusCode != 200 {
		t.Errorf("when requests have ended: %d", res.StatusCode)
	}
}

// held is a request that is under way until the rig's release.
const held = "POST /v1/streams/S/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"subject\":\"s\"}"

// hold keeps requests to append from ending until release is called.
func (r *rig) hold() (release func()) {
	gate := make(chan struct{})
	r.appender.during = func(ctx context.Context) {
		r.held.Add(1)
		select {
		case <-gate:
		case <-ctx.Done():
		}
	}
	release = sync.OnceFunc(func() { close(gate) })
	r.t.Cleanup(release)
	return release
}

// awaitHeld waits until so many are held.
func (r *rig) awaitHeld(n int) {
	r.t.Helper()
	testutil.Until(r.t, func() bool { return int(r.held.Load()) == n })
}

// However many requests are under way, there are never more than the bound and those to
// spare: what comes beyond is closed, and counted.
func TestConnectionsAreBounded(t *testing.T) {
	const limit, beyond = 4, 3
	var ours, theirs []net.Conn
	for range limit + query.Spare + beyond {
		a, b := net.Pipe()
		ours, theirs = append(ours, a), append(theirs, b)
	}
	if open, refused := query.Crowd(limit, ours); open != limit+query.Spare || refused != beyond {
		t.Errorf("%d are open, %d were refused", open, refused)
	}
	for _, c := range theirs[limit+query.Spare:] {
		wantClosed(t, c)
	}
}
