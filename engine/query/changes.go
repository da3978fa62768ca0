package query

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"time"

	"gnomon/engine"
	"gnomon/engine/query/wire"
	"gnomon/engine/state"
)

// changes answers which keys differ between two points of a projection's history, a page of
// them in key order, with their values at both; and how many there are.
func (s *Server) changes(w http.ResponseWriter, r *http.Request, name string) {
	if !allowed(w, r, http.MethodGet) {
		return
	}
	q, ok := parameters(w, r, "from", "to", "replay", "prefix", "prefix_b64", "after", "after_b64", "limit")
	if !ok {
		return
	}
	sp, ok := spanOf(w, q)
	if !ok {
		return
	}
	from, to, ok := endsOf(w, q)
	if !ok {
		return
	}
	place, ok := s.take(w, r, s.pages)
	if !ok {
		return
	}
	defer place.shrink(0)
	b, err := s.engine.Between(r.Context(), name, from, to)
	if err != nil {
		failed(w, err)
		return
	}
	setAsOf(w, wire.OfReading(b.To))
	page, err := changedPage(r.Context(), name, b, sp, s.pageTime)
	if err != nil {
		failed(w, err)
		return
	}
	place.sendMade(w, page)
}

// endsOf reads the two points of a comparison; a zero to is what is served now.
func endsOf(w http.ResponseWriter, q url.Values) (from, to engine.At, ok bool) {
	replay := q.Get("replay")
	switch {
	case !q.Has("from"):
		bad(w, "from is missing: say from which sequence of the stream on, or from which time on, changes are asked for")
		return from, to, false
	case q.Has("replay") && replay != "true" && replay != "false":
		bad(w, "replay is %q: it must be true or false", replay)
		return from, to, false
	}
	if from, ok = atOf(w, "from", q.Get("from")); !ok {
		return from, to, false
	}
	from.Replay = replay == "true"
	if !q.Has("to") {
		return from, to, true
	}
	if to, ok = atOf(w, "to", q.Get("to")); ok && to == (engine.At{}) {
		bad(w, "to is 0: nothing is before the first event")
		return from, to, false
	}
	to.Replay = from.Replay
	return from, to, ok
}

// changedPage reads a bounded number of keys that differ, and counts those that follow, for a
// time. It closes what is compared, which is not held while the client takes its answer.
func changedPage(ctx context.Context, name string, b *engine.Between, sp span, most time.Duration) (wire.Changes, error) {
	defer b.Close()
	if sp.limit == 0 {
		sp.limit = defaultLimit
	}
	page := wire.Changes{Items: []wire.ChangedKey{}, ChangesSum: wire.ChangesSum{
		Projection: name, Generation: b.To.Generation, From: wire.Of(b.From.Checkpoint).Reflected(), To: wire.Of(b.To.Checkpoint).Reflected(),
	}}
	until, size, full := time.Now().Add(most), 0, false
	var last []byte // that was looked at for the page
	over := false
	err := b.Scan(ctx, state.KeyRange{Prefix: sp.prefix, After: sp.after}, func(p state.Pair) bool {
		if over = last != nil && time.Now().After(until); over {
			return false
		}
		k, differs := wire.ChangedKeyOf(p)
		bytesOf := len(k.Key) + len(k.Before) + len(k.After)
		full = full || differs && (len(page.Items) == sp.limit || len(page.Items) > 0 && size+bytesOf > maxPage)
		if differs {
			page.Counts.Count(k.Change)
		}
		switch {
		case full:
			return true
		case differs:
			k.Key = bytes.Clone(k.Key) // the values are ours
			page.Items = append(page.Items, k)
			size += bytesOf
		}
		last = append(last[:0], p.Key...)
		return true
	})
	if full || over {
		page.SetNext(last)
	}
	page.Counts.Complete = !over
	return page, err
}

// past answers how much of a projection's history can be read.
func (s *Server) past(w http.ResponseWriter, r *http.Request, name string) {
	if !allowed(w, r, http.MethodGet) {
		return
	}
	if _, ok := parameters(w, r); !ok {
		return
	}
	p, err := s.engine.Past(name)
	if err != nil {
		failed(w, err)
		return
	}
	answer(w, http.StatusOK, wire.PastOf(name, p))
}
