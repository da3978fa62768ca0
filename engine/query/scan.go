package query

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"gnomon/engine"
	"gnomon/engine/query/wire"
)

const (
	defaultLimit = 100
	maxLimit     = 10_000
	maxPage      = 4 << 20 // bytes of keys and values; a page has at least one row
	// slowClient is how long a client may take for a part of a stream of rows.
	slowClient = 30 * time.Second
	rowsHeader = "Gnomon-Rows"
)

// span is the part of the keys that a request asks for.
type span struct {
	prefix, after []byte
	limit         int
}

func (s *Server) scan(w http.ResponseWriter, r *http.Request, name string) {
	if !allowed(w, r, http.MethodGet) {
		return
	}
	q, ok := parameters(w, r, "prefix", "prefix_b64", "after", "after_b64", "limit")
	if !ok {
		return
	}
	sp, ok := spanOf(w, q)
	if !ok {
		return
	}
	reading := s.reading(w, r, name)
	if reading == nil {
		return
	}
	defer reading.Close()
	if strings.Contains(r.Header.Get("Accept"), "application/x-ndjson") {
		s.stream(w, r, reading, sp)
		return
	}
	page(w, name, reading, sp)
}

// spanOf reads the parameters of a scan. Keys are bytes: percent-encoded, or as
// base64.
func spanOf(w http.ResponseWriter, q url.Values) (sp span, ok bool) {
	for _, p := range []struct {
		name string
		dst  *[]byte
	}{{"prefix", &sp.prefix}, {"after", &sp.after}} {
		*p.dst = []byte(q.Get(p.name))
		if text := q.Get(p.name + "_b64"); text != "" {
			b, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				bad(w, "%s_b64: %v", p.name, err)
				return sp, false
			}
			*p.dst = b
		}
	}
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxLimit {
			bad(w, "limit is %q: it must be between 1 and %d", text, maxLimit)
			return sp, false
		}
		sp.limit = n
	}
	return sp, true
}

// page answers with a bounded number of rows, and where to go on.
func page(w http.ResponseWriter, name string, reading *engine.Reading, sp span) {
	if sp.limit == 0 {
		sp.limit = defaultLimit
	}
	items := []wire.Row{}
	size, more := 0, false
	err := reading.Scan(sp.prefix, sp.after, func(key, value []byte) bool {
		if more = len(items) == sp.limit || len(items) > 0 && size+len(key)+len(value) > maxPage; more {
			return false
		}
		items = append(items, wire.Row{Key: bytes.Clone(key), Value: bytes.Clone(value)})
		size += len(key) + len(value)
		return true
	})
	if err != nil {
		failed(w, err)
		return
	}
	var next []byte
	if more {
		next = items[len(items)-1].Key
	}
	answer(w, http.StatusOK, wire.MakePage(name, items, next, wire.Of(reading.Checkpoint)))
}

// stream answers with every row, one a line, all from one version. A stream that
// was cut off lacks the trailer with the number of rows.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, reading *engine.Reading, sp span) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Trailer", rowsHeader)
	if r.Method == http.MethodHead {
		return
	}
	control := http.NewResponseController(w)
	out := bufio.NewWriterSize(w, 64<<10)
	rows := 0
	var werr error
	err := reading.Scan(sp.prefix, sp.after, func(key, value []byte) bool {
		if rows%1024 == 0 {
			_ = control.SetWriteDeadline(time.Now().Add(slowClient)) // not every writer has one
		}
		line, err := wire.Marshal(wire.Row{Key: key, Value: value})
		if err == nil {
			_, err = out.Write(append(line, '\n'))
		}
		werr = err
		rows++
		return werr == nil && r.Context().Err() == nil && rows != sp.limit
	})
	if werr == nil {
		werr = out.Flush()
	}
	if err != nil || werr != nil || r.Context().Err() != nil {
		s.log.Warn("stream of rows was cut off", "rows", rows, "error", firstOf(err, werr, r.Context().Err()))
		panic(http.ErrAbortHandler)
	}
	w.Header().Set(rowsHeader, strconv.Itoa(rows))
	_ = control.SetWriteDeadline(time.Time{})
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
