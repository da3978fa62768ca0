package query

import "time"

// Hurry makes a server wait otherwise than it would: for a client that does not read,
// and in Close for requests to end, and to be ended. Call it before Serve.
func (s *Server) Hurry(patience, drain, abort time.Duration) {
	s.patience, s.drain, s.abort = patience, drain, abort
}
