package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"

	"gnomon/engine/query/wire"
)

// held is an answer that is held in memory.
type held struct {
	header, sent http.Header // sent: as it was when the answer began
	status       int
	body         bytes.Buffer

	most    int
	room    *room    // of all answers
	takes   int64    // of the room
	refused *refusal // why it is no longer held; nil: it is
}

// Header implements http.ResponseWriter.
func (h *held) Header() http.Header { return h.header }

// WriteHeader implements http.ResponseWriter. What comes after the first has no effect.
func (h *held) WriteHeader(status int) {
	if h.status == 0 {
		h.status, h.sent = status, h.header.Clone()
	}
}

// Write implements http.ResponseWriter. It fails when the answer gets too large.
func (h *held) Write(p []byte) (int, error) {
	h.WriteHeader(http.StatusOK)
	switch {
	case h.refused != nil:
	case h.body.Len()+len(p) > h.most:
		h.refuse(http.StatusRequestEntityTooLarge, wire.CodeTooLarge, fmt.Sprintf("the answer has more than %d MiB", h.most>>20), "ask for less, or with the command: it writes what it gets")
	case !h.room.take(int64(len(p))):
		h.refuse(http.StatusServiceUnavailable, wire.CodeBusy, "answers for other pages take all the memory that there is for them", "ask again in a moment")
	default:
		h.takes += int64(len(p))
		return h.body.Write(p)
	}
	return 0, errRefused
}

var errRefused = errors.New("the answer is too large to be held")

// Flush implements http.Flusher: some handlers flush what they have of a long answer.
func (h *held) Flush() {}

func (h *held) refuse(status int, code, detail, hint string) {
	h.refused = &refusal{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail, Hint: hint}
	h.body = bytes.Buffer{}
	h.release()
}

// release gives back what the answer takes of the room.
func (h *held) release() {
	h.room.give(h.takes)
	h.takes = 0
}

// releaseAfter releases when a request has ended. One without an end has none to wait for.
func (h *held) releaseAfter(ctx context.Context) {
	if ctx.Done() == nil {
		h.release()
		return
	}
	context.AfterFunc(ctx, h.release)
}

// room is the memory that all answers have.
type room struct{ left atomic.Int64 } // bytes

func newRoom(bytes int64) *room {
	r := new(room)
	r.give(bytes)
	return r
}

func (r *room) take(bytes int64) bool {
	if r.left.Add(-bytes) >= 0 {
		return true
	}
	r.give(bytes)
	return false
}

func (r *room) give(bytes int64) { r.left.Add(bytes) }

// response is the answer as a client gets it.
func (h *held) response(r *http.Request, whole bool) *http.Response {
	var body io.Reader = &h.body
	length := int64(h.body.Len())
	if !whole {
		body, length = io.MultiReader(body, broken{r.Context()}), -1
	}
	return responseOf(r, h.status, h.sent, body, length)
}

func responseOf(r *http.Request, status int, h http.Header, body io.Reader, length int64) *http.Response {
	return &http.Response{
		Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: io.NopCloser(body), ContentLength: length, Request: r,
	}
}

// broken is the end of an answer that was cut off.
type broken struct{ ctx context.Context }

// Read implements io.Reader.
func (b broken) Read([]byte) (int, error) { return 0, cutOff(b.ctx) }

// refusal is what stands in for an answer that cannot be held.
type refusal wire.Problem

func (p *refusal) response(r *http.Request) (*http.Response, error) {
	b, err := json.Marshal((*wire.Problem)(p))
	return responseOf(r, p.Status, http.Header{"Content-Type": {"application/problem+json"}}, bytes.NewReader(b), int64(len(b))), err
}
