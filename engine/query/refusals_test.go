package query_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gnomon/engine"
	"gnomon/engine/query"
	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
	"gnomon/engine/streams"
)

// Whatever cannot be answered is a problem with a stable code, and says what to do.
func TestProblems(t *testing.T) {
	r := newRig(t, "", "a", "1").start()
	for _, c := range []struct {
		request string
		status  int
		code    string
		detail  string
	}{
		{"GET /nothing", 404, wire.CodeNotFound, "/nothing"},
		{"GET /v1/projections/none", 404, wire.CodeNoProjection, `"none"`},
		{"GET /v1/projections/none/state/a", 404, wire.CodeNoProjection, `"none"`},
		{"GET /v1/projections/none/state", 404, wire.CodeNoProjection, `"none"`},
		{"GET /v1/projections/none/snapshots", 404, wire.CodeNoProjection, `"none"`},
		{"POST /v1/projections/none/pause", 404, wire.CodeNoProjection, `"none"`},
		{"GET /v1/projections/p/nothing", 404, wire.CodeNotFound, "nothing"},
		{"GET /v1/projections/p/pause/x", 404, wire.CodeNotFound, "pause/x"},
		{"GET /v1/projections/p/state/absent", 404, wire.CodeNoKey, `has no key "absent" as of 1`},
		{"GET /v1/projections/p/state/a?at=5", 409, wire.CodeNotReached, "projection p reflects 1, 5 is not reached"},
		{"GET /v1/projections/p/state/a?at=2&wait=1ms", 504, wire.CodeNotReached, "projection p reflects 1, 2 is not reached: waited 1ms for it"},
		{"GET /v1/projections/p/state/a?at=yesterday", 400, wire.CodeBadRequest, "at is"},
		{"GET /v1/projections/p/state/a?at=-1", 400, wire.CodeBadRequest, "at is"},
		{"GET /v1/projections/p/state/a?at=2999-01-01T00:00:00Z", 409, wire.CodeNotReached, "2999-01-01T00:00:00Z is not reached"},
		{"GET /v1/projections/p/state/a?at=2999-01-01T00:00:00Z&wait=1s", 400, wire.CodeBadRequest, "wait is given without min_seq"},
		{"GET /v1/projections/p/state/a?replay=true", 400, wire.CodeBadRequest, "replay is given without at"},
		{"GET /v1/projections/p/state/a?at=1&replay=1", 400, wire.CodeBadRequest, "replay is"},
		{"GET /v1/projections/p/status?at=1", 404, wire.CodeNotFound, ""},
		{"GET /v1/projections/p?at=1", 400, wire.CodeBadRequest, `"at" is not known`},
		{"GET /v1/projections/p/state/a?min_seq=x", 400, wire.CodeBadRequest, "min_seq is"},
		{"GET /v1/projections/p/state/a?min_seq=-1", 400, wire.CodeBadRequest, "must be a sequence"},
		{"GET /v1/projections/p/state/a?wait=1s", 400, wire.CodeBadRequest, "wait is given without min_seq"},
		{"GET /v1/projections/p/state/a?min_seq=1&wait=61s", 400, wire.CodeBadRequest, "between 0s and 1m0s"},
		{"GET /v1/projections/p/state/a?min_seq=1&wait=2", 400, wire.CodeBadRequest, "wait is"},
		{"GET /v1/projections/p/state/a?min_seq=2&wait=1ms", 504, wire.CodeNotReached, "projection p reflects 1, 2 is not reached: waited 1ms for it"},
		{"GET /v1/projections/p/state?min_seq=2&wait=0s", 504, wire.CodeNotReached, "2 is not reached"},
		{"GET /v1/projections/p/dead-letters?min_seq=2&wait=0s", 504, wire.CodeNotReached, "2 is not reached"},
		{"GET /v1/projections/p/state/a?typo=5", 400, wire.CodeBadRequest, `"typo"`},
		{"GET /v1/projections/p/state?limit=0", 400, wire.CodeBadRequest, "between 1 and 10000"},
		{"GET /v1/projections/p/state?limit=x", 400, wire.CodeBadRequest, "between 1 and 10000"},
		{"GET /v1/projections/p/state?limit=10001", 400, wire.CodeBadRequest, "between 1 and 10000"},
		{"GET /v1/projections/p/state?limit=1&limit=2", 400, wire.CodeBadRequest, "2 times"},
		{"GET /v1/projections/p/state?prefix_b64=%25", 400, wire.CodeBadRequest, "prefix_b64"},
		{"GET /v1/projections/p/state?prefix=a&prefix_b64=YQ==", 400, wire.CodeBadRequest, "prefix and prefix_b64 are both given"},
		{"GET /v1/projections/p/state?after=&after_b64=YQ==", 400, wire.CodeBadRequest, "after and after_b64 are both given"},
		{"GET /v1/projections/p/state?prefix=%zz", 400, wire.CodeBadRequest, "query"},
		{"GET /v1/projections/p/state?a;b", 400, wire.CodeBadRequest, "query"},
		{"POST /v1/projections/p", 405, wire.CodeBadMethod, "POST"},
		{"DELETE /v1/projections", 405, wire.CodeBadMethod, "DELETE"},
		{"GET /v1/projections/p/pause", 405, wire.CodeBadMethod, "GET"},
		{"GET /v1/streams/X", 404, wire.CodeNoStream, "stream"},
		{"GET /v1/streams/X/events?before=1", 404, wire.CodeNoStream, "stream"},
		{"GET /v1/streams/S/events?after=x", 400, wire.CodeBadRequest, "after is"},
		{"GET /v1/streams/S/events?around=0", 400, wire.CodeBadRequest, "from 1"},
		{"GET /v1/streams/S/events?around=noon", 400, wire.CodeBadRequest, "or a time such as"},
		{"GET /v1/streams/S/events?after=1&before=3", 400, wire.CodeBadRequest, "use one of them"},
		{"GET /v1/streams/S/events?subject=a..b", 400, wire.CodeBadRequest, "empty token"},
		{"GET /v1/streams/S/events?limit=201", 400, wire.CodeBadRequest, "between 1 and 200"},
		{"DELETE /v1/streams/S/events", 405, wire.CodeBadMethod, "DELETE"},
		{"POST /v1/streams/S/events", 400, wire.CodeBadRequest, "EOF"},
		{"PUT /healthz", 405, wire.CodeBadMethod, "PUT"},
	} {
		method, path, _ := strings.Cut(c.request, " ")
		p := r.ask(method, path, "").problem(t)
		if p.Status != c.status || p.Code != c.code || !strings.Contains(p.Detail, c.detail) {
			t.Errorf("%s: %+v, want %d %s %s", c.request, p, c.status, c.code, c.detail)
		}
	}
}

// A path that cannot be taken apart is refused, not cleaned.
func TestBadPaths(t *testing.T) {
	r := newRig(t, "", "a", "1").start()
	for _, path := range []string{"/v1/projections/p/state/%zz", "/v1/projections/%"} {
		req := httptest.NewRequest("GET", "http://localhost/", nil)
		req.URL.RawPath, req.URL.Path = path, path
		w := httptest.NewRecorder()
		r.server.Config.Handler.ServeHTTP(w, req)
		if w.Code != 400 && w.Code != 404 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// OPTIONS and HEAD are answered as HTTP has them.
func TestMethods(t *testing.T) {
	r := newRig(t, "", "a", "1").start()
	if a := r.ask("OPTIONS", "/v1/projections/p/snapshots", ""); a.StatusCode != 204 || a.Header.Get("Allow") != "GET, POST" {
		t.Errorf("%s, allow %q", a, a.Header.Get("Allow"))
	}
	for _, path := range []string{"/v1/projections/p/state/a", "/v1/projections/p/state", "/healthz", "/metrics", "/"} {
		if a := r.ask("HEAD", path, ""); a.StatusCode != 200 || a.body != "" {
			t.Errorf("HEAD %s: %s", path, a)
		}
	}
	if a := r.ask("GET", "/", ""); !strings.Contains(a.body, "GET  /v1/projections") {
		t.Errorf("index: %s", a)
	}
}

// With a token nobody reads without it, but for the health of the process.
func TestToken(t *testing.T) {
	r := newRig(t, "a-secret-token-of-a-test", "a", "1").start()
	for _, authorization := range []string{"", "Bearer", "Bearer wrong", "Basic a-secret-token-of-a-test", "a-secret-token-of-a-test", "Bearer a-secret-token-of-a-test "} {
		a := r.ask("GET", "/v1/projections/p/state/a", "", "Authorization", authorization)
		if strings.TrimSpace(authorization) == "Bearer a-secret-token-of-a-test" {
			continue // HTTP takes the space away
		}
		if p := a.problem(t); p.Status != 401 || p.Code != wire.CodeUnauthorized || a.Header.Get("WWW-Authenticate") == "" || strings.Contains(a.body, "a-secret-token-of-a-test") {
			t.Errorf("%q: %s", authorization, a)
		}
	}
	if a := r.ask("GET", "/healthz", "", "Authorization", ""); a.StatusCode != 200 {
		t.Errorf("healthz: %s", a)
	}
	if a := r.ask("GET", "/metrics", "", "Authorization", ""); a.StatusCode != 401 {
		t.Errorf("metrics without the token: %d", a.StatusCode)
	}
	if _, err := r.client().Get(t.Context(), "p", []byte("a")); err != nil {
		t.Errorf("with the token: %v", err)
	}
	if a := r.ask("GET", "/v1/projections", "", "Host", "gnomon.example.com"); a.StatusCode != 200 {
		t.Errorf("with the token, by another name: %s", a)
	}
}

// Without a token only requests that name this machine are answered: a web page
// cannot make its own name mean this machine and read through the browser.
func TestForeignHost(t *testing.T) {
	r := newRig(t, "").start()
	for host, want := range map[string]int{
		"localhost": 200, "localhost:7780": 200, "127.0.0.1:1": 200, "[::1]:7780": 200, "a.localhost": 200, "127.9.9.9": 200,
		"evil.example.com": 403, "10.0.0.1:7780": 403, "localhost.evil.com": 403, "xlocalhost": 403,
	} {
		if a := r.ask("GET", "/v1/projections", "", "Host", host); a.StatusCode != want {
			t.Errorf("host %s: %s, want %d", host, a, want)
		}
	}
}

// A page of another site changes nothing through the browser of somebody who may, with a
// token or without; programs and pages of this origin do.
func TestCrossOrigin(t *testing.T) {
	for _, token := range []string{"", "a-secret-token-of-a-test"} {
		r := newRig(t, token, "a", "1").start()
		here := r.server.URL
		for _, request := range []string{"projections/p/pause", "projections/p/resume", "projections/p/snapshots", "streams/S/events"} {
			for _, headers := range [][]string{
				{"Origin", "http://evil.example"}, {"Origin", "null"}, {"Origin", "http://localhost:1"},
				{"Origin", here, "Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"},
			} {
				a := r.ask("POST", "/v1/"+request, `{"name":"x"}`, append(headers, "Content-Type", "text/plain")...)
				if p := a.problem(t); p.Status != 403 || p.Code != wire.CodeCrossOrigin || !strings.Contains(p.Detail, request) {
					t.Errorf("%s with %q: %s", request, headers, a)
				}
			}
		}
		if s, err := r.engine.Status("p"); err != nil || s.State != engine.Live {
			t.Errorf("the projection is %s, %v", s.State, err)
		}
		for _, headers := range [][]string{{}, {"Origin", here}, {"Origin", here, "Sec-Fetch-Site", "same-origin"}, {"Sec-Fetch-Site", "none"}} {
			if a := r.ask("POST", "/v1/projections/p/pause", "", headers...); a.StatusCode != 200 {
				t.Errorf("with %q: %s", headers, a)
			}
		}
	}
}

// A body is JSON whatever it says it is, as curl calls it a form unless told otherwise.
func TestContentType(t *testing.T) {
	r := newRig(t, "", "a", "1").start()
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json", "application/json; charset=utf-8"} {
		for _, tt := range []struct{ path, body string }{
			{"projections/p/pause", `{}`}, {"streams/S/events", `{"subject":"x"}`},
		} {
			if a := r.ask("POST", "/v1/"+tt.path, tt.body, "Content-Type", kind); a.StatusCode/100 != 2 {
				t.Errorf("%s of type %q: %s", tt.path, kind, a)
			}
		}
	}
	if p := r.ask("POST", "/v1/projections/p/pause", `{"for":"1h"}`).problem(t); p.Status != 400 || !strings.Contains(p.Detail, "for") {
		t.Errorf("a body that asks for more than a pause: %+v", p)
	}
	if p := r.ask("POST", "/v1/streams/S/events", "{}\n{}").problem(t); p.Status != 400 || !strings.Contains(p.Detail, "application/x-ndjson") {
		t.Errorf("lines that do not say so: %+v", p)
	}
}

// Snapshots are taken and listed; names are unique and bounded.
func TestSnapshots(t *testing.T) {
	r := newRig(t, "", "a", "1").start()
	c := r.client()
	s, err := c.CreateSnapshot(t.Context(), "p", "one")
	if err != nil || s.Name != "one" || s.Sequence != 1 || s.Keys != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
	list, err := c.Snapshots(t.Context(), "p")
	if err != nil || len(list) != 1 || list[0].Name != "one" || list[0].Digest != s.Digest {
		t.Errorf("%+v, %v", list, err)
	}
	for name, want := range map[string]string{"one": wire.CodeSnapshotExists, "No": wire.CodeBadRequest} {
		_, err := c.CreateSnapshot(t.Context(), "p", name)
		var p *wire.Problem
		if !errors.As(err, &p) || p.Code != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.CreateSnapshot(t.Context(), "p", "two"); err != nil {
		t.Fatal(err)
	}
	if p := r.ask("POST", "/v1/projections/p/snapshots", `{"name":"three"}`).problem(t); p.Status != 409 || p.Code != wire.CodeTooManySnapshot {
		t.Errorf("%+v", p)
	}
	for _, body := range []string{"", "{", `{"nam":"x"}`, `[]`, `{"name":"x"}{}`, `{"name":"x"} x`} {
		if p := r.ask("POST", "/v1/projections/p/snapshots", body).problem(t); p.Status != 400 {
			t.Errorf("body %q: %+v", body, p)
		}
	}
	if p := r.ask("POST", "/v1/projections/p/snapshots", `{"name":"`+strings.Repeat("x", 3<<20)+`"}`).problem(t); p.Status != 413 || p.Code != wire.CodeTooLarge {
		t.Errorf("a huge body: %+v", p)
	}
	if p := r.ask("POST", "/v1/projections/p/snapshots", `{"name":"x"}`+strings.Repeat(" ", 3<<20)).problem(t); p.Status != 413 {
		t.Errorf("a huge body of one short value: %+v", p)
	}
}

// A rebuild answers with the status; what is not diverged cannot be accepted, and a
// reason is needed.
func TestRebuildAndAccept(t *testing.T) {
	r := newRig(t, "", "a", "1").start()
	if a := r.ask("POST", "/v1/projections/p/rebuild", ""); a.StatusCode != 200 || !strings.Contains(a.body, `"position":1`) {
		t.Errorf("%s", a)
	}
	for body, want := range map[string]string{`{}`: "reason is empty", `{"reason":" "}`: "reason is empty", `{"why":"x"}`: "why"} {
		if p := r.ask("POST", "/v1/projections/p/accept", body).problem(t); p.Status != 400 || !strings.Contains(p.Detail, want) {
			t.Errorf("%s: %+v", body, p)
		}
	}
	if p := r.ask("POST", "/v1/projections/p/accept", `{"reason":"x"}`).problem(t); p.Status != 409 || p.Code != wire.CodeNothingToAccept {
		t.Errorf("%+v", p)
	}
	if p := r.ask("POST", "/v1/projections/none/rebuild", "").problem(t); p.Code != wire.CodeNoProjection {
		t.Errorf("%+v", p)
	}
}

// Pause and resume answer with the status after them.
func TestPauseAndResume(t *testing.T) {
	r := newRig(t, "", "a", "1").start()
	for _, verb := range []string{"pause", "resume"} {
		if s, err := r.client().Act(t.Context(), "p", verb); err != nil || s.Projection != "p" || s.Position != 1 {
			t.Errorf("%s: %+v, %v", verb, s, err)
		}
	}
	r.nats.Append("S", "b", []byte("2"))
	if err := r.engine.AwaitEnd(t.Context()); err != nil && !strings.Contains(err.Error(), "paused") {
		t.Errorf("after resume: %v", err)
	}
}

// Events reach the appender as they were sent, and its refusals have their codes.
func TestAppend(t *testing.T) {
	r := newRig(t, "")
	c := r.client()
	done, err := c.Import(t.Context(), "S", strings.NewReader("{}\n{}\n"))
	if err != nil || r.appender.stream != "S" || r.appender.lines != "{}\n{}\n" || done.Imported != 2 || done.Duplicates != 1 || done.Last != 42 {
		t.Errorf("import: %+v, %v, %+v", done, err, r.appender)
	}
	expect := uint64(7)
	e := wire.NewEvent{Subject: "e.x", ID: "1", Type: "t", Time: "2026-01-01T00:00:00Z", Source: "s", Data: []byte(`{"a":1.50}`), ExpectLastSubjectSeq: &expect}
	at, err := c.Publish(t.Context(), "S", e)
	if got := r.appender.event; err != nil || at.Sequence != 43 || got.Subject != "e.x" || string(got.Data) != `{"a":1.50}` || got.ExpectLastSubjectSeq == nil || *got.ExpectLastSubjectSeq != 7 {
		t.Errorf("publish: %+v, %v, %+v", at, err, got)
	}
	for _, k := range []struct {
		err    error
		status int
		code   string
		line   int
	}{
		{fmt.Errorf("%w: subject e.x", query.ErrWrongSequence), 409, wire.CodeWrongSequence, 0},
		{fmt.Errorf("%w: stream S", streams.ErrNoStream), 404, wire.CodeNoStream, 0},
		{&query.LineError{Line: 3, Err: errors.New("no subject")}, 400, wire.CodeBadRequest, 3},
		{errors.New("disk on fire"), 500, wire.CodeInternal, 0},
	} {
		r.appender.err = k.err
		_, err := c.Publish(t.Context(), "S", e)
		var p *wire.Problem
		if !errors.As(err, &p) || p.Status != k.status || p.Code != k.code || p.Detail != k.err.Error() {
			t.Errorf("publish with %v: %v", k.err, err)
		}
		_, err = c.Import(t.Context(), "S", strings.NewReader("{}\n"))
		if !errors.As(err, &p) || p.Code != k.code || p.Line != k.line || p.Done == nil || *p.Done != (wire.Imported{Imported: 1, Duplicates: 1, Last: 42}) {
			t.Errorf("import with %v: %v", k.err, err)
		}
	}
	if p := r.ask("POST", "/v1/streams/S/events", `{"subject":"x","typo":1}`, "Content-Type", "application/json").problem(t); p.Status != 400 || !strings.Contains(p.Detail, "typo") {
		t.Errorf("an unknown field: %+v", p)
	}
}

// The client tells what answers from what does not, and never takes a part for the
// whole.
func TestClient(t *testing.T) {
	for _, base := range []string{"", "ftp://x", "http://", "://"} {
		if _, err := client.New(base, ""); err == nil || !strings.Contains(err.Error(), "no URL such as http://127.0.0.1:7780") {
			t.Errorf("base %q: %v", base, err)
		}
	}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch {
		case strings.HasSuffix(req.URL.Path, "/state"):
			w.Header().Set("Content-Type", "application/x-ndjson")
			_, _ = io.WriteString(w, "{\"key\":\"a\",\"value\":1}\n") // and no count of rows
		case strings.HasSuffix(req.URL.Path, "/half/state/k"):
			_, _ = io.WriteString(w, `{"projection":`)
		default:
			http.Error(w, "<html>nginx", http.StatusBadGateway)
		}
	}))
	t.Cleanup(other.Close)
	c, err := client.New(strings.TrimPrefix(other.URL, "http://"), "")
	if err != nil {
		t.Fatal(err)
	}
	var rows bytes.Buffer
	err = c.Scan(t.Context(), "p", nil, 0, func(row wire.Row) error { rows.Write(row.Key); return nil })
	if err == nil || !strings.Contains(err.Error(), "cut off: 1 keys came") {
		t.Errorf("a scan without its count: %v after %q", err, &rows)
	}
	if _, err := c.Projections(t.Context()); err == nil || !strings.Contains(err.Error(), "502") || !strings.Contains(err.Error(), "no engine's answer") {
		t.Errorf("another server: %v", err)
	}
	if _, err := c.Get(t.Context(), "half", []byte("k")); err == nil || !strings.Contains(err.Error(), "answer of") {
		t.Errorf("half an answer: %v", err)
	}
	other.Close()
	if _, err := c.Projections(t.Context()); !errors.Is(err, client.ErrUnreachable) || !strings.Contains(err.Error(), other.URL) {
		t.Errorf("nobody there: %v", err)
	}
}
