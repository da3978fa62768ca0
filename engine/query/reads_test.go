package query_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"gnomon/engine"
	"gnomon/engine/query/wire"
)

// A key is answered with its value in the form that fits it, and with the sequence
// that it reflects, in the body and in the headers.
func TestGet(t *testing.T) {
	r := newRig(t, "", "json", `{"a": 1.50}`, "text", "hello", "number", "7", "empty", "", "html", `"<b>&"`).start()
	for path, want := range map[string]string{
		"json":   `"key":"json","value":{"a":1.50}`,
		"text":   `"key":"text","value_b64":"aGVsbG8="`,
		"number": `"key":"number","value":7`,
		"empty":  `"key":"empty","value_b64":""`,
		"html":   `"key":"html","value":"<b>&"`,
	} {
		a := r.ask("GET", "/v1/projections/p/state/"+path, "")
		if a.StatusCode != 200 || !strings.HasPrefix(a.body, `{"projection":"p",`+want+`,"as_of_seq":5,"as_of_time":"`) {
			t.Errorf("%s: %s, want %s", path, a, want)
		}
		if a.Header.Get("Gnomon-As-Of-Seq") != "5" || a.Header.Get("Gnomon-State") != "live" || a.Header.Get("Gnomon-As-Of-Time") == "" || a.Header.Get("Gnomon-Generation") == "" {
			t.Errorf("headers %v", a.Header)
		}
	}
}

// Any bytes are a key: with slashes, dots, percent signs, zeros, and others that
// are not UTF-8.
func TestAnyKey(t *testing.T) {
	keys := []string{"a/b", "..", "../x", ".", "a//b", "%2F", "a b", "ü", "\x00", "\xff\xfe", "?x=1", "#", "a\tb", "+"}
	var rows []string
	for _, k := range keys {
		rows = append(rows, k, fmt.Sprintf("%q", "value of "+fmt.Sprintf("%x", k)))
	}
	r := newRig(t, "", rows...).start()
	for _, k := range keys {
		got, err := r.client().Get(t.Context(), "p", []byte(k))
		if err != nil || string(got.Key) != k || string(got.Value) != fmt.Sprintf("%q", "value of "+fmt.Sprintf("%x", k)) || got.Sequence != uint64(len(keys)) || got.Projection != "p" {
			t.Errorf("key %q: %+v, %v", k, got, err)
		}
	}
	_, err := r.client().Get(t.Context(), "p", []byte("../state/a"))
	var p *wire.Problem
	if !errors.As(err, &p) || p.Code != wire.CodeNoKey || !strings.Contains(p.Detail, `"../state/a" as of 14`) {
		t.Errorf("a key that is absent: %v", err)
	}
}

// Pages come in key order, bounded, and say where to go on; all of them together
// are the state.
func TestPages(t *testing.T) {
	var rows, want []string
	for i := range 25 {
		rows = append(rows, fmt.Sprintf("k%02d", i), fmt.Sprint(i))
		want = append(want, fmt.Sprintf("k%02d", i))
	}
	rows = append(rows, "other", "1", "\xffbinary", "2", "\xffmore", "3")
	r := newRig(t, "", rows...).start()
	var got []string
	query := "?prefix=k&limit=10"
	for pages := 0; query != "" && pages < 10; pages++ {
		var p wire.Page
		if err := json.Unmarshal([]byte(r.ask("GET", "/v1/projections/p/state"+query, "").body), &p); err != nil {
			t.Fatal(err)
		}
		if p.AsOfSeq != 28 || p.Projection != "p" || len(p.Items) > 10 {
			t.Errorf("page %+v", p)
		}
		for _, row := range p.Items {
			got = append(got, string(row.Key))
		}
		if query = ""; p.Next != nil {
			query = "?prefix=k&limit=10&after=" + *p.Next
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("got %v", got)
	}
	b64 := base64.StdEncoding.EncodeToString([]byte{0xff})
	a := r.ask("GET", "/v1/projections/p/state?limit=1&prefix_b64="+url.QueryEscape(b64), "")
	if want := `"items":[{"key_b64":"/2JpbmFyeQ==","value":2}],"next_b64":"/2JpbmFyeQ==","as_of_seq":28`; !strings.Contains(a.body, want) {
		t.Errorf("%s, want %s", a, want)
	}
	a = r.ask("GET", "/v1/projections/p/state?prefix_b64="+url.QueryEscape(b64)+"&after_b64="+url.QueryEscape("/2JpbmFyeQ=="), "")
	if want := `"items":[{"key_b64":"/21vcmU=","value":3}],"as_of_seq":28`; !strings.Contains(a.body, want) {
		t.Errorf("%s, want %s", a, want)
	}
	if a := r.ask("GET", "/v1/projections/p/state?prefix=none", ""); !strings.Contains(a.body, `"items":[]`) {
		t.Errorf("no keys: %s", a)
	}
}

// A page is bounded in bytes too.
func TestLargePage(t *testing.T) {
	large := `"` + strings.Repeat("x", 900_000) + `"`
	r := newRig(t, "", "a", large, "b", large, "c", large, "d", large, "e", large).start()
	var p wire.Page
	if err := json.Unmarshal([]byte(r.ask("GET", "/v1/projections/p/state", "").body), &p); err != nil {
		t.Fatal(err)
	}
	if len(p.Items) != 4 || p.Next == nil || *p.Next != "d" {
		t.Errorf("%d rows, next %v", len(p.Items), p.Next)
	}
}

// A stream of rows has all of them, one a line, and ends with their number, so that
// one that was cut off is told from one that is complete.
func TestStreamOfRows(t *testing.T) {
	r := newRig(t, "", "b", "2", "a", "1", "c", "x").start()
	a := r.ask("GET", "/v1/projections/p/state", "", "Accept", "application/x-ndjson")
	want := "{\"key\":\"a\",\"value\":1}\n{\"key\":\"b\",\"value\":2}\n{\"key\":\"c\",\"value_b64\":\"eA==\"}\n"
	if a.body != want || a.Trailer.Get("Gnomon-Rows") != "3" || a.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("%s, trailer %v", a, a.Trailer)
	}
	var got []string
	err := r.client().Scan(t.Context(), "p", []byte("b"), 0, func(row wire.Row) error { got = append(got, string(row.Key)); return nil })
	if err != nil || strings.Join(got, " ") != "b" {
		t.Errorf("Scan: %v, %v", got, err)
	}
	stop := errors.New("stop")
	if err := r.client().Scan(t.Context(), "p", nil, 2, func(wire.Row) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("Scan with a failing fn: %v", err)
	}
}

// An answer that the client has already is not sent again, until there is a new
// commit.
func TestNotModified(t *testing.T) {
	r := newRig(t, "", "a", "1").start()
	path := "/v1/projections/p/state/a"
	tag := r.ask("GET", path, "").Header.Get("ETag")
	if a := r.ask("GET", path, "", "If-None-Match", `"x", `+tag); a.StatusCode != http.StatusNotModified || a.body != "" {
		t.Errorf("%s", a)
	}
	r.nats.Append("S", "a", []byte("2"))
	if err := r.engine.AwaitEnd(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := r.ask("GET", path, "", "If-None-Match", tag); a.StatusCode != 200 || !strings.Contains(a.body, `"value":2`) {
		t.Errorf("%s", a)
	}
}

// Status is answered for all projections and for one, as the engine has it.
func TestStatus(t *testing.T) {
	r := newRig(t, "", "a", "1", "b", "2").start()
	all, err := r.client().Projections(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	one, err := r.client().Projection(t.Context(), "p")
	if err != nil {
		t.Fatal(err)
	}
	want, err := r.engine.Status("p")
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []engine.Status{all[0], one} {
		if got.Projection != "p" || got.State != engine.Live || got.Position != 2 || got.Keys != 2 || got.Digest != want.Digest || got.Module != letters.Digest() {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

// Health is that the process answers; readiness that everything is caught up, and
// else says why not.
func TestHealthAndReadiness(t *testing.T) {
	r := newRig(t, "", "a", "1")
	if a := r.ask("GET", "/healthz", ""); a.StatusCode != 200 {
		t.Errorf("healthz before the start: %s", a)
	}
	if a := r.ask("GET", "/readyz", ""); a.StatusCode != 503 || !strings.Contains(a.body, `{"ready":false,"reasons":["projection p is starting at 0 of`) {
		t.Errorf("readyz before the start: %s", a)
	}
	if p := r.ask("GET", "/v1/projections/p/state/a", "").problem(t); p.Status != 503 || p.Code != wire.CodeNotReady {
		t.Errorf("a read before the start: %+v", p)
	}
	r.start()
	if a := r.ask("GET", "/readyz", ""); a.StatusCode != 200 || strings.TrimSpace(a.body) != `{"ready":true,"reasons":[]}` {
		t.Errorf("readyz when caught up: %s", a)
	}
	r.nats.Append("S", "a", []byte("poison"))
	_ = r.engine.AwaitEnd(t.Context()) // it says that the projection halted
	if a := r.ask("GET", "/readyz", ""); a.StatusCode != 503 || !strings.Contains(a.body, "halted at 1 of 2: event 2: apply returned an error: poisoned") {
		t.Errorf("readyz when halted: %s", a)
	}
	if a := r.ask("GET", "/v1/projections/p/state/a", ""); a.StatusCode != 200 || a.Header.Get("Gnomon-State") != "halted" {
		t.Errorf("a read when halted: %s, %v", a, a.Header)
	}
}
