package query

import (
	"net/http"
	"slices"
	"time"
)

const (
	// slowClient is how long a client may take for a part of an answer.
	slowClient = 30 * time.Second
	partBytes  = 64 << 10
)

// paced is a ResponseWriter that gives a client time for every part of an answer. One
// that reads slowly gets all of it; one that stops reading is cut off, for otherwise it
// would hold its connection, and what is read for it, for ever.
type paced struct {
	http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration
}

func newPaced(w http.ResponseWriter, patience time.Duration) *paced {
	return &paced{w, http.NewResponseController(w), patience}
}

// renew sets the time by which the client has to have taken what is written next.
func (p *paced) renew() {
	_ = p.control.SetWriteDeadline(time.Now().Add(p.patience)) // not every writer has one
}

// Write implements http.ResponseWriter.
func (p *paced) Write(b []byte) (n int, err error) {
	for part := range slices.Chunk(b, partBytes) {
		p.renew()
		wrote, err := p.ResponseWriter.Write(part)
		if n += wrote; err != nil {
			return n, err
		}
	}
	return n, nil
}

// Unwrap lets http.ResponseController find the writer below.
func (p *paced) Unwrap() http.ResponseWriter { return p.ResponseWriter }
