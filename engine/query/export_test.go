package query

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"

	"gnomon/engine/query/wire"
)

// Hurry makes a server wait otherwise than it would: for a client that does not read or
// does not send, and in Close for requests to end, and to be ended. Call it before Serve.
func (s *Server) Hurry(patience, drain, abort time.Duration) {
	s.patience, s.importPatience, s.drain, s.abort = patience, patience, drain, abort
}

// Spare is how many connections may be beyond the bound.
const Spare = spareConnections

// PacedBody is the body of a request as a handler sees it; one of an import if wait is
// not 0.
func PacedBody(w http.ResponseWriter, r *http.Request, patience, wait time.Duration) io.Reader {
	r = withPacedBody(w, r, patience)
	if wait > 0 {
		r.Body.(*pacedBody).wait(wait)
	}
	return r.Body
}

// ErrSlowBody is what such a body fails with.
var ErrSlowBody = errSlowBody

// Crowd has connections come, each of them with a request under way before the next one
// comes, and returns how many are open then.
func Crowd(limit int, all []net.Conn) (open int, refused uint64) {
	c := boundConnections(limit)
	for _, conn := range all {
		c.begin(c.came(conn))
	}
	return c.counts()
}

// AllWait reports whether no connection has a request under way.
func (s *Server) AllWait() bool {
	s.opened.mu.Lock()
	defer s.opened.mu.Unlock()
	return s.opened.waiting.Len() == len(s.opened.open)
}

// DefaultWait is how long a read waits that does not say how long.
const DefaultWait = defaultWait

// LetWait bounds how many reads may wait.
func (s *Server) LetWait(n int) { s.waiting.most = n }

// Waiting is how many reads wait.
func (s *Server) Waiting() int { return int(s.waiting.now.Load()) }

// ParseAppend reads the body of an append: one event, or several, which are not nil then.
func ParseAppend(b io.Reader) (one wire.NewEvent, several []wire.NewEvent, err error) {
	a, err := parseAppend(b)
	if a.Events != nil {
		several = append([]wire.NewEvent{}, *a.Events...)
	}
	return a.NewEvent, several, err
}

// Beat sets how often a silent watch is told that it is connected. Call it before Serve.
func (s *Server) Beat(every time.Duration) { s.beat = every }

// LookEvery has a server look at the status of projections as often as that for those who
// follow it. Call it before Serve.
func (s *Server) LookEvery(every time.Duration) { s.statuses.every = every }

// Followers is how many follow the status of projections.
func (s *Server) Followers() int {
	s.statuses.mu.Lock()
	defer s.statuses.mu.Unlock()
	return s.statuses.followers
}

// Watches is how many there are.
func (s *Server) Watches() int { return int(s.watches.now.Load()) }

// MaxStreams is how many requests one connection of HTTP/2 has under way at most.
const MaxStreams = maxStreams

// ConnectionOf tells the connection that a request came on from others.
func ConnectionOf(ctx context.Context) any { return ctx.Value(connectionKey{}) }

// Crowded has a server give as much room to values and to pages, and to streams of rows, as
// for so many, and wait for that only for a while.
func (s *Server) Crowded(n int, wait time.Duration) {
	s.gets, s.pages, s.explains, s.streams = newRoom(int64(n)*getBytes, getBytes), newRoom(int64(n)*pageBytes, pageBytes), newRoom(int64(n)*pageBytes, pageBytes), make(rowStreams, n)
	s.roomPatience = wait
}

// LetTake bounds how long a page is looked for, and a stream of rows goes on.
func (s *Server) LetTake(page, stream time.Duration) { s.pageTime, s.streamTime = page, stream }

// HeldWriter is a writer of an answer that is held until the client has taken all of it.
func HeldWriter(w http.ResponseWriter, patience time.Duration, bytes int) io.Writer {
	p := newPaced(w, patience)
	hurry(p, bytes)
	return p
}
