package query_test

import (
	"bufio"
	"context"
	"errors"
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
)

// timed is a ResponseWriter of a connection.
type timed struct {
	*httptest.ResponseRecorder
	net.Conn
	set *int // deadlines
}

// SetReadDeadline is what http.ResponseController looks for.
func (w timed) SetReadDeadline(t time.Time) error {
	*w.set++
	return w.Conn.SetReadDeadline(t)
}

// Write implements http.ResponseWriter.
func (w timed) Write(b []byte) (int, error) { return w.ResponseRecorder.Write(b) }

// A client has some time for every part of a body, in which what the handler does meanwhile
// does not count: one that sends steadily takes as long as it likes. An import may be silent
// for longer, and whatever comes of it begins the time anew.
func TestBodyIsPaced(t *testing.T) {
	const part = 64 << 10
	for _, tt := range []struct {
		name       string
		wait       time.Duration // of an import
		every      time.Duration // the client sends
		bytes      int           // so much
		times      int
		handler    time.Duration // takes so long between two reads
		wantCutOff bool
	}{
		{"steady", 0, 29 * time.Second, part, 100, 0, false},
		{"byte by byte", 0, time.Second, 1, 100, 0, true},
		{"silent", 0, 31 * time.Second, part, 1, 0, true},
		{"slow handler", 0, 0, part, 10, time.Hour, false},
		{"import that waits", 10 * time.Minute, 9 * time.Minute, 1, 20, 0, false},
		{"import that is silent", 10 * time.Minute, 11 * time.Minute, part, 2, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					defer ours.Close()
					for range tt.times {
						time.Sleep(tt.every) // of the bubble
						if _, err := ours.Write(make([]byte, tt.bytes)); err != nil {
							return
						}
					}
				}()
				r := httptest.NewRequest("POST", "/", theirs)
				var set int
				b := query.PacedBody(timed{httptest.NewRecorder(), theirs, &set}, r, 30*time.Second, tt.wait)
				var err error
				n := 0
				for buffer := make([]byte, part); err == nil; {
					var got int
					got, err = b.Read(buffer)
					n += got
					time.Sleep(tt.handler) // of the bubble
				}
				before := set
				if _, again := b.Read(make([]byte, 1)); again != err || set != before {
					t.Errorf("it ends with %v, and then with %v, and deadlines are set anew: %v", err, again, set != before)
				}
				if tt.wantCutOff && !errors.Is(err, query.ErrSlowBody) || !tt.wantCutOff && (n != tt.times*tt.bytes || err != io.EOF) {
					t.Errorf("%d bytes came, %v", n, err)
				}
				_ = theirs.Close()
				<-ended
			})
		})
	}
}

// A body that comes too slowly is cut off: with what is wrong, and for an import with what
// was done before. What nobody reads of it is not waited for either.
func TestSlowBody(t *testing.T) {
	r := newRig(t, "", "a", "1").start()
	r.query.Hurry(time.Second, never, never)                                   // half of which is for the answer
	r.appender.err = &query.LineError{Line: 2, Err: errors.New("half a line")} // as an importer says of the last line
	address := r.listen()
	for _, tt := range []struct {
		name, path, kind, begin string
		status                  int
		want                    string
	}{
		{"one event", "/v1/streams/S/events", "application/json", `{"subject":`, 408, `"code":"slow-body"`},
		{"after one event", "/v1/streams/S/events", "application/json", `{"subject":"s"}`, 408, `"code":"slow-body"`},
		{"an import", "/v1/streams/S/events", "application/x-ndjson", "{\"subject\":\"s\"}\n{\"sub", 408, `"done":{"imported":1,`},
		{"a verb", "/v1/projections/p/pause", "application/json", "{", 408, `"code":"slow-body"`},
		{"what nobody reads", "/nothing", "application/json", "{", 404, `"code":"not-found"`},
		{"what nobody reads, and a long answer", "/metrics", "application/json", "{", 200, "gnomon_build_info"},
		{"what is wrong at once", "/v1/projections/p/pause", "application/json", "{x", 400, `"code":"bad-request"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := dial(t, address)
			_, err := fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: 1000\r\n\r\n%s", tt.path, tt.kind, tt.begin)
			if err != nil {
				t.Fatal(err)
			}
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != tt.status || !strings.Contains(string(body), tt.want) || !res.Close {
				t.Errorf("%d %s, %v", res.StatusCode, body, err)
			}
			wantClosed(t, c)
		})
	}
}

// The time for a body ends with the body: what the handler does then takes as long as it
// likes.
func TestTimeForBodyEndsWithIt(t *testing.T) {
	r := newRig(t, "")
	r.query.Hurry(atOnce, never, never)
	began, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	r.appender.during = func(ctx context.Context) {
		close(began)
		select {
		case <-ctx.Done():
		case <-goOn:
		}
		ended <- ctx.Err()
	}
	address := r.listen()
	c := dial(t, address)
	if _, err := io.WriteString(c, held); err != nil {
		t.Fatal(err)
	}
	await(t, began, "the request")
	if got := send(t, address, "POST /v1/projections/p/pause HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"); got != 408 {
		t.Fatalf("another one, that has as much time: %d", got)
	}
	close(goOn)
	if err := await(t, ended, "the end of the handler"); err != nil {
		t.Errorf("the request was given up: %v", err)
	}
}
