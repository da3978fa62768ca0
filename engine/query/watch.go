package query

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"gnomon/engine"
	"gnomon/engine/query/wire"
	"gnomon/engine/state"
)

const (
	// watchBeat is how often a client hears that it is still connected. It is shorter than
	// the minute after which many proxies end a silent connection.
	watchBeat = 15 * time.Second
	// watchAgain is how long a client waits before it connects anew.
	watchAgain = 2 * time.Second
)

// watches bounds how many there are at once.
type watches struct {
	now  atomic.Int64
	most int // 0: any number
}

func (w *watches) begin() bool {
	if n := w.now.Add(1); w.most > 0 && n > int64(w.most) {
		w.now.Add(-1)
		return false
	}
	return true
}

func (w *watches) end() { w.now.Add(-1) }

// errRevoked ends a watch whose client may no longer read.
var errRevoked = errors.New("the token is no longer good for this")

// watch answers with the state and what changes, until the client goes: as server-sent
// events (the HTML standard, section 9.2), or as JSON, one event a line.
func (s *Server) watch(w http.ResponseWriter, r *http.Request, name string) {
	if !allowed(w, r, http.MethodGet) {
		return
	}
	q, ok := parameters(w, r, "prefix", "prefix_b64", "from")
	if !ok {
		return
	}
	sp, ok := spanOf(w, q)
	if !ok {
		return
	}
	from := q.Get("from")
	if again, ok := r.Header["Last-Event-Id"]; ok { // of a client that connects anew
		from = again[0]
	}
	at, err := state.ParseBookmark(from)
	if err != nil {
		bad(w, "from: %v", err)
		return
	}
	w.Header().Add("Vary", "Accept")
	out := &watchWriter{s.newEventWriter(w, r)}
	out.lines = strings.Contains(r.Header.Get("Accept"), "application/x-ndjson")
	if r.Method == http.MethodHead {
		if _, err := s.engine.Status(name); err != nil {
			failed(w, err)
			return
		}
		out.header()
		return
	}
	ctx, end, ok := s.beginWatch(w, r)
	if !ok {
		return
	}
	defer end()
	err = s.engine.Watch(ctx, name, engine.WatchOptions{Prefix: sp.prefix, From: at, Beat: s.beat}, out.event)
	out.end(err)
}

// watchWriter writes the events of a watch to a client.
type watchWriter struct{ *eventWriter }

// event is handed the events of a watch. Keys are sent when there are many, or with the
// position after them.
func (o *watchWriter) event(e engine.WatchEvent) error {
	if err := o.write(e); err != nil {
		o.broken = err
		return err
	}
	switch e.Kind {
	case engine.WatchSnapshot, engine.WatchChange:
		return nil
	case engine.WatchPosition, engine.WatchIdle:
		if !o.server.mayStill(o.request) {
			return errRevoked
		}
	}
	return o.flush()
}

// write writes an event. One that begins a snapshot, or another generation, takes the id
// back that the client would go on from: with a part of these it has to begin anew.
func (o *watchWriter) write(e engine.WatchEvent) error {
	if e.Kind == engine.WatchIdle && !o.lines {
		return o.comment()
	}
	b, err := wire.Marshal(wire.Watched{WatchEvent: e})
	if err != nil {
		return err
	}
	switch e.Kind {
	case engine.WatchPosition:
		return o.put(string(e.Kind), b, e.Bookmark.String())
	case engine.WatchReset, engine.WatchGeneration:
		return o.put(string(e.Kind), b, "")
	}
	return o.put(string(e.Kind), b)
}

// end tells the client why there is no more.
func (o *watchWriter) end(err error) {
	told := o.eventWriter.end(err, func(reason string) error {
		return o.write(engine.WatchEvent{Kind: engine.WatchEnd, Reason: reason})
	})
	if told && !errors.Is(err, engine.ErrWatchEnded) && o.server.closing.Err() == nil {
		o.server.log.Warn("watch ended", "path", o.request.URL.Path, "error", err)
	}
}

// mayStill reports whether the client of a request may still do what it does: tokens can be
// taken back, but who comes another way than over HTTP has none.
func (s *Server) mayStill(r *http.Request) bool {
	if r.Context().Value(elsewhereKey{}) != nil {
		return true
	}
	again, ok := s.identify(r)
	return ok && needOf(r).granted(rightsOf(again))
}
