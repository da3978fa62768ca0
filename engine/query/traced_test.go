package query_test

import (
	"net/http"
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

// What traces requests stands before everything else, and may change what they are traced by.
func TestTracedRequests(t *testing.T) {
	r := newRigWith(t, query.Options{Traced: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("traceparent", traceParent)
			next.ServeHTTP(w, r)
		})
	}}).start()
	if a := r.ask("POST", "/v1/streams/S/events", `{"subject":"x"}`); a.StatusCode != 201 || r.appender.event.Trace.Parent != traceParent {
		t.Errorf("%s: %+v", a, r.appender.event)
	}
}
