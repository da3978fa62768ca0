package client

import (
	"context"
	"io"
	"net/http"
)

const (
	// mostHeld bounds one answer: a bundle has a module in it, a page of rows 4 MiB.
	mostHeld = 64 << 20
	// heldRoom bounds all answers that are held at once.
	heldRoom = 256 << 20
)

// Direct makes a client of a handler in the same process, such as what a server guards.
// Requests are served while the caller waits, in its context: with whatever that says of
// who asks. An answer is held in memory until it is complete, so that what does not end,
// such as Watch, is not for it. One of more than 64 MiB fails with a *wire.Problem of the
// code too-large. All of them have 256 MiB, in which an answer counts until its request's
// context is done, for as long may what was made of it be in use; beyond that they fail
// with the code busy.
func Direct(h http.Handler) *Client { return directly(h, mostHeld, heldRoom) }

func directly(h http.Handler, most int, room int64) *Client {
	return &Client{base: "http://localhost", shown: "the engine", http: &http.Client{Transport: direct{h, most, newRoom(room)}}}
}

type direct struct {
	handler http.Handler
	most    int
	room    *room
}

// RoundTrip implements http.RoundTripper.
func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	in.Host = r.URL.Host
	if in.Body == nil {
		in.Body = http.NoBody
	}
	out := &held{header: http.Header{}, most: d.most, room: d.room}
	defer out.releaseAfter(r.Context())
	whole := serve(d.handler, out, in)
	if out.refused != nil {
		return out.refused.response(r)
	}
	if !whole && out.status == 0 {
		return nil, cutOff(r.Context())
	}
	out.WriteHeader(http.StatusOK) // unless it has one
	return out.response(r, whole), nil
}

// serve reports whether a handler answered with all that it meant to. One that gave up in
// the midst of its answer ends a connection by that, and here the answer only.
func serve(h http.Handler, w http.ResponseWriter, r *http.Request) (whole bool) {
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler {
				panic(p)
			}
			whole = false
		}
	}()
	h.ServeHTTP(w, r)
	return true
}

// cutOff is why an answer is not whole.
func cutOff(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}
