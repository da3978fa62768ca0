package client

import (
	"bytes"
	"io"
	"net/http"
)

// Direct makes a client of a handler in the same process, such as what a server guards.
// Requests are served while the caller waits, in its context: with whatever that says of
// who asks. An answer is held in memory until it is complete, so that what does not end,
// such as Watch, is not for it.
func Direct(h http.Handler) *Client {
	return &Client{base: "http://localhost", shown: "the engine", http: &http.Client{Transport: direct{h}}}
}

type direct struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	in.Host = r.URL.Host
	if in.Body == nil {
		in.Body = http.NoBody
	}
	out := &held{header: http.Header{}}
	d.handler.ServeHTTP(out, in)
	out.WriteHeader(http.StatusOK) // unless it has one
	return &http.Response{
		Status: http.StatusText(out.status), StatusCode: out.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: out.sent, Body: io.NopCloser(&out.body), ContentLength: int64(out.body.Len()), Request: r,
	}, nil
}

// held is an answer that is held in memory.
type held struct {
	header, sent http.Header // sent: as it was when the answer began
	status       int
	body         bytes.Buffer
}

// Header implements http.ResponseWriter.
func (h *held) Header() http.Header { return h.header }

// WriteHeader implements http.ResponseWriter. What comes after the first has no effect.
func (h *held) WriteHeader(status int) {
	if h.status == 0 {
		h.status, h.sent = status, h.header.Clone()
	}
}

// Write implements http.ResponseWriter.
func (h *held) Write(p []byte) (int, error) {
	h.WriteHeader(http.StatusOK)
	return h.body.Write(p)
}

// Flush implements http.Flusher: some handlers flush what they have of a long answer.
func (h *held) Flush() {}
