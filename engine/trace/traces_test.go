package trace_test

import (
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/engine/streams"
	"gnomon/engine/trace"
	"gnomon/internal/testutil"
	"gnomon/sdk/abi"
)

const (
	traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	spanID  = "00f067aa0ba902b7"
	parent  = "00-" + traceID + "-" + spanID + "-01"
)

// chain is an engine with two projections: first reads S, and emits to T what second reads.
type chain struct {
	t    *testing.T
	nats *enginetest.Server
	own  string // traceparent that first gives what it emits itself; empty: none
	fail uint64 // sequence at which first fails; 0: none
}

func newChain(t *testing.T) *chain {
	c := &chain{t: t, nats: new(enginetest.Server)}
	c.nats.CreateFor("S", "in.>")
	c.nats.CreateFor("T", "out.>")
	return c
}

// store stores an event with headers: name, value and so on.
func (c *chain) store(headers ...string) {
	var h []byte
	for i := 0; i < len(headers); i += 2 {
		h, _ = abi.AppendHeader(h, headers[i], headers[i+1])
	}
	c.nats.Store("S", abi.Record{Subject: []byte("in.x"), Headers: h})
}

// run applies everything, and stops.
func (c *chain) run(tracer engine.Tracer) {
	c.t.Helper()
	e := engine.New(engine.Options{Source: c.nats, Store: new(enginetest.Store), Catalog: new(enginetest.Catalog), Outlet: enginetest.NewOutlet(c.nats), Tracer: tracer, Log: slog.New(slog.DiscardHandler)})
	first := enginetest.FuncModule("first", func(e abi.Record, st guest.State) error {
		if e.Sequence == c.fail {
			return enginetest.Refuse("it fails")
		}
		m := state.Emit{Subject: "out.x", Data: []byte("emitted")}
		if c.own != "" {
			m.Headers, _ = abi.AppendHeader(nil, "Traceparent", c.own)
		}
		return st.Emit(m)
	})
	first.Emits = true
	second := enginetest.FuncModule("second", func(e abi.Record, st guest.State) error { return st.Put([]byte("last"), e.Data) })
	for _, s := range []engine.Spec{
		{Name: "first", Module: first, Stream: "S", OnError: engine.Skip, Emit: engine.EmitRules{Subjects: []string{"out.>"}, History: true}},
		{Name: "second", Module: second, Stream: "T"},
	} {
		s.Batch, s.Window, s.Cache = streams.ReadLimit{Events: 100, Bytes: 1 << 20}, time.Second, 1<<20
		if _, err := e.Declare(c.t.Context(), s); err != nil {
			c.t.Fatal(err)
		}
	}
	e.Start(c.t.Context())
	in, err := c.nats.Stream(c.t.Context(), "S")
	if err != nil {
		c.t.Fatal(err)
	}
	want := in.Last
	if c.fail > 0 {
		want--
	}
	testutil.Until(c.t, func() bool {
		a, aerr := e.Status("first")
		b, berr := e.Status("second")
		return aerr == nil && berr == nil && a.Position == in.Last && b.Position == want
	})
	if err := e.Close(); err != nil {
		c.t.Error(err)
	}
}

// emitted is a header of an event that first emitted; empty: it has none.
func (c *chain) emitted(sequence uint64, header string) string {
	c.t.Helper()
	e, err := c.nats.Event(c.t.Context(), "T", sequence)
	if err != nil {
		c.t.Fatal(err)
	}
	v, _ := e.Header(header)
	return string(v)
}

// A sampled event has a span in the trace that it came with, what it emits is traced by that
// span, and so is what comes of that in another projection. Calls, commits and what is committed
// together have spans, linked with those of the events.
func TestChain(t *testing.T) {
	col, c := newCollector(t), newChain(t)
	t.Setenv("OTEL_SERVICE_NAME", "shop")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	c.store("Traceparent", parent, "tracestate", "vendor=opaque")
	c.store()
	traces := col.open()
	c.run(traces)
	if err := traces.Close(); err != nil {
		t.Fatal(err)
	}

	one := col.one("process S")
	if hex.EncodeToString(one.TraceId) != traceID || hex.EncodeToString(one.ParentSpanId) != spanID || one.TraceState != "vendor=opaque" {
		t.Errorf("the event's span is %v", one)
	}
	if got := c.emitted(1, "traceparent"); got != traceparent(one) {
		t.Errorf("what is emitted is traced by %q, want %q", got, traceparent(one))
	}
	if got := c.emitted(1, "tracestate"); got != "vendor=opaque" {
		t.Errorf("tracestate %q", got)
	}
	if got := c.emitted(2, "traceparent"); got != "" {
		t.Errorf("what a causeless event emits is traced by %q", got)
	}
	two := col.one("process T")
	if hex.EncodeToString(two.TraceId) != traceID || hex.EncodeToString(two.ParentSpanId) != hex.EncodeToString(one.SpanId) || two.TraceState != "vendor=opaque" {
		t.Errorf("the span of what was emitted is %v, below %v", two, one)
	}
	batch := col.one("batch", "gnomon.projection", "first")
	apply := col.one("apply", "gnomon.projection", "first")
	commit := col.one("commit", "gnomon.projection", "first")
	if string(apply.ParentSpanId) != string(batch.SpanId) || string(commit.ParentSpanId) != string(batch.SpanId) || !linked(apply, one) || !linked(one, apply) {
		t.Errorf("batch %v\napply %v\ncommit %v", batch, apply, commit)
	}
	got := textsOf(apply.Attributes)
	for key, want := range map[string]string{"gnomon.stream": "S", "gnomon.sequence.first": "1", "gnomon.sequence.last": "2", "gnomon.events": "2"} {
		if got[key] != want {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
	}
	if got["gnomon.generation"] == "" || col.resource["service.name"] != "shop" || col.resource["deployment.environment.name"] != "test" || col.resource["service.version"] != "v1" {
		t.Errorf("attributes %v, resource %v", got, col.resource)
	}
}

// An event has no span when it came with none, with one that is not sampled, or with one that is
// malformed; what it emits has what it came with. What a guest says itself stays.
func TestNotTraced(t *testing.T) {
	for _, tt := range []struct{ name, came, own, sampler, want string }{
		{"nothing", "", "", "", ""},
		{"not sampled", strings.TrimSuffix(parent, "01") + "00", "", "", strings.TrimSuffix(parent, "01") + "00"},
		{"too short", "00-abc-def-01", "", "", "00-abc-def-01"},
		{"zeros", "00-" + strings.Repeat("0", 32) + "-" + spanID + "-01", "", "", "00-" + strings.Repeat("0", 32) + "-" + spanID + "-01"},
		{"upper case", strings.ToUpper(parent), "", "", strings.ToUpper(parent)},
		{"the guest's own", "", "guest", "", "guest"},
		{"sampler off", parent, "", "always_off", parent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			col, c := newCollector(t), newChain(t)
			t.Setenv("OTEL_TRACES_SAMPLER", tt.sampler)
			c.own = tt.own
			if tt.came != "" {
				c.store("traceparent", tt.came)
			} else {
				c.store()
			}
			traces := col.open()
			c.run(traces)
			if err := traces.Close(); err != nil {
				t.Fatal(err)
			}
			if n := len(col.named("process S")); n != 0 {
				t.Errorf("%d spans of events", n)
			}
			if got := c.emitted(1, "traceparent"); got != tt.want {
				t.Errorf("what is emitted is traced by %q, want %q", got, tt.want)
			}
			if n := len(col.named("batch")); (n == 0) != (tt.sampler != "") {
				t.Errorf("%d spans of batches", n)
			}
		})
	}
}

// What a guest says that its event is traced by stays, though the cause is sampled.
func TestOwnTraceparent(t *testing.T) {
	col, c := newCollector(t), newChain(t)
	c.own = "00-" + strings.Repeat("a", 32) + "-" + strings.Repeat("b", 16) + "-01"
	c.store("traceparent", parent)
	traces := col.open()
	c.run(traces)
	if err := traces.Close(); err != nil {
		t.Fatal(err)
	}
	if got := c.emitted(1, "Traceparent"); got != c.own {
		t.Errorf("it is traced by %q, want %q", got, c.own)
	}
	if two := col.one("process T"); hex.EncodeToString(two.ParentSpanId) != strings.Repeat("b", 16) {
		t.Errorf("the span of what was emitted is %v", two)
	}
}

// An event that fails has a span that says so, and its batch has an attempt that says so, too.
func TestFailure(t *testing.T) {
	col, c := newCollector(t), newChain(t)
	c.fail = 2
	for range 3 {
		c.store("traceparent", parent)
	}
	traces := col.open()
	c.run(traces)
	if err := traces.Close(); err != nil {
		t.Fatal(err)
	}
	for seq := 1; seq <= 3; seq++ {
		failed := false
		for _, s := range col.named("process S", "gnomon.sequence", fmt.Sprint(seq)) {
			failed = failed || s.Status.GetCode() == otlp.Status_STATUS_CODE_ERROR && strings.Contains(s.Status.Message, "it fails")
		}
		if failed != (seq == 2) {
			t.Errorf("event %d failed: %v", seq, failed)
		}
	}
}

// What is emitted is the same in every run: the span that it is traced by is derived, not drawn.
func TestSameInEveryRun(t *testing.T) {
	var seen []string
	for range 2 {
		col, c := newCollector(t), newChain(t)
		c.store("traceparent", parent)
		c.store("traceparent", parent)
		traces := col.open()
		c.run(traces)
		if err := traces.Close(); err != nil {
			t.Fatal(err)
		}
		seen = append(seen, c.emitted(1, "traceparent")+" "+c.emitted(2, "traceparent"))
	}
	first, second, _ := strings.Cut(seen[0], " ")
	if seen[0] != seen[1] || first == second || first == parent {
		t.Errorf("traced by %q", seen)
	}
}

// Without a collector in the environment nothing is traced and nothing runs; what cannot be done
// is refused.
func TestEnvironment(t *testing.T) {
	for _, tt := range []struct {
		env  string
		on   bool
		fail string
	}{
		{"", false, ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", true, ""},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://127.0.0.1:1/v1/traces", true, ""},
		{"OTEL_TRACES_EXPORTER=otlp", true, ""},
		{"OTEL_TRACES_EXPORTER=none OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", false, ""},
		{"OTEL_SDK_DISABLED=true OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", false, ""},
		{"OTEL_EXPORTER_OTLP_PROTOCOL=grpc OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", true, ""},
		{"OTEL_EXPORTER_OTLP_PROTOCOL=http/json OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", false, `OTEL_EXPORTER_OTLP_PROTOCOL is "http/json": there are http/protobuf and grpc`},
		{"OTEL_TRACES_EXPORTER=zipkin", false, `OTEL_TRACES_EXPORTER is "zipkin": there are otlp and none`},
	} {
		t.Run(tt.env, func(t *testing.T) {
			for v := range strings.FieldsSeq(tt.env) {
				name, value, _ := strings.Cut(v, "=")
				t.Setenv(name, value)
			}
			before := runtime.NumGoroutine()
			traces, err := trace.Open(t.Context(), "v1", slog.New(slog.DiscardHandler))
			if on := traces != nil; on != tt.on || fmt.Sprint(err) != tt.fail && (err != nil || tt.fail != "") {
				t.Fatalf("on: %v, error %v", on, err)
			}
			if traces == nil {
				if after := runtime.NumGoroutine(); after > before {
					t.Errorf("%d goroutines, %d before", after, before)
				}
				return
			}
			if err := traces.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A request that says what it is traced by has a span, which its handler is traced by; its name
// has neither the path nor a method that nobody knows. Other requests have none.
func TestRequests(t *testing.T) {
	col := newCollector(t)
	traces := col.open()
	var seen string
	h := traces.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header.Get("traceparent")
		if strings.Contains(r.URL.Path, "state") {
			w.WriteHeader(http.StatusNotFound)
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
	}), func(*http.Request) string { return "/v1/{of}" })
	ask := func(method, path, traceparent string) string {
		r := httptest.NewRequest(method, path, nil)
		if traceparent != "" {
			r.Header.Set("traceparent", traceparent)
		}
		seen = ""
		h.ServeHTTP(httptest.NewRecorder(), r)
		return seen
	}
	got := ask("GET", "/v1/projections/p/state/a@example.com", parent)
	for _, other := range []string{"", "00-x", strings.ToUpper(parent)} {
		if s := ask("GET", "/metrics", other); s != other {
			t.Errorf("a request with %q is answered with %q", other, s)
		}
	}
	ask("MADE-UP", "/v1/projections", parent)
	if err := traces.Close(); err != nil {
		t.Fatal(err)
	}
	span := col.one("GET /v1/{of}")
	if hex.EncodeToString(span.ParentSpanId) != spanID || got != traceparent(span) || textsOf(span.Attributes)["http.response.status_code"] != "404" {
		t.Errorf("%v, and the handler has %s", span, got)
	}
	if span := col.one("HTTP /v1/{of}"); textsOf(span.Attributes)["http.request.method"] != "_OTHER" {
		t.Errorf("of a method that nobody knows: %v", span)
	}
	if n := len(col.spans); n != 2 {
		t.Errorf("%d spans, want 2", n)
	}
}

// A collector that is away costs no event: the log warns at most once.
func TestCollectorAway(t *testing.T) {
	col, c := newCollector(t), newChain(t)
	col.url = "http://127.0.0.1:1"
	traces := col.open()
	c.store("traceparent", parent)
	c.run(traces)
	_ = traces.Close() // it may say that the last ones are lost, too
	if n := strings.Count(col.log.String(), `msg="traces are lost"`); n > 1 {
		t.Errorf("%d warnings:\n%s", n, col.log.String())
	}
	if got := c.emitted(1, "traceparent"); got == "" || got == parent {
		t.Errorf("what is emitted is traced by %q", got)
	}
}
