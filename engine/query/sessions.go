package query

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"gnomon/engine/query/wire"
)

const (
	sessionIdle = 12 * time.Hour // after which one that is not used ends
	maxSessions = 1000
	// maxTries are how many tokens a client may try in a second, by its address: a token has 16
	// characters at least, and nobody types faster. One that guesses keeps only itself out.
	maxTries = 5
	// maxTriers are how many clients may try one in a second.
	maxTriers = 20
)

// sessions are those of people who gave their token to a page. A browser cannot send it with
// every request, so it has a cookie with a random number instead. They are in memory: who
// logged in before the engine was started again logs in anew.
type sessions struct {
	now func() time.Time

	mu    sync.Mutex
	of    map[string]*session // by the number in the cookie
	tried time.Time           // the second that tries are counted in
	tries map[string]int      // by client
}

type session struct {
	token string
	used  time.Time
}

func newSessions() *sessions { return &sessions{now: time.Now, of: map[string]*session{}} }

// mayTry counts a try of a token by a client, and reports whether it may be made.
func (s *sessions) mayTry(client string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if second := s.now().Truncate(time.Second); !second.Equal(s.tried) {
		s.tried, s.tries = second, map[string]int{}
	}
	if s.tries[client] == 0 && len(s.tries) == maxTriers {
		return false
	}
	s.tries[client]++
	return s.tries[client] <= maxTries
}

// begin makes a session of a token. The one that was not used for the longest time makes
// room.
func (s *sessions) begin(token string) (id string) {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	id = hex.EncodeToString(random[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expireLocked()
	if len(s.of) >= maxSessions {
		oldest := ""
		for other, one := range s.of {
			if oldest == "" || one.used.Before(s.of[oldest].used) {
				oldest = other
			}
		}
		delete(s.of, oldest)
	}
	s.of[id] = &session{token: token, used: s.now()}
	return id
}

func (s *sessions) expireLocked() {
	for id, one := range s.of {
		if s.now().Sub(one.used) > sessionIdle {
			delete(s.of, id)
		}
	}
}

// token is that of a session, which is used with that; empty: there is none.
func (s *sessions) token(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.of[id]
	if one == nil || s.now().Sub(one.used) > sessionIdle {
		delete(s.of, id)
		return ""
	}
	one.used = s.now()
	return one.token
}

func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.of, id)
}

// sessionOf is the number that the cookie of a request has; empty: it has none, or is one
// that a page of another origin has the browser send. Pages of http.origins have tokens of
// their own.
func sessionOf(r *http.Request) string {
	cookie, err := r.Cookie(cookieName(r))
	if err != nil || !fromOwnPage(r) {
		return ""
	}
	return cookie.Value
}

// cookieName has the port, for a browser sends cookies of a host to all of its ports, and
// several engines may be there.
func cookieName(r *http.Request) string {
	_, port, _ := strings.Cut(strings.TrimPrefix(r.Host, "["), "]:") // of an IPv6 address
	if !strings.HasPrefix(r.Host, "[") {
		_, port, _ = strings.Cut(r.Host, ":")
	}
	return wire.SessionCookie + port
}

// fromOwnPage reports whether a request comes from a page of this origin, or from nobody's:
// an address that is typed, or a link that is followed. Browsers that do not say (no
// Sec-Fetch-Site) have an Origin with what is no plain read.
func fromOwnPage(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
		origin := r.Header.Get("Origin")
		u, err := url.Parse(origin)
		return origin == "" || err == nil && u.Host == r.Host
	}
	return r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate"
}

// login answers the page that asks for a token, and its form.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		s.loggedIn(w, r)
		return
	}
	s.people.ServeHTTP(w, r)
}

// loggedIn answers a form with a token: with a cookie, and the way back to the page that
// asked for it.
func (s *Server) loggedIn(w http.ResponseWriter, r *http.Request) {
	if !ownForm(w, r) {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	if err := r.ParseForm(); err != nil {
		bad(w, "the form: %v", err)
		return
	}
	next, token := ownAddress(r.PostForm.Get("next")), strings.TrimSpace(r.PostForm.Get("token"))
	if s.access == nil {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return
	}
	client := s.clientOf(r)
	if !s.sessions.mayTry(client) {
		w.Header().Set("Retry-After", "1")
		s.loginPage(w, r, next, "busy")
		return
	}
	if _, ok := s.access.Rights(token); !ok {
		s.log.Warn("somebody tried to log in with a token that is none", "client", client)
		s.loginPage(w, r, next, "wrong")
		return
	}
	s.setCookie(w, r, s.sessions.begin(token), int(sessionIdle.Seconds()))
	http.Redirect(w, r, next, http.StatusSeeOther)
}

// ownForm refuses forms of pages of other origins, those of http.origins included: they would
// log a person in as somebody else.
func ownForm(w http.ResponseWriter, r *http.Request) bool {
	if fromOwnPage(r) {
		return true
	}
	problem(w, http.StatusForbidden, wire.CodeCrossOrigin, "a page of another origin sent this form", "go to the page yourself")
	return false
}

// loggedOut ends a session.
func (s *Server) loggedOut(w http.ResponseWriter, r *http.Request) {
	if !ownForm(w, r) {
		return
	}
	if id := sessionOf(r); id != "" {
		s.sessions.end(id)
	}
	s.setCookie(w, r, "", -1)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *Server) setCookie(w http.ResponseWriter, r *http.Request, value string, age int) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName(r), Value: value, Path: "/", MaxAge: age,
		HttpOnly: true, Secure: encrypted(r), SameSite: http.SameSiteStrictMode,
	})
}

// ownAddress is an address of this server that may be gone to; that of the overview for any
// other.
func ownAddress(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n") {
		return "/"
	}
	return next
}

// loginPage shows the page that asks for a token.
func (s *Server) loginPage(w http.ResponseWriter, r *http.Request, next, failed string) {
	page := r.Clone(r.Context())
	page.Method, page.Body = http.MethodGet, http.NoBody
	page.URL = &url.URL{Path: "/ui/login", RawQuery: url.Values{"next": {next}, "failed": {failed}}.Encode()}
	w.Header().Set("WWW-Authenticate", `Bearer realm="gnomon"`)
	s.people.ServeHTTP(w, page)
}

// stranger answers who has no good token: with a page for a browser that opens one, and what
// that page is made of.
func (s *Server) stranger(w http.ResponseWriter, r *http.Request) {
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	page := r.URL.Path == "/" || strings.HasPrefix(r.URL.Path, "/ui/")
	switch {
	case s.people == nil || !page:
		unauthorized(w, r)
	case r.URL.Path == "/ui/login" && r.Method == http.MethodPost:
		s.loggedIn(w, r)
	case r.URL.Path == "/ui/logout" && r.Method == http.MethodPost:
		s.loggedOut(w, r)
	case reads && strings.HasPrefix(r.URL.Path, "/ui/assets/"):
		s.people.ServeHTTP(w, r)
	case r.Header.Get("Authorization") != "" || !strings.Contains(r.Header.Get("Accept"), "text/html"):
		unauthorized(w, r)
	case reads:
		s.loginPage(w, r, r.URL.RequestURI(), "")
	case r.Method == http.MethodPost: // a form of a page whose session has ended meanwhile
		s.loginPage(w, r, pageOf(r.URL.EscapedPath()), "ended")
	default:
		unauthorized(w, r)
	}
}

// pageOf is the page about a projection that has the form which is sent to a path.
func pageOf(path string) string {
	if before, _, found := strings.Cut(path, "/do/"); found {
		return before
	}
	return strings.TrimSuffix(path, "/bundle")
}
