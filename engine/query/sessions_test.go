package query_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/query"
	"gnomon/engine/query/access"
	"gnomon/engine/query/dashboard"
	"gnomon/engine/query/wire"
	"gnomon/internal/testutil"
)

const (
	adminToken  = "token-that-may-do-everything"
	readerToken = "token-that-reads-p-only"
)

// newLoginRig serves pages to who has a token.
func newLoginRig(t *testing.T) (*rig, *revocable) {
	t.Helper()
	revoked := &revocable{Access: tokens(t, map[string]access.Grant{adminToken: {Role: access.Admin}, readerToken: {Role: access.Read, Projections: []string{"p"}}})}
	r := newRigWith(t, query.Options{Access: revoked, Dashboard: func(api http.Handler) http.Handler { return dashboard.New(api, "test") }}, "a", "1")
	return r.start(), revoked
}

// html are the headers of a browser that opens a page, with others.
func html(more ...string) []string {
	return append([]string{"Accept", "text/html,*/*;q=0.8", "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate"}, more...)
}

// submit sends a form as a page of this origin does.
func (r *rig) submit(path string, form url.Values, more ...string) reply {
	r.t.Helper()
	return r.ask("POST", path, form.Encode(), append(html("Content-Type", "application/x-www-form-urlencoded", "Origin", r.server.URL), more...)...)
}

// login gives a token to the page that asks for one, and returns the cookie.
func (r *rig) login(token string) *http.Cookie {
	r.t.Helper()
	a := r.submit("/ui/login", url.Values{"token": {token}, "next": {"/"}})
	if a.StatusCode != http.StatusSeeOther || len(a.Cookies()) != 1 {
		r.t.Fatalf("login: %s", a)
	}
	return a.Cookies()[0]
}

// A browser without a token is asked for one by whatever page it opens, and goes on there
// with a cookie that no script, no other site and no plain connection beside TLS gets.
func TestLogin(t *testing.T) {
	r, _ := newLoginRig(t)
	a := r.ask("GET", "/ui/projections/p?x=1", "", html()...)
	if a.StatusCode != http.StatusUnauthorized || !strings.Contains(a.body, `name="token"`) || !strings.Contains(a.body, `value="/ui/projections/p?x=1"`) || a.Header.Get("WWW-Authenticate") == "" {
		t.Fatalf("without a token: %s", a)
	}
	if a := r.ask("GET", "/ui/assets/app.css", ""); a.StatusCode != http.StatusOK {
		t.Errorf("what that page is made of: %s", a.Status)
	}
	a = r.submit("/ui/login", url.Values{"token": {" " + adminToken + "\n"}, "next": {"/ui/projections/p?x=1"}})
	if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/ui/projections/p?x=1" {
		t.Fatalf("login: %s", a)
	}
	c := a.Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || len(c.Value) != 32 || strings.Contains(a.Header.Get("Set-Cookie"), adminToken) || !strings.HasSuffix(c.Name, r.server.URL[strings.LastIndex(r.server.URL, ":")+1:]) {
		t.Errorf("the cookie is %s", a.Header.Get("Set-Cookie"))
	}
	cookie := c.Name + "=" + c.Value
	if a := r.ask("GET", "/", "", html("Cookie", cookie)...); a.StatusCode != http.StatusOK || !strings.Contains(a.body, "Log out") {
		t.Errorf("the overview after that: %s", a)
	}
	if a := r.ask("GET", "/v1/projections", "", "Cookie", cookie); !strings.Contains(a.body, `"projection":"p"`) {
		t.Errorf("the API: %s", a)
	}
	if a := r.submit("/ui/logout", nil, "Cookie", cookie); a.StatusCode != http.StatusSeeOther || a.Cookies()[0].MaxAge >= 0 {
		t.Errorf("logout: %s", a)
	}
	if a := r.ask("GET", "/", "", html("Cookie", cookie)...); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("after logout: %s", a.Status)
	}
}

// The cookie stands for the token: what that may not, and what a page of another site sends,
// is refused, and it ends when the token is taken back.
func TestLoginRights(t *testing.T) {
	r, revoked := newLoginRig(t)
	c := r.login(readerToken)
	cookie := c.Name + "=" + c.Value
	if a := r.ask("POST", "/v1/projections/p/pause", "", "Cookie", cookie); a.problem(t).Code != wire.CodeForbidden {
		t.Errorf("a reader pauses: %s", a)
	}
	c = r.login(adminToken)
	cookie = c.Name + "=" + c.Value
	for _, tt := range []struct {
		name    string
		method  string
		headers []string
		status  int
	}{
		{"another site", "POST", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, http.StatusForbidden},
		{"another origin of the site", "POST", []string{"Sec-Fetch-Site", "same-site", "Origin", "https://app.localhost"}, http.StatusForbidden},
		{"another site, in an old browser", "POST", []string{"Origin", "https://evil.example"}, http.StatusForbidden},
		{"a link on another site", "GET", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, http.StatusOK},
		{"a read of another site", "GET", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors"}, http.StatusForbidden},
		{"this origin", "POST", []string{"Sec-Fetch-Site", "same-origin", "Origin", r.server.URL}, http.StatusOK},
		{"this origin, in an old browser", "POST", []string{"Origin", r.server.URL}, http.StatusOK},
		{"a token that is none, beside the cookie", "POST", []string{"Authorization", "Bearer none-of-the-tokens-here"}, http.StatusUnauthorized},
	} {
		path := "/v1/projections/p/resume"
		if tt.method == "GET" {
			path = "/v1/projections/p"
		}
		if a := r.ask(tt.method, path, "", append(tt.headers, "Cookie", cookie)...); a.StatusCode != tt.status {
			t.Errorf("%s: %s", tt.name, a)
		}
	}
	r.query.LookEvery(time.Millisecond)
	s := r.open("/v1/projections", "Accept", "text/event-stream", "Cookie", cookie)
	s.status()
	revoked.gone.Store(true)
	r.nats.Append("S", "a", []byte("2"))
	for !strings.HasPrefix(s.block(), "event: end\n") {
	}
	revoked.gone.Store(false)
	if a := r.ask("GET", "/v1/projections", "", "Cookie", cookie); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("the session outlived its token: %s", a)
	}
}

// A page whose origin is trusted with tokens of its own does not get the rights of the person
// who logged in.
func TestLoginIsNotForTrustedOrigins(t *testing.T) {
	const app = "https://app.example"
	r := newRigWith(t, query.Options{Access: tokens(t, map[string]access.Grant{adminToken: {Role: access.Admin}}), Origins: []string{app}, Dashboard: func(api http.Handler) http.Handler { return dashboard.New(api, "test") }}, "a", "1").start()
	c := r.login(adminToken)
	for _, headers := range [][]string{{"Origin", app}, {"Origin", app, "Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors"}} {
		if a := r.ask("POST", "/v1/projections/p/pause", "", append(headers, "Cookie", c.Name+"="+c.Value)...); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("%q: %s", headers, a)
		}
		for _, path := range []string{"/ui/login", "/ui/logout"} {
			a := r.ask("POST", path, "token="+adminToken, append(headers, "Content-Type", "application/x-www-form-urlencoded")...)
			if a.StatusCode != http.StatusForbidden || len(a.Cookies()) > 0 {
				t.Errorf("%s with %q: %s", path, headers, a)
			}
		}
	}
}

// A form whose session has ended is not done, and the person is told so where they log in, to
// go on at the page that has the form.
func TestFormsOfEndedSessions(t *testing.T) {
	r, revoked := newLoginRig(t)
	c := r.login(adminToken)
	revoked.gone.Store(true)
	for path, next := range map[string]string{"/ui/projections/p/do/pause": "/ui/projections/p", "/ui/projections/p%2Fq/bundle": "/ui/projections/p%2Fq"} {
		a := r.submit(path, nil, "Cookie", c.Name+"="+c.Value)
		if a.StatusCode != http.StatusUnauthorized || !strings.Contains(a.body, "nothing was done") || !strings.Contains(a.body, `name="next" value="`+next+`"`) {
			t.Errorf("%s: %s", path, a)
		}
	}
	if s, err := r.engine.Status("p"); err != nil || s.State == engine.Paused {
		t.Errorf("it is %s, %v", s.State, err)
	}
	if a := r.ask("POST", "/ui/projections/p/do/pause", "", "Accept", "application/json"); a.problem(t).Code != wire.CodeUnauthorized {
		t.Errorf("a program: %s", a)
	}
}

// A token that is none is refused, and said to be; tries are bounded, and the log has no
// token. Nobody is sent elsewhere by an address that a link brought.
func TestLoginRefused(t *testing.T) {
	r, _ := newLoginRig(t)
	for next, want := range map[string]string{"https://evil.example/": "/", "//evil.example/": "/", `/\evil.example`: "/", "javascript:alert(1)": "/", "": "/", "/ui/streams/S": "/ui/streams/S"} {
		testutil.Until(t, func() bool { // until it may be tried
			a := r.submit("/ui/login", url.Values{"token": {adminToken}, "next": {next}})
			if a.StatusCode == http.StatusSeeOther && a.Header.Get("Location") != want {
				t.Errorf("%q leads to %q", next, a.Header.Get("Location"))
			}
			return a.StatusCode == http.StatusSeeOther
		})
	}
	r.query.StopTries()
	const wrong = "a-token-that-somebody-guessed"
	var got []int
	for range 7 {
		a := r.submit("/ui/login", url.Values{"token": {wrong}, "next": {"/"}})
		got = append(got, a.StatusCode)
		if len(a.Cookies()) > 0 || !strings.Contains(a.body, `role="alert"`) || strings.Contains(a.body, wrong) {
			t.Errorf("a wrong token: %s", a)
		}
	}
	if want := []int{401, 401, 401, 401, 401, 429, 429}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("tries are answered %v, want %v", got, want)
	}
	if a := r.submit("/ui/login", url.Values{"token": {adminToken}}); a.StatusCode != http.StatusTooManyRequests || a.Header.Get("Retry-After") != "1" {
		t.Errorf("the right one among them: %s", a)
	}
	if strings.Contains(r.log.String(), wrong) || strings.Contains(r.log.String(), adminToken) || !strings.Contains(r.log.String(), "tried to log in") {
		t.Errorf("the log: %s", r.log)
	}
	if a := r.ask("POST", "/ui/login", "token="+adminToken, "Content-Type", "application/x-www-form-urlencoded", "Origin", "https://evil.example"); a.StatusCode != http.StatusForbidden {
		t.Errorf("a form of another site: %s", a)
	}
	if a := r.ask("GET", "/v1/projections", "", html()...); a.problem(t).Code != wire.CodeUnauthorized {
		t.Errorf("the API asks for a token as ever: %s", a)
	}
}

// A client that guesses tokens keeps out itself, and no other; of very many, those that came
// first may go on.
func TestTriesAreCountedByClient(t *testing.T) {
	now := time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)
	s := query.NewSessions(func() time.Time { return now })
	for i := range 7 {
		if got, want := s.MayTry("2001:db8::1"), i < 5; got != want {
			t.Errorf("try %d: %v", i, got)
		}
	}
	for i := range 22 {
		if got, want := s.MayTry(fmt.Sprintf("10.0.0.%d", i)), i < 19; got != want {
			t.Errorf("the first try of client %d: %v", i, got)
		}
	}
	if !s.MayTry("10.0.0.1") {
		t.Error("a client among many may not try again")
	}
	if now = now.Add(time.Second); !s.MayTry("2001:db8::1") {
		t.Error("it may not try a second later")
	}
}

// Sessions end when they were not used for long, and there are only so many.
func TestSessionsAreBounded(t *testing.T) {
	now := time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)
	s := query.NewSessions(func() time.Time { return now })
	first, second := s.Begin("one"), s.Begin("two")
	now = now.Add(query.SessionIdle - time.Second)
	if s.Token(first) != "one" {
		t.Error("a session ended early")
	}
	now = now.Add(2 * time.Second)
	if s.Token(first) != "one" || s.Token(second) != "" {
		t.Errorf("used: %q, not used: %q", s.Token(first), s.Token(second))
	}
	for range query.MaxSessions + 10 {
		now = now.Add(time.Second)
		s.Token(first)
		second = s.Begin("many")
	}
	if n := s.Count(); n != query.MaxSessions || s.Token(first) != "one" || s.Token(second) != "many" {
		t.Errorf("%d sessions, the one in use is %q, the newest %q", n, s.Token(first), s.Token(second))
	}
}

// The name of the cookie has the port that the browser names.
func TestCookieNames(t *testing.T) {
	for host, want := range map[string]string{"localhost:7780": "7780", "localhost": "", "[::1]:7780": "7780", "[::1]": "", "10.0.0.1:80": "80"} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = host
		if got := query.CookieName(r); got != wire.SessionCookie+want {
			t.Errorf("%s: %s", host, got)
		}
	}
}
