package query_test

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	"gnomon/engine/query"
	"gnomon/engine/query/wire"
)

// Without tokens and TLS only names of this machine are answered, and those that the
// configuration adds; with tokens any name is, unless there is such a list. An orchestrator
// may ask for health by any name where nothing can be learned from the answer.
func TestHosts(t *testing.T) {
	const token = "a-secret-token-of-a-test"
	for _, tt := range []struct {
		name    string
		options query.Options
		token   string
		want    map[string]bool // path at host
	}{
		{"open", query.Options{}, "", map[string]bool{
			"/ localhost": true, "/ evil.example": false, "/readyz evil.example": false, "/healthz evil.example": false,
		}},
		{"open, with a name", query.Options{Hosts: []string{"Gnomon.example.com"}}, "", map[string]bool{
			"/ gnomon.example.com": true, "/ GNOMON.example.com:7780": true, "/ [::1]": true, "/ x.gnomon.example.com": false, "/ evil.example": false,
		}},
		{"with tokens", query.Options{Access: admin(t, token)}, token, map[string]bool{"/ gnomon.example.com": true}},
		{"with tokens and a name", query.Options{Access: admin(t, token), Hosts: []string{"gnomon.example.com", "2001:db8::1"}}, token, map[string]bool{
			"/ gnomon.example.com": true, "/ [2001:db8::1]:7780": true, "/ 127.0.0.1": true, "/ evil.example": false, "/healthz 10.1.2.3:7780": true, "/readyz 10.1.2.3:7780": true, "/metrics 10.1.2.3:7780": false,
		}},
		{"under TLS", query.Options{TLS: new(tls.Config)}, "", map[string]bool{"/ gnomon.example.com": true}},
	} {
		r := newRigWith(t, tt.options, "a", "1").start()
		r.token = tt.token
		for request, want := range tt.want {
			path, host, _ := strings.Cut(request, " ")
			if a := r.ask("GET", path, "", "Host", host); (a.StatusCode == 200) != want {
				t.Errorf("%s: %s at %s: %s", tt.name, path, host, a)
			} else if !want && a.problem(t).Code != wire.CodeForbiddenHost {
				t.Errorf("%s: %s at %s: %s", tt.name, path, host, a)
			}
		}
	}
}

// What reads as a page of another site is refused, so that it costs nothing; a link that is
// followed is not. No answer gives a page leave to read it, nor to embed it.
func TestForeignPagesReadNothing(t *testing.T) {
	r := newRig(t, "", "a", "1").start()
	for _, path := range []string{"/v1/projections", "/v1/projections/p/state/a", "/v1/projections/p/state", "/v1/projections/p/watch", "/metrics", "/"} {
		for _, headers := range [][]string{
			{"Origin", "https://evil.example"},
			{"Origin", "null"},
			{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "script"},
			{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors", "Origin", "http://localhost:1"},
		} {
			a := r.ask("GET", path, "", headers...)
			if p := a.problem(t); p.Status != 403 || p.Code != wire.CodeCrossOrigin {
				t.Errorf("%s with %q: %s", path, headers, a)
			}
		}
		if strings.HasSuffix(path, "/watch") {
			continue // which does not end
		}
		for _, headers := range [][]string{{}, {"Origin", r.server.URL}, {"Sec-Fetch-Site", "same-origin"}, {"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate"}, {"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}} {
			a := r.ask("GET", path, "", headers...)
			h := a.Header
			if a.StatusCode == 403 || h.Get("Access-Control-Allow-Origin") != "" || h.Get("Cross-Origin-Resource-Policy") != "same-origin" || h.Get("X-Frame-Options") != "DENY" || h.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s with %q: %s, %v", path, headers, a, h)
			}
		}
	}
	a := r.ask("OPTIONS", "/v1/projections/p/pause", "", "Origin", "https://evil.example", "Access-Control-Request-Method", "POST")
	if a.StatusCode != 403 || a.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a browser that asks for a foreign page: %s, %v", a, a.Header)
	}
}

// Pages of an origin that is configured read and write, with a token where one is needed,
// and the browser is told so before; others do not.
func TestOrigins(t *testing.T) {
	const app, token = "https://app.example.com", "a-secret-token-of-a-test"
	r := newRigWith(t, query.Options{Access: admin(t, token), Origins: []string{app}}, "a", "1").start()
	allowed := func(a reply) bool {
		return a.Header.Get("Access-Control-Allow-Origin") == app && strings.Contains(strings.Join(a.Header.Values("Vary"), ","), "Origin")
	}
	a := r.ask("OPTIONS", "/v1/projections/p/state/a", "", "Origin", app, "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "authorization")
	if a.StatusCode != 204 || !allowed(a) || !strings.Contains(a.Header.Get("Access-Control-Allow-Headers"), "Authorization") || !strings.Contains(a.Header.Get("Access-Control-Allow-Methods"), "POST") {
		t.Errorf("preflight: %s, %v", a, a.Header)
	}
	if a := r.ask("GET", "/v1/projections/p/state/a", "", "Origin", app, "Sec-Fetch-Site", "cross-site"); a.StatusCode != 401 || !allowed(a) {
		t.Errorf("without a token: %s, %v", a, a.Header)
	}
	r.token = token
	for _, request := range []string{"GET /v1/projections/p/state/a", "GET /v1/projections/p/state", "HEAD /v1/projections/p/watch", "POST /v1/projections/p/pause"} {
		method, path, _ := strings.Cut(request, " ")
		if a := r.ask(method, path, "", "Origin", app, "Sec-Fetch-Site", "cross-site"); a.StatusCode != 200 || !allowed(a) || a.Header.Get("Access-Control-Expose-Headers") == "" {
			t.Errorf("%s: %s, %v", request, a, a.Header)
		}
		for _, other := range []string{"https://app.example.com.evil.example", "http://app.example.com", "null"} {
			if a := r.ask(method, path, "", "Origin", other); a.StatusCode != http.StatusForbidden || a.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s of %s: %s, %v", request, other, a, a.Header)
			}
		}
	}
	if a := r.ask("GET", "/v1/projections/p/state/a", ""); a.StatusCode != 200 || a.Header.Get("Access-Control-Allow-Origin") != "" || a.Header.Get("Vary") == "" {
		t.Errorf("a program: %s, %v", a, a.Header)
	}
}
