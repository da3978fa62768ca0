package service

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"gnomon/engine"
	"gnomon/engine/query/wire"
)

// reply is what comes of a request.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (a reply) failed() bool { return a.status >= 300 }

// failure returns the stable code of an error, and its text.
func (a reply) failure() (code, text string) {
	var p wire.Problem
	if json.Unmarshal(a.body, &p) != nil || p.Code == "" {
		return wire.CodeInternal, http.StatusText(a.status)
	}
	return p.Code, p.Detail
}

// problem is the reply that is an error.
func problem(status int, code, detail, hint string) reply {
	p := wire.Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail, Hint: hint}
	body, _ := json.Marshal(p) // strings and numbers only
	return reply{status, http.Header{"Content-Type": {"application/problem+json"}}, body}
}

// longest is how much of an error's text is told in a header, in bytes.
const longest = 1 << 10

// message is the reply as a message: the headers that say what it reflects, those of an
// error of a NATS service, and the body.
func (a reply) message() *nats.Msg {
	m := nats.NewMsg("")
	m.Data = a.body
	for name, values := range a.header {
		if name == "Content-Type" || strings.HasPrefix(name, own) {
			m.Header[name] = values
		}
	}
	if a.failed() {
		code, text := a.failure()
		m.Header.Set(micro.ErrorCodeHeader, code)
		m.Header.Set(micro.ErrorHeader, oneLine(text))
	}
	return m
}

// oneLine makes of a text what a header may hold.
func oneLine(text string) string {
	text = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, text[:min(len(text), longest)])
	return strings.ToValidUTF8(strings.TrimSpace(text), "")
}

// size is how large a message is for the server: headers and body.
func size(m *nats.Msg) int {
	n := len("NATS/1.0\r\n\r\n") + len(m.Data)
	for name, values := range m.Header {
		for _, v := range values {
			n += len(name) + len(": ") + len(v) + len("\r\n")
		}
	}
	return n
}

// ask has a request answered. A page that is too large for a message is asked for again,
// with fewer rows: where it ends it says how to go on.
func (s *Service) ask(r *request) reply {
	for {
		a := s.once(r)
		if !r.paged || a.failed() || size(a.message()) <= s.maxPayload() {
			return a
		}
		rows := a.rows()
		if rows < 2 {
			return a
		}
		r.query.Set("limit", strconv.Itoa(rows/2))
	}
}

// rows is how many rows a page has.
func (a reply) rows() int {
	var page struct {
		Items []json.RawMessage `json:"items"`
	}
	if json.Unmarshal(a.body, &page) != nil {
		return 0
	}
	return len(page.Items)
}

// once has a request answered.
func (s *Service) once(r *request) reply {
	ctx := s.ctx
	if r.waits() || r.past() {
		ctx = s.wait
	}
	if r.past() {
		limited, cancel := context.WithTimeoutCause(ctx, pastPatience, fmt.Errorf("%w: over NATS it may take %s", engine.ErrReplayLimit, pastPatience))
		defer cancel()
		ctx = limited
	}
	w := &recorder{header: http.Header{}}
	if !s.handle(ctx, r, w) {
		return failedOnIt()
	}
	return w.reply()
}

func failedOnIt() reply {
	return problem(http.StatusInternalServerError, wire.CodeInternal, "the engine failed on this request", "see its log")
}

// handle has a request answered by what answers those of HTTP. It reports whether that went
// to its end.
func (s *Service) handle(ctx context.Context, r *request, w http.ResponseWriter) (ok bool) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("request over NATS panicked", "path", r.path, "panic", p, "stack", string(debug.Stack()))
			ok = false
		}
	}()
	h, err := http.NewRequestWithContext(ctx, r.method, r.target(), bytes.NewReader(r.body))
	if err != nil {
		a := problem(http.StatusBadRequest, wire.CodeBadRequest, err.Error(), "")
		maps.Copy(w.Header(), a.header)
		w.WriteHeader(a.status)
		_, _ = w.Write(a.body)
		return true
	}
	h.RequestURI = r.target()
	if r.watch {
		h.Header.Set("Accept", "application/x-ndjson")
	}
	s.reads.ServeHTTP(w, h)
	return true
}

// recorder keeps an answer of HTTP.
type recorder struct {
	status int
	header http.Header
	body   bytes.Buffer
}

// reply is what was answered.
func (w *recorder) reply() reply {
	w.WriteHeader(http.StatusOK)
	return reply{w.status, w.header, w.body.Bytes()}
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}
