package query

import (
	"time"

	"gnomon/engine"
)

// Sample takes a sample as the clock of a server that serves does.
func (s *Server) Sample(all []engine.Status, now time.Time) { s.samples.take(all, now) }
