package query_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/query/wire"
	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// queried is the projection of a rig with a query that answers with the value of the key
// that it is asked for, and does otherwise for some words.
func queried(s *engine.Spec) {
	m := *letters
	m.Answer = func(_ enginetest.Guest, request []byte, rows state.Rows) ([]byte, error) {
		switch string(request) {
		case "refuse":
			return nil, enginetest.Refuse("no report \"%s\"\nof that name", request)
		case "trap":
			return nil, &guest.Error{Call: "query", Kind: guest.Trapped, Text: "unreachable", Event: -1}
		case "burn":
			return nil, &guest.Error{Call: "query", Kind: guest.OutOfFuel, Event: -1}
		}
		value, _, err := rows.Get(request)
		return value, err
	}
	s.Module = &m
}

// The body of a request is handed to the module, and what it answers is the body of the
// answer: JSON says so, other bytes do not. Its headers say what it reflects.
func TestQuery(t *testing.T) {
	r := newRigOf(t, "", queried, "a", `{"n":1}`, "\xff", "bytes", "c", "").start()
	tag := r.ask("GET", "/v1/projections/p/state/a", "").Header.Get("ETag")
	for request, want := range map[string][2]string{
		"a":    {`{"n":1}`, "application/json"},
		"\xff": {"bytes", "application/octet-stream"},
		"c":    {"", "application/octet-stream"},
	} {
		a := r.ask("POST", "/v1/projections/p/query", request, "If-None-Match", tag)
		if a.StatusCode != http.StatusOK || a.body != want[0] || a.Header.Get("Content-Type") != want[1] {
			t.Errorf("%q: %d %q %s; want %q", request, a.StatusCode, a.body, a.Header.Get("Content-Type"), want)
		}
		if h := a.Header; h.Get("Gnomon-As-Of-Seq") != "3" || h.Get("Gnomon-State") != "live" || h.Get("ETag") != "" || h.Get("Cache-Control") != "no-cache" {
			t.Errorf("headers %v", h)
		}
	}
	for request, want := range map[string]string{"a": `{"projection":"p","answer":{"n":1},"as_of_seq":3,`, "\xff": `{"projection":"p","answer_b64":"Ynl0ZXM=","as_of_seq":3,`, "c": `"answer_b64":""`} {
		got, err := r.client().Query(t.Context(), "p", []byte(request))
		text, merr := wire.Marshal(got)
		if err != nil || merr != nil || !strings.Contains(string(text), want) || got.State != engine.Live {
			t.Errorf("client: %s, %v, %v; want %s", text, err, merr, want)
		}
	}
}

// What keeps a query from an answer has a code of its own; a request that the module will
// not have is told in the module's words.
func TestQueryProblems(t *testing.T) {
	r := newRigOf(t, "", queried, "a", "1").start()
	for _, c := range []struct {
		method, path, body string
		status             int
		code, detail, hint string
	}{
		{"POST", "p/query", "refuse", 422, wire.CodeQueryRefused, "no report \"refuse\"\nof that name", "words of the module"},
		{"POST", "p/query", "trap", 500, wire.CodeQueryFailed, "query trapped: unreachable", "the projection goes on"},
		{"POST", "p/query", "burn", 500, wire.CodeQueryFailed, "query ran out of fuel", "projection.limits.fuel"},
		{"POST", "p/query", strings.Repeat("x", abi.MaxRequest+1), 413, wire.CodeTooLarge, "more than 1048576 bytes", ""},
		{"POST", "p/query?limit=3", "a", 400, wire.CodeBadRequest, `"limit" is not known`, ""},
		{"POST", "p/query?min_seq=9&wait=0s", "a", 504, wire.CodeNotReached, "9 is not reached", ""},
		{"POST", "q/query", "a", 404, wire.CodeNoProjection, `"q"`, ""},
		{"POST", "p/query/more", "a", 404, wire.CodeNotFound, "nothing at", ""},
		{"GET", "p/query", "", 405, wire.CodeBadMethod, "GET is not for", "use POST"},
	} {
		p := r.ask(c.method, "/v1/projections/"+c.path, c.body).problem(t)
		if p.Status != c.status || p.Code != c.code || !strings.Contains(p.Detail, c.detail) || !strings.Contains(p.Hint, c.hint) {
			t.Errorf("%s %s %.20q: %+v; want %d %s: %s", c.method, c.path, c.body, p, c.status, c.code, c.detail)
		}
	}
	silent := newRig(t, "", "a", "1").start()
	if p := silent.ask("POST", "/v1/projections/p/query", "a").problem(t); p.Status != 404 || p.Code != wire.CodeNoQuery {
		t.Errorf("of a module without query: %+v", p)
	}
}

// An answer waits for a sequence as any read does.
func TestQueryReadsYourWrites(t *testing.T) {
	r := newRigOf(t, "", queried).start()
	for n := range 20 {
		seq := r.nats.Append("S", "a", fmt.Append(nil, n))
		a := r.ask("POST", fmt.Sprintf("/v1/projections/p/query?min_seq=%d&wait=30s", seq), "a")
		if a.body != strconv.Itoa(n) {
			t.Errorf("after write %d: %d %q", n, a.StatusCode, a.body)
		}
	}
}

// counter keeps the number of its events in its own memory.
type counter struct{ n int }

func (c *counter) Event(abi.Record, guest.State) error { c.n++; return nil }
func (c *counter) Snapshot() [][]byte                  { return [][]byte{fmt.Append(nil, c.n)} }
func (c *counter) Restore(blobs [][]byte) (err error) {
	c.n, err = strconv.Atoi(string(blobs[0]))
	return err
}

// A module that keeps state in its own memory answers as of the newest snapshot of it: the
// headers say so, and an answer that is too old for who asks is none, nor one that is not as of
// the moment that is asked for.
func TestQueryOfMemoryIsAsOfItsSnapshot(t *testing.T) {
	r := newRigOf(t, "", func(s *engine.Spec) {
		s.Module = &enginetest.Module{
			Name: "counter", New: func() enginetest.Guest { return new(counter) },
			Answer: func(g enginetest.Guest, _ []byte, _ state.Rows) ([]byte, error) {
				return fmt.Append(nil, g.(*counter).n), nil
			},
		}
		s.MemorySnapshots.Events, s.Batch.Events, s.History.All = 1000, 1, true
	}, "a", "1", "b", "2", "c", "3").start()
	a := r.ask("POST", "/v1/projections/p/query", "")
	if a.StatusCode != http.StatusOK || a.body != a.Header.Get("Gnomon-As-Of-Seq") || a.body != "0" || a.Header.Get("Gnomon-Behind") != "3" || a.Header.Get("Gnomon-As-Of-Time") != "" || a.Header.Get("Gnomon-Freshness") != "behind" {
		t.Errorf("%d %q, headers %v", a.StatusCode, a.body, a.Header)
	}
	p := r.ask("POST", "/v1/projections/p/query?min_seq=3", "").problem(t)
	if p.Code != wire.CodeNotReached || p.Reflected == nil || p.AsOfSeq != 0 || !strings.Contains(p.Hint, "every_events") {
		t.Errorf("%+v", p)
	}
	for _, at := range []string{"1", "3", "3&min_seq=0"} {
		p = r.ask("POST", "/v1/projections/p/query?at="+at, "").problem(t)
		if p.Code != wire.CodeNotKept || p.Reflected == nil || p.AsOfSeq != 0 || p.Hint != "ask as of 0" {
			t.Errorf("as of %s: %+v", at, p)
		}
	}
	if a := r.ask("POST", "/v1/projections/p/query?at=0", ""); a.StatusCode != http.StatusOK || a.body != "0" {
		t.Errorf("as of a snapshot: %d %q", a.StatusCode, a.body)
	}
}

// Reads answers what reads, asks for no token, and changes nothing.
func TestReadsOnlyRead(t *testing.T) {
	r := newRigOf(t, "0123456789abcdef", queried, "a", "1").start()
	ask := func(method, path string) int {
		w := httptest.NewRecorder()
		r.query.Reads().ServeHTTP(w, httptest.NewRequest(method, path, nil))
		return w.Code
	}
	for _, path := range []string{"", "/p", "/p/state/a", "/p/state"} {
		if code := ask("GET", "/v1/projections"+path); code != 200 {
			t.Errorf("GET %s: %d", path, code)
		}
	}
	if code := ask("POST", "/v1/projections/p/query"); code != 200 {
		t.Errorf("query: %d", code)
	}
	for _, path := range []string{"/v1/projections/p/pause", "/v1/projections/p/remove", "/v1/projections/p/snapshots", "/v1/streams/S/events", "/v1/reload", "/metrics", "/"} {
		for _, method := range []string{"POST", "PUT", "DELETE"} {
			if code := ask(method, path); code != 404 {
				t.Errorf("%s %s: %d", method, path, code)
			}
		}
	}
	if s, err := r.engine.Status("p"); err != nil || s.State != engine.Live {
		t.Errorf("status %+v, %v", s, err)
	}
	r.query.Close()
	if code := ask("GET", "/v1/projections"); code != 503 {
		t.Errorf("after the server was closed: %d", code)
	}
}
