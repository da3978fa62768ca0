package dashboard_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/query/dashboard"
	"gnomon/engine/query/wire"
	"gnomon/engine/state"
	"gnomon/engine/streams"
)

const evil = `<script>alert("x")</script>`

// told is an API that says what a test wants of projections.
type told struct {
	projections []engine.Status
	samples     []wire.Sample
	subjects    []string
}

func (a *told) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var v any
	name := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/v1/projections/"), "/samples")
	switch {
	case r.URL.Path == "/v1/projections":
		v = wire.Projections{Projections: a.projections, Engine: &wire.Engine{Version: "1.2.3", Started: time.Now().Add(-90 * time.Minute)}}
	case strings.HasSuffix(r.URL.Path, "/samples"):
		v = wire.Samples{Projection: name, Samples: a.samples}
	case strings.HasPrefix(r.URL.Path, "/v1/streams/"):
		v = streams.Facts{Name: strings.TrimPrefix(r.URL.Path, "/v1/streams/"), Subjects: a.subjects}
	default:
		for _, s := range a.projections {
			if s.Projection == name {
				v = s
			}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// get opens a page.
func (a *told) get(t *testing.T, path string) string {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", path, nil)
	r.Header.Set("Accept", "text/html")
	dashboard.New(a, "test").ServeHTTP(w, r)
	if w.Code != http.StatusOK || !strings.HasSuffix(strings.TrimSpace(w.Body.String()), "</html>") {
		t.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
	return w.Body.String()
}

// wants holds a page against what a person needs to find there.
func wants(t *testing.T, page string, all ...string) {
	t.Helper()
	for _, want := range all {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if t.Failed() {
		t.Log(page)
	}
}

// busy is a projection with something in every field that is shown.
func busy(name string) engine.Status {
	return engine.Status{
		Projection: name, State: engine.CatchingUp, Since: time.Unix(1, 0), Stream: "ORDERS", Generation: "0123456789abcdef", Module: "fedcba9876543210",
		Position: 12345, PositionTime: time.Unix(100, 0), Applied: 12350, Committed: 12345, Durable: 12000, StreamFirst: 5, StreamLast: 20000, StreamLastTime: time.Unix(300, 0), Behind: 7655, BehindMs: 200_000,
		Keys: 4321, Bytes: 3 << 20, DiskBytes: 5 << 20, Events: 1000, Commits: 77, Rate: 1234, CatchUpRate: 987, LeftMs: 65_000, Apply: time.Millisecond, Fuel: 4567, FuelUsed: 4567000, Memory: 2 << 20,
		Emits: &engine.EmitStatus{Published: 17, Waiting: 3, Limit: 100}, Mirror: &engine.MirrorStatus{Bucket: "orders_kv", Sequence: 12340},
	}
}

// The overview has what a person asks first of each projection, and where it comes from.
func TestOverviewShows(t *testing.T) {
	at := time.Unix(1000, 0)
	api := &told{projections: []engine.Status{busy("orders")}, samples: []wire.Sample{{Time: at, Rate: 50, Fuel: 10}, {Time: at.Add(5 * time.Second), Rate: 100, Fuel: 20}}}
	page := api.get(t, "/")
	wants(t, page, `href="/ui/projections/orders"`, "catching-up", `<progress max="20000" value="12345"`, "12 345 / 20 000", "1 m 5 s left", "7 655", "3 m 20 s",
		"4 321", "3.0 MiB", "0123456789ab", "<polyline points=", "1.2.3", "1 h 30 m", `href="/ui/streams/ORDERS"`, "5 – 20 000", "no trouble",
		`data-live="/v1/projections"`, "curl -s http://example.com/v1/projections", "engine status")
	// The newest sample is at the right edge, and the highest at the top.
	if m := regexp.MustCompile(`points="([^"]*)"`).FindStringSubmatch(page); m == nil || m[1] != "119.0,14.0 120.0,2.0" {
		t.Errorf("the curve is %q", m)
	}
}

// What is wrong is named, with the way to the page where it is dealt with, and is before
// what is not.
func TestOverviewTroubleFirst(t *testing.T) {
	halted := engine.Status{Projection: "z-halted", State: engine.Halted, Reason: "event 7: it is odd", Hint: "mend the module", Stream: "S", StreamLast: 9, Failures: 2}
	aside := engine.Status{Projection: "y-aside", State: engine.Live, Stream: "S", StreamLast: 9, Aside: state.Aside{Letters: 3}, Refused: "its file is none",
		Emits: &engine.EmitStatus{Trouble: "no such stream"}, Mirror: &engine.MirrorStatus{Error: "the bucket is gone", LeftOut: 2}, Candidate: &engine.GenerationStatus{ID: "c", State: engine.Halted, Reason: "no"}}
	paused := engine.Status{Projection: "b-paused", State: engine.Paused, Reason: "an operator paused it", Stream: "S", StreamLast: 9}
	fine := engine.Status{Projection: "a-fine", State: engine.Live, Stream: "S", StreamLast: 9}
	api := &told{projections: []engine.Status{fine, paused, aside, halted}}
	order := func(page string) (names string) {
		for _, m := range regexp.MustCompile(`<tbody id="projection-([^"]*)"`).FindAllStringSubmatch(page, -1) {
			names += m[1] + " "
		}
		return names
	}
	page := api.get(t, "/")
	wants(t, page, "event 7: it is odd", "mend the module", "2 failed", `<b>2</b> with trouble`,
		`href="/ui/projections/y-aside/dead-letters"`, "3 set aside", `href="/ui/projections/y-aside/generations"`, "its file is none", "cannot emit", "no such stream", "the bucket is gone", "as last known", "2 keys not mirrored", "candidate halted")
	for address, want := range map[string]string{"/": "z-halted y-aside b-paused a-fine ", "/?sort=name": "a-fine b-paused y-aside z-halted ", "/?filter=A&sort=name": "a-fine b-paused y-aside z-halted ", "/?filter=aside": "y-aside "} {
		if got := order(api.get(t, address)); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
	alone := engine.Status{Projection: "alone", State: engine.CatchingUp, Stream: "S", StreamLast: 9, Position: 9, EndUnknownSince: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	for _, path := range []string{"/", "/ui/projections/alone"} {
		wants(t, (&told{projections: []engine.Status{alone}}).get(t, path), "end not known", "since 2026-01-02 03:04:05 UTC the server has not said where the stream ends")
	}
	wants(t, api.get(t, "/?filter=none&sort=name"), "No projection has “none” in its name", `value="none"`, `name="sort" value="name"`)
}

// A projection's first tab has the same in depth.
func TestProjectionShows(t *testing.T) {
	s := busy("orders")
	s.State, s.Reason, s.Hint, s.Failing = engine.Halted, "event 12351: odd", "mend it", 12351
	s.Candidate = &engine.GenerationStatus{ID: "candidate-id", State: engine.CatchingUp, Position: 400, Behind: 19600, Auto: true}
	page := (&told{projections: []engine.Status{s}}).get(t, "/ui/projections/orders")
	wants(t, page, "halted since", "1970-01-01 00:00:01Z", "event 12351: odd", "mend it", "/ui/streams/ORDERS?around=12351", "12 345 / 20 000", "7 655 events, 3 m 20 s", "12 350", "12 000",
		"1970-01-01 00:01:40Z", "1970-01-01 00:05:00Z", "1.0 µs", "77", "4 567", "2.0 MiB", "5.0 MiB", "17", "3 of 100", "bucket orders_kv, up to 12 340", "candidate-id", "19 600 behind", "by itself",
		`data-live="/v1/projections/orders"`, "engine status orders", "curl -sN")
}

// Where there is nothing yet, a page says what to do next.
func TestEmptyPagesSayWhatToDo(t *testing.T) {
	wants(t, (&told{}).get(t, "/"), "No projections yet", "engine new balances --lang go", "plugins.dir", "[[projection]]", "this token may read none")
	api := &told{projections: []engine.Status{{Projection: "p", State: engine.Starting, Reason: "stream S is not there", Hint: "create it", Stream: "S"}}, subjects: []string{"orders.*.done", "more.>"}}
	for _, path := range []string{"/", "/ui/projections/p"} {
		wants(t, api.get(t, path), "has no events yet", "<code>orders.*.done</code>", "engine publish --stream S orders.any.done", "engine import --stream S", "starting", "stream S is not there", "create it")
	}
}

// Nothing that is said of a projection, a stream or an engine is HTML, wherever it is shown.
func TestNothingSaidIsHTML(t *testing.T) {
	s := busy(evil)
	s.State, s.Reason, s.Hint, s.Refused, s.Warning, s.Stream, s.StreamMirror, s.Generation, s.Module, s.StreamSources = engine.RunnerState(evil), evil, evil, evil, evil, evil, evil, evil, evil, []string{evil}
	s.Emits.Trouble, s.Emits.Hint, s.Emits.Warning = evil, evil, evil
	s.Mirror.Error, s.Mirror.Bucket, s.Mirror.LeftOut, s.Mirror.LeftOutKeys = evil, evil, 1, []string{evil}
	s.Candidate = &engine.GenerationStatus{ID: evil, Reason: evil, Hint: evil, State: engine.Halted}
	s.StreamLast = 0
	for _, path := range []string{"/", "/?filter=" + url.QueryEscape(evil), "/?sort=" + url.QueryEscape(`"><script>`), "/ui/projections/" + url.PathEscape(evil)} {
		api := &told{projections: []engine.Status{s}, subjects: []string{evil}}
		page := api.get(t, path)
		ours := strings.Count(page, `<script src="/ui/assets/`)
		if n := strings.Count(page, "<script"); n != ours || ours == 0 {
			t.Errorf("%s has %s that is not ours", path, strconv.Itoa(n-ours)+" <script")
		}
		if strings.Contains(page, " style=") || strings.Contains(page, " onclick=") {
			t.Errorf("%s has what the content security policy forbids", path)
		}
		if !strings.Contains(page, "&lt;script&gt;") {
			t.Errorf("%s does not show what was said", path)
		}
	}
}

// A curve is empty without samples, flat without events, and of what is left of a short run
// only as wide as that.
func TestCurves(t *testing.T) {
	at := time.Unix(1000, 0)
	for _, tt := range []struct {
		name    string
		samples []wire.Sample
		want    string
	}{
		{"none", nil, ""},
		{"one", []wire.Sample{{Time: at, Rate: 5}}, "120.0,2.0"},
		{"no events", []wire.Sample{{Time: at}, {Time: at.Add(5 * time.Minute)}}, "60.0,26.0 120.0,26.0"},
		{"ten minutes", []wire.Sample{{Time: at, Rate: 10}, {Time: at.Add(10 * time.Minute), Rate: 5}}, "0.0,2.0 120.0,14.0"},
	} {
		if got := dashboard.RateCurve(tt.samples); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
