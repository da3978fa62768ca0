package query

import (
	"net/http"
	"time"
)

// Bounds of sessions.
const (
	SessionIdle = sessionIdle
	MaxSessions = maxSessions
)

// Sessions are those of people who logged in.
type Sessions struct{ s *sessions }

// NewSessions makes sessions with a clock.
func NewSessions(now func() time.Time) Sessions {
	s := newSessions()
	s.now = now
	return Sessions{s}
}

// Begin begins one.
func (s Sessions) Begin(token string) string { return s.s.begin(token) }

// Token is that of one.
func (s Sessions) Token(id string) string { return s.s.token(id) }

// MayTry counts a try.
func (s Sessions) MayTry(client string) bool { return s.s.mayTry(client) }

// Count is how many there are.
func (s Sessions) Count() int { return len(s.s.of) }

// CookieName is that of the cookie of a request.
func CookieName(r *http.Request) string { return cookieName(r) }

// StopTries stops the clock that tries of tokens are counted by, in a second without one.
func (s *Server) StopTries() {
	now := time.Now().Add(time.Hour)
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	s.sessions.now = func() time.Time { return now }
}

// NewPaced is a writer that paces a client.
func NewPaced(w http.ResponseWriter) http.ResponseWriter { return newPaced(w, time.Minute) }

// PacedOf is the one that a writer hands on to; nil: there is none.
func PacedOf(w http.ResponseWriter) http.ResponseWriter {
	if p := pacedOf(w); p != nil {
		return p
	}
	return nil
}
