package query_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gnomon/engine/query"
	"gnomon/engine/query/wire"
)

const traceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// What an append is traced by its events are traced by, too; what is malformed is as good as
// absent (https://www.w3.org/TR/trace-context/).
func TestAppendPassesTheTraceOn(t *testing.T) {
	r := newRig(t, "").start()
	for _, tt := range []struct {
		parent, state string
		want          wire.Trace
	}{
		{"", "", wire.Trace{}},
		{traceParent, "", wire.Trace{Parent: traceParent}},
		{traceParent, "a=b,c=d", wire.Trace{Parent: traceParent, State: "a=b,c=d"}},
		{traceParent, strings.Repeat("a", 513), wire.Trace{Parent: traceParent}},
		{"cc" + traceParent[2:] + "-of-a-later-version", "", wire.Trace{Parent: "cc" + traceParent[2:] + "-of-a-later-version"}},
		{"", "a=b", wire.Trace{}},
		{traceParent + "-more", "a=b", wire.Trace{}},
		{"ff" + traceParent[2:], "", wire.Trace{}},
		{strings.ToUpper(traceParent), "", wire.Trace{}},
		{"00-" + strings.Repeat("0", 32) + traceParent[35:], "", wire.Trace{}},
		{traceParent[:36] + strings.Repeat("0", 16) + "-01", "", wire.Trace{}},
		{traceParent[:54], "", wire.Trace{}},
		{"cc" + traceParent[2:] + "-" + strings.Repeat("x", 100), "", wire.Trace{}},
	} {
		for _, body := range []string{`{"subject":"x"}`, `{"events":[{"subject":"x"},{"subject":"y"}]}`} {
			r.appender.event, r.appender.events = wire.NewEvent{}, nil
			if a := r.ask("POST", "/v1/streams/S/events", body, "traceparent", tt.parent, "tracestate", tt.state); a.StatusCode/100 != 2 {
				t.Fatal(a)
			}
			appended := r.appender.events
			if appended == nil {
				appended = []wire.NewEvent{r.appender.event}
			}
			for _, e := range appended {
				if e.Trace != tt.want {
					t.Errorf("%s %s: %+v, want %+v", tt.parent, tt.state, e.Trace, tt.want)
				}
			}
		}
	}
}

// A client that is known may be traced, by what openapi.json calls what it asks for, and the
// request goes on as that says. Who has no token, or is a page of another site, is not, and
// neither are those who ask how the engine is.
func TestTracedRequests(t *testing.T) {
	var traced []string
	r := newRigWith(t, query.Options{Access: admin(t, "a-token-of-the-tests"), Traced: func(next http.Handler, route func(*http.Request) string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			traced = append(traced, r.Method+" "+route(r))
			r.Header.Set("traceparent", traceParent)
			next.ServeHTTP(w, r)
		})
	}}).start()
	for _, tt := range []struct{ method, path, from, want string }{
		{"POST", "/v1/streams/S/events", "", "POST /v1/streams/{stream}/events"},
		{"GET", "/v1/projections/p/state/a/b", "", "GET /v1/projections/{projection}/state/{key}"},
		{"GET", "/v1/made-up/by/somebody", "", "GET other"},
		{"GET", "/v1/projections", "https://evil.example", ""},
		{"GET", "/healthz", "", ""},
	} {
		traced = nil
		a := r.ask(tt.method, tt.path, `{"subject":"x"}`, "Authorization", "Bearer a-token-of-the-tests", "Origin", tt.from)
		if got := strings.Join(traced, ", "); got != tt.want {
			t.Errorf("%s is traced as %q, want %q: %s", tt.path, got, tt.want, a)
		}
	}
	if r.appender.event.Trace.Parent != traceParent {
		t.Errorf("the event is traced by %+v", r.appender.event.Trace)
	}
	traced = nil
	for _, path := range []string{"/v1/projections", "/ui/login", "/"} {
		if r.ask("GET", path, "", html()...); len(traced) > 0 {
			t.Errorf("a stranger made a trace of %q", traced)
		}
	}
}

// A client that takes its answer slowly is given as long when it is traced.
func TestTracedAnswersAreHurried(t *testing.T) {
	p := query.NewPaced(httptest.NewRecorder())
	if query.PacedOf(struct{ http.ResponseWriter }{p}) != nil || query.PacedOf(wraps{p}) != p || query.PacedOf(p) != p {
		t.Error("the writer is not found through what wraps it")
	}
}

// wraps is a writer around another one.
type wraps struct{ http.ResponseWriter }

func (w wraps) Unwrap() http.ResponseWriter { return w.ResponseWriter }
