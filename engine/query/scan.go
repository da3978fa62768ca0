package query

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
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
	rowsHeader   = "Gnomon-Rows"
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
	q, ok := readParameters(w, r, "prefix", "prefix_b64", "after", "after_b64", "limit")
	if !ok {
		return
	}
	sp, ok := spanOf(w, q)
	if !ok {
		return
	}
	lines, kind := strings.Contains(r.Header.Get("Accept"), "application/x-ndjson"), ""
	if lines {
		kind = "-lines"
	}
	reading := s.reading(w, r, name, q, kind)
	if reading == nil {
		return
	}
	if lines {
		defer reading.Close()
		if s.streams.begin(w) {
			defer s.streams.end()
			s.stream(w, r, reading, sp)
		}
		return
	}
	place, ok := s.take(w, r, s.pages)
	if !ok {
		reading.Close()
		return
	}
	defer place.shrink(0)
	p, err := page(name, reading, sp, time.Now().Add(s.pageTime))
	if err != nil {
		failed(w, err)
		return
	}
	place.sendMade(w, p)
}

// spanOf reads the parameters of a scan. Keys are bytes: percent-encoded, or as
// base64.
func spanOf(w http.ResponseWriter, q url.Values) (sp span, ok bool) {
	for _, p := range []struct {
		name string
		dst  *[]byte
	}{{"prefix", &sp.prefix}, {"after", &sp.after}} {
		if q.Has(p.name) && q.Has(p.name+"_b64") {
			bad(w, "parameters %s and %s_b64 are both given: use one of them", p.name, p.name)
			return sp, false
		}
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

// page reads a bounded number of rows, until a time, and where to go on. It closes the
// reading, which is not held while the client takes its answer.
func page(name string, reading *engine.Reading, sp span, until time.Time) (wire.Page, error) {
	defer reading.Close()
	if sp.limit == 0 {
		sp.limit = defaultLimit
	}
	items := []wire.Row{}
	size, more := 0, false
	err := reading.Scan(sp.prefix, sp.after, func(key, value []byte) bool {
		full := size+len(key)+len(value) > maxPage || time.Now().After(until)
		if more = len(items) == sp.limit || len(items) > 0 && full; more {
			return false
		}
		items = append(items, wire.Row{Key: bytes.Clone(key), Value: bytes.Clone(value)})
		size += len(key) + len(value)
		return true
	})
	if err != nil {
		return wire.Page{}, err
	}
	var next []byte
	if more {
		next = items[len(items)-1].Key
	}
	return wire.MakePage(name, items, next, wire.OfReading(reading)), nil
}

// stream answers with every row, one a line, all from one version. A stream that
// was cut off lacks the trailer with the number of rows.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, reading *engine.Reading, sp span) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Trailer", rowsHeader)
	if r.Method == http.MethodHead {
		return
	}
	out := bufio.NewWriterSize(w, 64<<10)
	ctx, cancel := context.WithTimeoutCause(r.Context(), s.streamTime, fmt.Errorf("it has taken %s: go on after its last row", s.streamTime))
	defer cancel()
	rows := 0
	var werr error
	err := reading.Scan(sp.prefix, sp.after, func(key, value []byte) bool {
		line, err := wire.Marshal(wire.Row{Key: key, Value: value})
		if err == nil {
			_, err = out.Write(append(line, '\n'))
		}
		werr = err
		rows++
		return werr == nil && ctx.Err() == nil && rows != sp.limit
	})
	if werr == nil {
		werr = out.Flush()
	}
	if err != nil || werr != nil || ctx.Err() != nil {
		s.log.Warn("stream of rows was cut off", "rows", rows, "error", firstOf(err, werr, context.Cause(ctx)))
		panic(http.ErrAbortHandler)
	}
	w.Header().Set(rowsHeader, strconv.Itoa(rows))
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
