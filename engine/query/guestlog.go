package query

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"gnomon/engine/guest"
	"gnomon/engine/query/wire"
)

// Logs have the last lines that guests logged. *guest.Logs implements it.
type Logs interface {
	// Lines returns those of a projection that are kept and come after a number, oldest
	// first, and a channel that is closed when there is another one.
	Lines(projection string, after uint64) (lines []guest.KeptLine, another <-chan struct{})
	// Forget drops those of a projection that was removed.
	Forget(projection string)
}

// logPause is how long lines are collected that follow each other: a guest may write very
// many.
const logPause = 200 * time.Millisecond

// guestLog answers with the last lines of a projection's guests: as one page, or, for who
// accepts text/event-stream, as server-sent events, one a line, until the client goes.
func (s *Server) guestLog(w http.ResponseWriter, r *http.Request, name string) {
	if !allowed(w, r, http.MethodGet) {
		return
	}
	q, ok := parameters(w, r, "after", "level")
	if !ok {
		return
	}
	after, ok := number(w, q, "after", 0, 0, 1<<64-1)
	if !ok {
		return
	}
	least := slog.LevelDebug - 4
	if text := q.Get("level"); text != "" {
		if err := least.UnmarshalText([]byte(text)); err != nil {
			bad(w, "level is %q: use debug, info, warn or error", text)
			return
		}
	}
	name, _, _ = strings.Cut(name, "@") // a line names its generation
	if _, err := s.engine.Status(name); err != nil {
		failed(w, err)
		return
	}
	if s.logs == nil {
		problem(w, http.StatusNotImplemented, wire.CodeNotAvailable, "this server keeps no lines of guests", "")
		return
	}
	w.Header().Add("Vary", "Accept")
	if strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		s.followLog(w, r, name, after, least)
		return
	}
	page, _ := s.logPage(name, after, least)
	answer(w, http.StatusOK, page)
}

// logPage is what is kept after a line, and what tells of another one.
func (s *Server) logPage(name string, after uint64, least slog.Level) (wire.GuestLog, <-chan struct{}) {
	kept, another := s.logs.Lines(name, after)
	page := wire.GuestLog{Projection: name, Lines: []wire.LogLine{}, Next: after}
	for i, k := range kept {
		if i == 0 && k.Number <= after { // they are numbered anew
			after = 0
		}
		if i == 0 && k.Number > after+1 {
			page.Dropped = k.Number - after - 1
		}
		if page.Next = k.Number; slog.Level(k.Level) >= least {
			page.Lines = append(page.Lines, wire.LogLineOf(k))
		}
	}
	return page, another
}

// followLog sends lines as they are logged. One that the client was not told of in time is
// counted in an event of its own.
func (s *Server) followLog(w http.ResponseWriter, r *http.Request, name string, after uint64, least slog.Level) {
	if last, err := strconv.ParseUint(r.Header.Get("Last-Event-ID"), 10, 64); err == nil { // of a client that connects anew
		after = last
	}
	out := &watchWriter{s.newEventWriter(w, r)}
	if r.Method == http.MethodHead {
		out.header()
		return
	}
	ctx, end, ok := s.beginWatch(w, r)
	if !ok {
		return
	}
	defer end()
	out.begin()
	for first := true; ; first = false {
		page, another := s.logPage(name, after, least)
		if first {
			page.Dropped = 0
		}
		after = page.Next
		_, gone := s.engine.Status(name)
		switch {
		case gone != nil:
			out.end(gone)
			return
		case !s.mayStill(r):
			out.end(errRevoked)
			return
		case out.logLines(page) != nil: // the client is gone
			return
		case !s.awaitLine(ctx, another):
			out.end(ctx.Err())
			return
		}
	}
}

// awaitLine waits for another line, and a moment longer for those that follow it, or until
// the client is to hear that it is still connected. It reports whether there is to be more.
func (s *Server) awaitLine(ctx context.Context, another <-chan struct{}) bool {
	beat := time.NewTimer(s.beat)
	defer beat.Stop()
	select {
	case <-another:
		beat.Reset(min(logPause, s.beat))
		select {
		case <-beat.C:
		case <-ctx.Done():
		}
	case <-beat.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// logLines writes a page as events; an empty one is a comment.
func (o *watchWriter) logLines(page wire.GuestLog) error {
	if page.Dropped > 0 {
		if err := o.put("dropped", fmt.Appendf(nil, `{"dropped":%d}`, page.Dropped)); err != nil {
			return err
		}
	}
	for _, line := range page.Lines {
		b, err := wire.Marshal(line)
		if err != nil {
			return err
		}
		if err := o.put("line", b, strconv.FormatUint(line.Number, 10)); err != nil {
			return err
		}
	}
	if len(page.Lines) == 0 {
		if err := o.comment(); err != nil {
			return err
		}
	}
	return o.flush()
}
