package query_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gnomon/engine/query"
	"gnomon/engine/query/wire"
	"gnomon/internal/testutil"
)

// stuck sends a request and takes nothing of the answer but its head, which is returned
// when it has come.
func stuck(t *testing.T, address, path string, headers ...string) (c net.Conn, status int) {
	t.Helper()
	c = dial(t, address)
	if err := c.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	head := strings.Join(append([]string{"GET " + path + " HTTP/1.1", "Host: localhost"}, headers...), "\r\n")
	if _, err := io.WriteString(c, head+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReaderSize(c, 16), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c, res.StatusCode
}

// listenNarrow is listen, with small buffers, so that what a client does not take stays with
// the server.
func (r *rig) listenNarrow() string {
	r.t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	return r.listenOn(&listener{tcp, make(chan *served, 100)})
}

// Pages that nobody takes use up the room for pages, and nothing else: others are refused
// for a while, keys are read as before, and when the clients go there is room again.
func TestPagesThatNobodyTakes(t *testing.T) {
	r := newRig(t, "", append(large(5), "small", "1")...).start()
	r.query.Crowded(2, 50*time.Millisecond)
	address := r.listenNarrow()
	var clients []net.Conn
	for len(clients) < 20 {
		c, status := stuck(t, address, "/v1/projections/p/state")
		clients = append(clients, c)
		if status == 503 {
			break
		}
	}
	if n := len(clients) - 1; n != 5 { // of 32 MiB one that is made takes 16, and those that are held 3.4 each
		t.Fatalf("%d clients have pages before there is no room", n)
	}
	if p := r.ask("GET", "/v1/projections/p/state", "").problem(t); p.Status != 503 || p.Code != wire.CodeBusy || p.Hint == "" {
		t.Errorf("another page: %+v", p)
	}
	for _, path := range []string{"/v1/projections/p/state/small", "/v1/projections/p/state/k0", "/healthz"} {
		if a := r.ask("GET", path, ""); a.StatusCode != 200 {
			t.Errorf("beside them %s is answered with %d", path, a.StatusCode)
		}
	}
	if err := r.client().Scan(t.Context(), "p", nil, 0, func(wire.Row) error { return nil }); err != nil {
		t.Errorf("a stream of rows beside them: %v", err)
	}
	for _, c := range clients {
		_ = c.Close()
	}
	testutil.Until(t, func() bool { return r.ask("GET", "/v1/projections/p/state", "").StatusCode == 200 })
}

// Streams of rows are bounded; one that goes on for too long is cut off, which its client
// can tell.
func TestStreamsOfRowsAreBounded(t *testing.T) {
	r := newRig(t, "", large(20)...).start()
	r.query.Crowded(2, time.Second)
	address := r.listenNarrow()
	lines := "Accept: application/x-ndjson"
	first, _ := stuck(t, address, "/v1/projections/p/state", lines)
	if _, status := stuck(t, address, "/v1/projections/p/state", lines); status != 200 {
		t.Fatalf("the second: %d", status)
	}
	if p := r.ask("GET", "/v1/projections/p/state", "", "Accept", "application/x-ndjson").problem(t); p.Status != 503 || p.Code != wire.CodeBusy {
		t.Errorf("the third: %+v", p)
	}
	_ = first.Close()
	testutil.Until(t, func() bool {
		return r.ask("HEAD", "/v1/projections/p/state", "", "Accept", "application/x-ndjson").StatusCode == 200
	})
	r.query.LetTake(time.Second, 0)
	err := r.client().Scan(t.Context(), "p", nil, 0, func(wire.Row) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("one without time: %v", err)
	}
	testutil.Until(t, func() bool { return strings.Contains(r.log.String(), "go on after its last row") })
}

// A page for which there is no more time ends where it is, with at least one row, and says
// where to go on.
func TestPageWithoutTime(t *testing.T) {
	r := newRig(t, "", "a", "1", "b", "2", "c", "3").start()
	r.query.LetTake(-time.Second, time.Second)
	after := ""
	for _, want := range []string{"a", "b", "c"} {
		var p wire.Page
		if err := json.Unmarshal([]byte(r.ask("GET", "/v1/projections/p/state?after="+after, "").body), &p); err != nil {
			t.Fatal(err)
		}
		if len(p.Items) != 1 || string(p.Items[0].Key) != want || (p.Next == nil) != (want == "c") {
			t.Fatalf("after %q: %+v", after, p)
		}
		after = want
	}
}

// deadlines notes the last deadline that was set.
type deadlines struct {
	*httptest.ResponseRecorder
	last time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error { d.last = t; return nil }

// An answer that is held in memory has to be taken at some rate, however often its client
// takes a little.
func TestHeldAnswerHasAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		const bytes = 640 << 10 // 10 s at 64 KiB/s
		w := query.HeldWriter(d, 30*time.Second, bytes)
		end := time.Now().Add(40 * time.Second)
		for range 3 {
			if _, err := fmt.Fprint(w, "x"); err != nil {
				t.Fatal(err)
			}
			want := time.Now().Add(30 * time.Second)
			if want.After(end) {
				want = end
			}
			if !d.last.Equal(want) {
				t.Errorf("%s before the end the deadline is in %s", time.Until(end), time.Until(d.last))
			}
			time.Sleep(10 * time.Second) // of the bubble
		}
	})
}
