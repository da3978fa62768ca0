package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
	"gnomon/engine/store"
)

const (
	// hostileKeys is how many keys there are to be scanned.
	hostileKeys = 10_000
	// hostileMemory is what the engine may take more while it is under attack, in MiB:
	// rooms for values and pages, streams, and as much again that is not collected yet.
	hostileMemory = 512
)

// Thousands of clients that are silent, or slow, or take nothing of what they ask for, or
// ask for everything at once, or send what is no request, neither keep a client that
// behaves from appending and reading what it appended, nor make the engine's memory grow
// with them for good.
func TestHostileClientsUnderLoad(t *testing.T) {
	long(t)
	idle := openable(t)
	h := newHome(t, "log.>", projection("count", "count.wasm"))
	h.edit("listen = \"127.0.0.1:0\"\n", fmt.Sprintf("listen = \"127.0.0.1:0\"\nmax_connections = %d\n", idle+2000))
	p := h.serve()
	if _, err := p.client.Import(t.Context(), "LOG", manyKeys()); err != nil {
		t.Fatal(err)
	}
	p.awaitLive("count", hostileKeys)
	holder, _ := store.Running(h.data())
	address := holder.HTTP
	scanAll(t, p.client) // so that what it takes once is there before
	before := residentBytes(t, p.cmd.Process.Pid)
	good := behave(t, p.client)
	for _, attack := range []struct {
		name string
		run  func(t *testing.T, address string)
		most uint64 // memory meanwhile, in MiB beyond what there was
	}{
		{"idle connections", func(t *testing.T, address string) { silent(t, address, idle, "") }, uint64(idle) * 48 >> 10},
		{"heads that do not end", func(t *testing.T, address string) {
			silent(t, address, 1000, "GET / HTTP/1.1\r\nHost: localhost\r\nX-A: "+strings.Repeat("a", 4000))
		}, hostileMemory},
		{"bodies that do not come", func(t *testing.T, address string) {
			silent(t, address, 1000, "POST /v1/streams/LOG/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n{")
		}, hostileMemory},
		{"pages that nobody takes", func(t *testing.T, address string) {
			silent(t, address, 300, "GET /v1/projections/count/state?limit=10000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
		}, hostileMemory},
		{"streams that nobody takes", func(t *testing.T, address string) {
			silent(t, address, 300, "GET /v1/projections/count/state HTTP/1.1\r\nHost: localhost\r\nAccept: application/x-ndjson\r\n\r\n")
		}, hostileMemory},
		{"waits for what does not come", func(t *testing.T, address string) {
			silent(t, address, 1000, "GET /v1/projections/count/state/a?min_seq=999999999&wait=1m HTTP/1.1\r\nHost: localhost\r\n\r\n")
		}, hostileMemory},
		{"the whole state for everybody", func(t *testing.T, address string) { everything(t, p.client, 80) }, hostileMemory},
		{"what is no request", garbage, hostileMemory},
	} {
		t.Run(attack.name, func(t *testing.T) {
			was := good.count()
			attack.run(t, address)
			good.await(t, was+20)
			if now := residentBytes(t, p.cmd.Process.Pid); now > before && (now-before)>>20 > attack.most {
				t.Errorf("the engine takes %d MiB, before it took %d: at most %d more are right", now>>20, before>>20, attack.most)
			} else {
				t.Logf("%d MiB, %d before; the longest of %d answers took %s", now>>20, before>>20, good.count()-was, good.slowest())
			}
		})
	}
	good.end(t)
	p.await("count", "it is live", func(s engine.Status) bool { return s.State == engine.Live })
	p.until("its memory is given back", func() bool { return residentBytes(t, p.cmd.Process.Pid) < 2*before+64<<20 })
}

// openable is how many connections this process may have, at most 10,000, besides its other
// files. An engine takes as many files as it may by itself.
func openable(t *testing.T) int {
	t.Helper()
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		t.Skip(err)
	}
	l.Cur = l.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		t.Skip(err)
	}
	n := int(min(l.Max, 13_000)) - 3000
	if n < 1000 {
		t.Skipf("a process may have %d files only", l.Max)
	}
	t.Logf("%d files may be open: %d connections", l.Max, n)
	return n
}

// manyKeys are events that make a key each.
func manyKeys() *strings.Reader {
	var b strings.Builder
	for i := range hostileKeys {
		fmt.Fprintf(&b, `{"id":"%d","type":"t","time":"2026-01-31T12:00:00Z","subject":"log.%s.%d"}`+"\n", i, strings.Repeat("k", 40), i)
	}
	return strings.NewReader(b.String())
}

func scanAll(t *testing.T, c *client.Client) {
	t.Helper()
	if err := c.Scan(t.Context(), "count", nil, 0, func(wire.Row) error { return nil }); err != nil {
		t.Fatal(err)
	}
}

// behaved is a client that appends and reads what it appended, again and again.
type behaved struct {
	stop  context.CancelFunc
	ended chan error

	mu      sync.Mutex
	done    int
	longest time.Duration
}

func behave(t *testing.T, c *client.Client) *behaved {
	ctx, stop := context.WithCancel(t.Context())
	b := &behaved{stop: stop, ended: make(chan error, 1)}
	go func() { b.ended <- b.run(ctx, c) }()
	return b
}

func (b *behaved) run(ctx context.Context, c *client.Client) error {
	for n := uint64(1); ; n++ {
		began := time.Now()
		at, err := c.Publish(ctx, "LOG", wire.NewEvent{Subject: "log.good"})
		var got wire.Get
		if err == nil {
			got, err = c.At(client.Moment{MinSeq: at.Sequence, Wait: time.Minute}).Get(ctx, "count", []byte("log.good"))
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("after %d reads: %w", n-1, err)
		case binary.LittleEndian.Uint64(got.Value) != n || got.Sequence < at.Sequence:
			return fmt.Errorf("%d events are counted as %d, as of %d", n, binary.LittleEndian.Uint64(got.Value), got.Sequence)
		}
		b.mu.Lock()
		b.done++
		b.longest = max(b.longest, time.Since(began))
		b.mu.Unlock()
	}
}

func (b *behaved) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.done
}

// slowest is how long the longest read took since it was asked the last time.
func (b *behaved) slowest() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.longest
	b.longest = 0
	return d
}

// await waits until it has read so often.
func (b *behaved) await(t *testing.T, n int) {
	t.Helper()
	timeout, tick := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for b.count() < n {
		select {
		case <-tick.C:
		case err := <-b.ended:
			b.ended <- err
			t.Fatalf("the client that behaves: %v", err)
		case <-timeout:
			t.Fatalf("the client that behaves has come no further than %d of %d", b.count(), n)
		}
	}
}

func (b *behaved) end(t *testing.T) {
	t.Helper()
	b.stop()
	if err := <-b.ended; err != nil {
		t.Errorf("the client that behaves: %v", err)
	}
}

// silent opens connections, sends something on each, and neither reads nor sends any more,
// until the end of the test.
func silent(t *testing.T, address string, n int, text string) {
	t.Helper()
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range n / 16 {
				c, err := net.Dial("tcp", address)
				if err != nil {
					t.Error(err)
					return
				}
				t.Cleanup(func() { _ = c.Close() })
				if _, err := io.WriteString(c, text); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// everything has many read the whole state at once, as rows and as pages. Each gets all of
// it, or is told that there are too many.
func everything(t *testing.T, c *client.Client, n int) {
	t.Helper()
	var all sync.WaitGroup
	whole, busy := make(chan int, n), make(chan int, n)
	for range n {
		all.Go(func() {
			rows := 0
			err := c.Scan(t.Context(), "count", nil, 0, func(wire.Row) error { rows++; return nil })
			var p *wire.Problem
			switch {
			case errors.As(err, &p) && p.Code == wire.CodeBusy:
				busy <- 1
			case err != nil || rows < hostileKeys:
				t.Errorf("%d rows, %v", rows, err)
			default:
				whole <- 1
			}
		})
	}
	all.Wait()
	if t.Logf("%d have it all, %d were refused", len(whole), len(busy)); len(whole) == 0 {
		t.Error("nobody has it all")
	}
}

// garbage sends what is no request, or none that may be, and wants the status that tells so.
func garbage(t *testing.T, address string) {
	get := func(target, version string, headers ...string) string {
		return "GET " + target + " HTTP/" + version + "\r\n" + strings.Join(append([]string{"Host: localhost", "Connection: close"}, headers...), "\r\n") + "\r\n\r\n"
	}
	post := func(headers, body string) string {
		return "POST /v1/streams/LOG/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + headers + "\r\n\r\n" + body
	}
	key := "/v1/projections/count/state/log.good"
	for _, tt := range []struct {
		name, request string
		want          int
	}{
		{"a key", get(key, "1.1"), 200},
		{"a range, which there are none of", get(key, "1.1", "Range: bytes=0-1"), 200},
		{"HTTP/1.0", get(key, "1.0"), 200},
		{"HTTP/1.0 without a host", "GET " + key + " HTTP/1.0\r\n\r\n", 403},
		{"HTTP/1.1 without a host", "GET " + key + " HTTP/1.1\r\nConnection: close\r\n\r\n", 400},
		{"two hosts", get(key, "1.1", "Host: elsewhere"), 400},
		{"HTTP/3.0", get(key, "3.0"), 505},
		{"a key with slashes, encoded", get("/v1/projections/count/state/..%2F..%2Fetc%2Fpasswd", "1.1"), 404},
		{"a key with slashes, encoded twice", get("/v1/projections/count/state/%252e%252e%252f", "1.1"), 404},
		{"a key that is NUL", get("/v1/projections/count/state/%00", "1.1"), 404},
		{"a name that is NUL", get("/v1/projections/%00/state/a", "1.1"), 404},
		{"a path that goes up", get("/v1/../../etc/passwd", "1.1"), 307},
		{"a projection that goes up", get("/v1/projections/../../etc/passwd", "1.1"), 404},
		{"an address of another server", get("http://elsewhere/v1/projections", "1.1"), 403},
		{"a method that there is not", "BREW " + key + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 405},
		{"a method for tunnels", "CONNECT elsewhere:443 HTTP/1.1\r\nHost: elsewhere:443\r\nConnection: close\r\n\r\n", 403},
		{"a trace", "TRACE / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 405},
		{"a header without a name", get(key, "1.1", ": x"), 400},
		{"a header that goes on", get(key, "1.1", "X-A: b\r\n c"), 200},
		{"a line end in a header", get(key, "1.1", "X-A: b\rX-B: c"), 400},
		{"long headers", get(key, "1.1", "X-A: "+strings.Repeat("x", 100_000)), 431},
		{"a long address", get("/v1/projections/count/state/"+strings.Repeat("%41", 60_000), "1.1"), 431},
		{"both lengths", post("Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"), 400},
		{"two lengths", post("Content-Length: 5\r\nContent-Length: 6", "hello!"), 400},
		{"a length that is none", post("Content-Length: +5", "hello"), 400},
		{"a length below zero", post("Content-Length: -1", "hello"), 400},
		{"a coding that is none", post("Transfer-Encoding: xchunked", "0\r\n\r\n"), 501},
		{"a chunk that is none", post("Transfer-Encoding: chunked", "zz\r\n{}\r\n0\r\n\r\n"), 400},
		{"a chunk without end", post("Transfer-Encoding: chunked", "ffffffffffffffff1\r\n{}"), 400},
		{"a huge body", post("Content-Length: 50000000", `{"subject":"`+strings.Repeat("x", 6<<20)), 413},
		{"a deep body", post("Content-Length: 1000000", strings.Repeat("[", 1000000)), 400},
	} {
		if got, err := status(address, tt.request); err != nil || got != tt.want {
			t.Errorf("%s: %d, %v, want %d", tt.name, got, err, tt.want)
		}
	}
}

// status sends bytes and returns the status of the answer. The server may answer before it
// has read all of them.
func status(address, request string) (int, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	go func() { _, _ = io.WriteString(c, request) }()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
}
