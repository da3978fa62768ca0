package query

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"gnomon/engine"
	"gnomon/engine/query/access"
	"gnomon/engine/query/wire"
	"gnomon/engine/streams"
)

// Streams tells of streams as their server has them. *ingest.Source implements it.
type Streams interface {
	// Facts describes a stream.
	Facts(ctx context.Context, stream string) (streams.Facts, error)
	// SequenceAt returns the sequence of the first event stored at or after a time, or the
	// last sequence + 1 when there is none.
	SequenceAt(ctx context.Context, stream string, t time.Time) (uint64, error)
	// Events returns a stretch of a stream. All three fail with streams.ErrNoStream and
	// streams.ErrSourceDown.
	Events(ctx context.Context, q streams.Query) (streams.Page, error)
}

const (
	defaultEvents = 50
	maxPageEvents = 200
	// maxEventBytes bounds the events of a page; it has at least one in each direction.
	maxEventBytes = 1 << 20
)

// listStreams answers with the streams that projections read, as far as the client may
// read them.
func (s *Server) listStreams(w http.ResponseWriter, r *http.Request) {
	if _, ok := parameters(w, r); !ok {
		return
	}
	all := wire.Streams{Streams: []wire.StreamOf{}}
	for _, p := range s.engine.Projections() {
		if !mayReadStream(rightsOf(r), p.Stream) {
			continue
		}
		i := slices.IndexFunc(all.Streams, func(x wire.StreamOf) bool { return x.Stream == p.Stream })
		if i < 0 {
			i, all.Streams = len(all.Streams), append(all.Streams, wire.StreamOf{Stream: p.Stream, Projections: []string{}})
		}
		all.Streams[i].Last = max(all.Streams[i].Last, p.StreamLast)
		if rightsOf(r).May(access.Read, p.Projection) {
			all.Streams[i].Projections = append(all.Streams[i].Projections, p.Projection)
		}
	}
	slices.SortFunc(all.Streams, func(a, b wire.StreamOf) int { return cmp.Compare(a.Stream, b.Stream) })
	answer(w, http.StatusOK, all)
}

// streamFacts answers with what the server of a stream says of it.
func (s *Server) streamFacts(w http.ResponseWriter, r *http.Request) {
	if _, ok := parameters(w, r); !ok {
		return
	}
	facts, err := s.facts.Facts(r.Context(), r.PathValue("stream"))
	if err != nil {
		failed(w, err)
		return
	}
	answer(w, http.StatusOK, facts)
}

// events answers with events of a stream, or appends some.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		s.append(w, r)
		return
	}
	q, ok := parameters(w, r, "around", "after", "before", "subject", "limit")
	if !ok {
		return
	}
	a, ok := aroundOf(w, q)
	if !ok {
		return
	}
	a.stream = r.PathValue("stream")
	place, ok := s.take(w, r, s.pages)
	if !ok {
		return
	}
	defer place.shrink(0)
	page, err := a.read(r.Context(), s.facts)
	if err != nil {
		failed(w, err)
		return
	}
	place.sendMade(w, page)
}

// around is which events of a stream a request asks for.
type around struct {
	stream, subject string
	after, before   *uint64
	at              engine.At // neither of them: around this one; the zero value: the last ones
	limit           int
}

// aroundOf reads the parameters of a request for events.
func aroundOf(w http.ResponseWriter, q url.Values) (a around, ok bool) {
	given := 0
	for _, p := range []struct {
		name string
		to   **uint64
	}{{"after", &a.after}, {"before", &a.before}} {
		if text := q.Get(p.name); q.Has(p.name) {
			n, err := strconv.ParseUint(text, 10, 47)
			if err != nil {
				bad(w, "%s is %.80q: it must be a sequence of the stream", p.name, text)
				return a, false
			}
			*p.to = &n
			given++
		}
	}
	if text := q.Get("around"); q.Has("around") {
		n, err := strconv.ParseUint(text, 10, 47)
		if a.at.Sequence = n; err != nil {
			a.at.Time, err = time.Parse(time.RFC3339Nano, text)
		}
		if err != nil || a.at == (engine.At{}) {
			bad(w, "around is %.80q: it must be a sequence of the stream, from 1, or a time such as 2026-01-31T00:00:00Z", text)
			return a, false
		}
		given++
	}
	if given > 1 {
		bad(w, "more than one of around, after and before is given: use one of them")
		return a, false
	}
	if a.subject = q.Get("subject"); q.Has("subject") {
		if err := streams.CheckFilter(a.subject); err != nil {
			bad(w, "subject is %.80q: %v", a.subject, err)
			return a, false
		}
	}
	limit, ok := number(w, q, "limit", defaultEvents, 1, maxPageEvents)
	a.limit = int(limit)
	return a, ok
}

// read reads them.
func (a around) read(ctx context.Context, src Streams) (wire.Events, error) {
	ask := streams.Query{Stream: a.stream, Subject: a.subject, Limit: streams.ReadLimit{Events: a.limit, Bytes: maxEventBytes}}
	switch {
	case a.after != nil:
		ask.After = *a.after
		return eventsOf(src.Events(ctx, ask))
	case a.before != nil:
		ask.Before = max(*a.before, 1)
		return eventsOf(src.Events(ctx, ask))
	case a.at == engine.At{}:
		ask.Before = 1<<64 - 1
		return eventsOf(src.Events(ctx, ask))
	}
	at := a.at.Sequence
	if !a.at.Time.IsZero() {
		var err error
		if at, err = src.SequenceAt(ctx, a.stream, a.at.Time); err != nil {
			return wire.Events{}, err
		}
	}
	return a.both(ctx, src, ask, max(at, 1))
}

// both reads the events before a sequence and those from it on, half of the limit each.
func (a around) both(ctx context.Context, src Streams, ask streams.Query, at uint64) (wire.Events, error) {
	page := wire.Events{From: at}
	ask.Limit = streams.ReadLimit{Events: (a.limit + 1) / 2, Bytes: maxEventBytes / 2}
	ask.After = at - 1
	newer, err := eventsOf(src.Events(ctx, ask))
	if err != nil || at == 1 || a.limit == 1 {
		newer.Around = at
		return newer, err
	}
	ask.After, ask.Before, ask.Limit.Events = 0, at, a.limit/2
	older, err := eventsOf(src.Events(ctx, ask))
	page.From, page.Through, page.Around = older.From, newer.Through, at
	page.Events = append(older.Events, newer.Events...)
	return page, err
}

func eventsOf(p streams.Page, err error) (wire.Events, error) {
	page := wire.Events{From: p.From, Through: p.Through, Events: make([]wire.Event, 0, len(p.Events))}
	if err != nil {
		return page, err
	}
	for _, e := range p.Events {
		event, err := wire.EventOf(e)
		if err != nil {
			return page, err
		}
		page.Events = append(page.Events, event)
	}
	return page, nil
}
