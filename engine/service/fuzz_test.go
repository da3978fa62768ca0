package service

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
)

// FuzzRequest: whatever a message says, it is refused, or becomes a request of HTTP below
// the projection that its subject names, with the key as it was given, and no other path.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{`{"key":"a"}`, `{"key_b64":"/w=="}`, `{"key":"../../x?y#z%2f"}`, `{"key":".."}`, `{"key":""}`, `{"limit":5,"prefix":"a&b=c"}`, `{"a":{}}`, `{"key":"a","key":"b"}`, `[`, ``, `{"":1e400}`, "{\"key\":\"\\ud800\"}"} {
		f.Add("p", []byte(seed))
	}
	f.Add("p@candidate", []byte(`{"key":"a"}`))
	f.Add("../q", []byte(`{"key":"a"}`))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		if name == "" || strings.ContainsAny(name, ". \t\r\n*>\x00") {
			return // no token of a subject
		}
		for _, e := range endpoints() {
			m := &nats.Msg{Subject: strings.Replace(e.subject, "*", name, 1), Data: data, Header: nats.Header{"Gnomon-" + name: {string(data)}}}
			r, err := e.request(m)
			if err != nil {
				continue
			}
			h, err := http.NewRequest(r.method, r.target(), nil)
			if err != nil {
				t.Fatalf("%s: %v", r.target(), err)
			}
			want := "/v1/projections"
			if e.named {
				want += "/" + name
			}
			if !strings.HasPrefix(h.URL.Path, want) || h.Host != "" || h.URL.Fragment != "" {
				t.Fatalf("%q became %q", name, h.URL)
			}
			if e.keyed {
				checkKey(t, h, data)
			}
			_ = httptest.NewRequest(r.method, r.target(), nil) // panics when a server would not read it
		}
	})
}

// checkKey holds the key in a path against the one that was asked for.
func checkKey(t *testing.T, h *http.Request, data []byte) {
	fields, err := envelope(data)
	if err != nil {
		t.Fatal(err)
	}
	_, escaped, _ := strings.Cut(h.URL.EscapedPath(), "/state/")
	got, err := url.PathUnescape(escaped)
	if err != nil {
		t.Fatal(err)
	}
	want, err := takeKey(fields)
	if err != nil || got != want {
		t.Fatalf("key %s became %q, %v", base64.StdEncoding.EncodeToString([]byte(want)), got, err)
	}
}
