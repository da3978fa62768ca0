package query

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"time"
)

const (
	// slowClient is how long a client may take for a part of an answer, or of a body.
	slowClient = 30 * time.Second
	partBytes  = 64 << 10
	// slowImport is how long an import may have nothing to send: what it is made from may
	// come in as it happens.
	slowImport = 10 * time.Minute
)

// paced is a ResponseWriter that gives a client time for every part of an answer. One
// that reads slowly gets all of it; one that stops reading is cut off, for otherwise it
// would hold its connection, and what is read for it, for ever.
type paced struct {
	http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration
	code     int       // of the answer; 0: none was written, which is 200
	end      time.Time // by which the client has to have taken everything; zero: there is none
}

func newPaced(w http.ResponseWriter, patience time.Duration) *paced {
	return &paced{ResponseWriter: w, control: http.NewResponseController(w), patience: patience}
}

// pacedOf is the one that a writer hands on to; nil: there is none, as of an answer in the
// same process.
func pacedOf(w http.ResponseWriter) *paced {
	for {
		switch is := w.(type) {
		case *paced:
			return is
		case interface{ Unwrap() http.ResponseWriter }:
			w = is.Unwrap()
		default:
			return nil
		}
	}
}

// renew sets the time by which the client has to have taken what is written next.
func (p *paced) renew() {
	by := time.Now().Add(p.patience)
	if !p.end.IsZero() && p.end.Before(by) {
		by = p.end
	}
	_ = p.control.SetWriteDeadline(by) // not every writer has one
}

// WriteHeader implements http.ResponseWriter.
func (p *paced) WriteHeader(code int) {
	if p.code == 0 && code >= http.StatusOK {
		p.code = code
	}
	p.ResponseWriter.WriteHeader(code)
}

// status is that of the answer.
func (p *paced) status() int { return cmp.Or(p.code, http.StatusOK) }

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

// FlushError sends what was written (http.ResponseController).
func (p *paced) FlushError() error {
	p.renew()
	return p.control.Flush()
}

// Unwrap lets http.ResponseController find the writer below.
func (p *paced) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// pacedBody is the body of a request whose client has some time for every part of it.
// What the handler does between two reads does not count.
type pacedBody struct {
	io.ReadCloser
	control  *http.ResponseController
	patience time.Duration
	part     int // bytes that renew the time

	left time.Duration // for this part
	got  int           // of it
	err  error         // its end, or errSlowBody
}

// errSlowBody says that a client did not send what it was to.
var errSlowBody = errors.New("the body came too slowly")

// withPacedBody is a request with its body paced. What the handler leaves unread, the server
// reads before it answers, in half the time: the other half is for the answer.
func withPacedBody(w http.ResponseWriter, r *http.Request, patience time.Duration) *http.Request {
	if r.Body == nil || r.Body == http.NoBody {
		return r
	}
	b := &pacedBody{ReadCloser: r.Body, control: http.NewResponseController(w), patience: patience, part: partBytes, left: patience}
	b.until(time.Now().Add(patience / 2))
	r = r.WithContext(r.Context()) // a copy: the server looks at its own
	r.Body = b
	return r
}

// leaveBody is called when the handler reads no more.
func leaveBody(r *http.Request, patience time.Duration) {
	if b, ok := r.Body.(*pacedBody); ok && b.err == nil {
		b.until(time.Now().Add(patience / 2))
	}
}

// wait lets the client be silent for a time, and begin it anew with whatever it sends.
func (b *pacedBody) wait(patience time.Duration) {
	b.patience, b.left, b.part = patience, patience, 1
}

// Read implements io.Reader. It fails with errSlowBody. At the end of the body the server
// takes the deadline back by itself, so that none may be set after it.
func (b *pacedBody) Read(p []byte) (n int, err error) {
	if b.err != nil {
		return 0, b.err
	}
	began := time.Now()
	b.until(began.Add(b.left))
	n, err = b.ReadCloser.Read(p)
	b.left -= time.Since(began)
	if b.got += n; b.got >= b.part {
		b.got, b.left = 0, b.patience
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("%w: a client has %s for %d bytes", errSlowBody, b.patience, b.part)
	}
	b.err = err
	return n, err
}

func (b *pacedBody) until(t time.Time) { _ = b.control.SetReadDeadline(t) } // not every writer has one
