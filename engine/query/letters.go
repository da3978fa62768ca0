package query

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"gnomon/engine"
	"gnomon/engine/query/wire"
	"gnomon/engine/state"
)

// Bundler makes repro bundles.
type Bundler interface {
	// Bundle returns the file for an event that a projection has set aside, or is
	// halted before. It fails with engine.ErrNoLetter when it is neither, and with
	// ErrModuleChanged when the module's file is no longer there as it was.
	Bundle(ctx context.Context, projection string, sequence uint64) ([]byte, error)
}

// ErrModuleChanged says that the file of a module is no longer the one that runs.
var ErrModuleChanged = errors.New("module was changed")

// maxLetters is how many events that were set aside a page has at most.
const maxLetters = 1000

// letters answers with a page of the events that a projection has set aside.
func (s *Server) letters(w http.ResponseWriter, r *http.Request, name string) {
	if !allowed(w, r, http.MethodGet) {
		return
	}
	q, ok := readParameters(w, r, "after", "limit")
	if !ok {
		return
	}
	after, ok := number(w, q, "after", 0, 0, 1<<64-1)
	if !ok {
		return
	}
	limit, ok := number(w, q, "limit", defaultLimit, 1, maxLetters)
	if !ok {
		return
	}
	reading := s.reading(w, r, name, q, "")
	if reading == nil {
		return
	}
	place, ok := s.take(w, r, s.pages)
	if !ok {
		reading.Close()
		return
	}
	defer place.shrink(0)
	page, err := letterPage(name, reading, after, int(limit))
	if err != nil {
		failed(w, err)
		return
	}
	place.sendMade(w, page)
}

// number reads a parameter that is a whole number.
func number(w http.ResponseWriter, q url.Values, name string, otherwise, least, most uint64) (uint64, bool) {
	text := q.Get(name)
	if text == "" {
		return otherwise, true
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n < least || n > most {
		bad(w, "%s is %q: it must be between %d and %d", name, text, least, most)
		return 0, false
	}
	return n, true
}

// letterPage reads a bounded number of letters and closes the reading, which is not
// held while the client takes its answer.
func letterPage(name string, reading *engine.Reading, after uint64, limit int) (wire.Letters, error) {
	defer reading.Close()
	items := []wire.Letter{}
	size, more := 0, false
	var bad error
	err := state.ReadLetters(reading, after, func(l state.Letter) bool {
		if more = len(items) == limit || len(items) > 0 && size+len(l.Event) > maxPage; more {
			return false
		}
		var item wire.Letter
		if item, bad = wire.LetterOf(l); bad != nil {
			bad = fmt.Errorf("event %d that was set aside: %w", l.Sequence, bad)
			return false
		}
		items = append(items, item)
		size += len(l.Event)
		return true
	})
	if err = firstOf(err, bad); err != nil {
		return wire.Letters{}, err
	}
	next := uint64(0)
	if more {
		next = items[len(items)-1].Sequence
	}
	return wire.MakeLetters(name, items, next, wire.OfReading(reading)), nil
}

// order has something done with events that were set aside, and answers when that is
// committed.
func (s *Server) order(w http.ResponseWriter, r *http.Request, name string, verb engine.Verb) {
	if !allowed(w, r, http.MethodPost) {
		return
	}
	if _, ok := parameters(w, r); !ok {
		return
	}
	var ask wire.Order
	if !body(w, r, &ask) {
		return
	}
	about, err := ask.Letters()
	if err != nil {
		bad(w, "body: %v", err)
		return
	}
	done, err := s.engine.Order(r.Context(), name, verb, about)
	if err != nil {
		failed(w, ofLetters(err, name, about))
		return
	}
	answer(w, http.StatusOK, done)
}

// ofLetters says in an error which events it is about.
func ofLetters(err error, name string, l engine.Letters) error {
	switch {
	case l.Sequence != 0:
		return fmt.Errorf("event %d of projection %s: %w", l.Sequence, name, err)
	case len(l.Key) > 0:
		return fmt.Errorf("events of key %.200q of projection %s: %w", l.Key, name, err)
	}
	return fmt.Errorf("projection %s: %w", name, err)
}

// export answers with the repro bundle of an event.
func (s *Server) export(w http.ResponseWriter, r *http.Request, name string) {
	if !allowed(w, r, http.MethodPost) {
		return
	}
	if _, ok := parameters(w, r); !ok {
		return
	}
	var ask wire.Export
	if !body(w, r, &ask) {
		return
	}
	if ask.Sequence == 0 {
		bad(w, `body: {"seq":N} is needed, the sequence of the event`)
		return
	}
	if s.bundler == nil {
		problem(w, http.StatusNotImplemented, wire.CodeNotAvailable, "this server makes no bundles", "")
		return
	}
	file, err := s.bundler.Bundle(r.Context(), name, ask.Sequence)
	if err != nil {
		failed(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/zip")
	w.Header().Set("Content-Length", strconv.Itoa(len(file)))
	_, _ = w.Write(file) // the client is gone
}
