package query_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gnomon/engine/query"
	"gnomon/engine/query/access"
	"gnomon/engine/query/dashboard"
	"gnomon/internal/testutil"
)

// Who comes through a proxy that is believed is told apart by what that says, and nobody else is by
// what they say themselves: the address of a client is in the log of a token that was none.
func TestClientsBehindProxies(t *testing.T) {
	r, _ := newLoginRig(t)
	server := query.New(query.Options{
		Engine: r.engine, Log: slog.New(slog.NewTextHandler(r.log, nil)), Access: tokens(t, map[string]access.Grant{adminToken: {Role: access.Admin}}),
		Dashboard: func(api http.Handler) http.Handler { return dashboard.New(api, "test") }, Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")},
	})
	for _, tt := range []struct {
		name, remote string
		forwarded    []string
		want         string
	}{
		{"no proxy", "192.0.2.1:99", nil, "192.0.2.1"},
		{"one that is not believed", "192.0.2.2:99", []string{"203.0.113.1"}, "192.0.2.2"},
		{"a proxy", "10.1.2.3:99", []string{"203.0.113.2"}, "203.0.113.2"},
		{"a proxy, of IPv6", "[::1]:99", []string{"2001:db8::7"}, "2001:db8::7"},
		{"proxies in a row", "10.1.2.3:99", []string{"198.51.100.9, 203.0.113.3, 10.9.9.9"}, "203.0.113.3"},
		{"in two headers", "10.1.2.3:99", []string{"198.51.100.9", "203.0.113.4"}, "203.0.113.4"},
		{"one that says nothing", "10.1.2.4:99", nil, "10.1.2.4"},
		{"one that says nonsense", "10.1.2.5:99", []string{"unknown"}, "10.1.2.5"},
	} {
		form := httptest.NewRequest("POST", "/ui/login", strings.NewReader(url.Values{"token": {"no token at all"}}.Encode()))
		form.RemoteAddr, form.Host = tt.remote, "localhost"
		form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		form.Header["X-Forwarded-For"] = tt.forwarded
		server.ServeHTTP(httptest.NewRecorder(), form)
		if want := "client=" + tt.want + "\n"; !strings.HasSuffix(r.log.String(), want) {
			t.Errorf("%s: the log ends with %s, want %s", tt.name, r.log.String(), want)
		}
	}
}

// The cookie of who logs in is sent over TLS only, where a proxy in front ends that.
func TestCookieBehindTLS(t *testing.T) {
	r, _ := newLoginRig(t)
	for said, want := range map[string]bool{"": false, "http": false, "https": true, "HTTPS, http": true, "http, https": false} {
		a := r.submit("/ui/login", url.Values{"token": {adminToken}}, "X-Forwarded-Proto", said)
		if len(a.Cookies()) != 1 || a.Cookies()[0].Secure != want {
			t.Errorf("X-Forwarded-Proto %q: %s, want Secure: %v", said, a.Header.Get("Set-Cookie"), want)
		}
	}
}

// Token files that are no good any more leave the tokens as they were; /readyz, the status of all
// projections and the page say so, to who may do everything.
func TestTokensThatCannotBeTakenShow(t *testing.T) {
	file, reader := filepath.Join(t.TempDir(), "tokens"), filepath.Join(t.TempDir(), "reader")
	for name, text := range map[string]string{file: adminToken, reader: readerToken} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	opened, err := access.OpenTokens([]access.Grant{{File: file, Role: access.Admin}, {File: reader, Role: access.Read}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r := newRigWith(t, query.Options{Access: opened, Dashboard: func(api http.Handler) http.Handler { return dashboard.New(api, "test") }}, "a", "1").start()
	shows := func(path, token string) bool {
		return strings.Contains(r.ask("GET", path, "", "Authorization", "Bearer "+token, "Accept", map[bool]string{true: "text/html", false: "*/*"}[path == "/"]).body, "it has no token")
	}
	if shows("/readyz", adminToken) {
		t.Error("a file that is good is warned of")
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	testutil.Until(t, func() bool { return shows("/readyz", adminToken) })
	for _, path := range []string{"/readyz", "/v1/projections", "/"} {
		if !shows(path, adminToken) || shows(path, readerToken) {
			t.Errorf("%s: %v to the admin, %v to a reader", path, shows(path, adminToken), shows(path, readerToken))
		}
	}
	if err := os.WriteFile(file, []byte(adminToken), 0o600); err != nil {
		t.Fatal(err)
	}
	testutil.Until(t, func() bool { return !shows("/readyz", adminToken) })
}
