package dashboard_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"gnomon/engine"
	"gnomon/engine/query"
	"gnomon/engine/query/dashboard"
)

// through are the pages of an engine, of whose API other answers some requests.
func (o *operated) through(other func(http.ResponseWriter, *http.Request) bool) http.Handler {
	api := query.New(query.Options{Engine: o.engine, Version: "test", Log: slog.New(slog.DiscardHandler)})
	return dashboard.New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !other(w, r) {
			api.ServeHTTP(w, r)
		}
	}), "test")
}

// The page of dead letters does not wait for states of the past that take long: it leads to
// them.
func TestLettersDoNotWaitForThePast(t *testing.T) {
	t.Parallel()
	var events []string
	for i := range 30 {
		events = append(events, fmt.Sprintf("k%02d", i), "poison")
	}
	o := operate(t, engine.Quarantine, events...)
	o.until("all failed", func(s engine.Status) bool { return s.Aside.Letters == 30 })
	var past atomic.Int64
	pages := o.through(func(_ http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/state/") {
			return false
		}
		past.Add(1)
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	})
	w := httptest.NewRecorder()
	pages.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", at+"/dead-letters", nil))
	if n := past.Load(); w.Code != 200 || n != 1 {
		t.Errorf("%d, after %d reads of the past: %s", w.Code, n, said(w.Body.String()))
	}
	if n := strings.Count(w.Body.String(), "&amp;at="); n != 25 {
		t.Errorf("%d of 25 events lead to the state before them", n)
	}
}

// A question is asked though the answer that it says more with is cut off.
func TestQuestionsWithoutACount(t *testing.T) {
	t.Parallel()
	o := operate(t, "", "a", "1")
	o.candidate()
	pages := o.through(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/diff") {
			panic(http.ErrAbortHandler)
		}
		return false
	})
	for path, want := range map[string]string{"/do/promote": "was not counted", "/generations?compare=1": "unexpected EOF"} {
		w := httptest.NewRecorder()
		pages.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", at+path, nil))
		if w.Code != 200 || !strings.Contains(said(w.Body.String()), want) {
			t.Errorf("%s: %d, %s", path, w.Code, said(w.Body.String()))
		}
	}
}
