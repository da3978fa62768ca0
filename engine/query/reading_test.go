package query_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/query"
	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
	"gnomon/internal/testutil"
)

// reads are the requests that read a state.
var reads = []struct{ name, path, accept string }{
	{"a key", "/v1/projections/p/state/a", ""},
	{"a page", "/v1/projections/p/state?prefix=", ""},
	{"a stream of rows", "/v1/projections/p/state?prefix=", "application/x-ndjson"},
	{"dead letters", "/v1/projections/p/dead-letters?limit=1", ""},
}

// withMoment is the path of a read with more parameters.
func withMoment(path, parameters string) string {
	if strings.Contains(path, "?") {
		return path + "&" + parameters
	}
	return path + "?" + parameters
}

// Every answer says what it reflects and how its projection stands, in its headers, and in
// its body if that is one JSON value.
func TestEveryAnswerSaysWhatItReflects(t *testing.T) {
	r := newRig(t, "", "a", "1", "b", "2").start()
	live, err := r.engine.Status("p")
	if err != nil {
		t.Fatal(err)
	}
	check := func(name string, a reply, state engine.RunnerState, fresh engine.Freshness, behind uint64) {
		t.Helper()
		want := wire.Standing{Generation: live.Generation, State: state, Freshness: fresh, Behind: behind}
		h := a.Header
		if h.Get("Gnomon-As-Of-Seq") != "2" || h.Get("Gnomon-As-Of-Time") != live.PositionTime.Format(time.RFC3339Nano) || h.Get("Gnomon-Generation") != want.Generation ||
			h.Get("Gnomon-State") != string(state) || h.Get("Gnomon-Freshness") != string(fresh) || h.Get("Gnomon-Behind") != fmt.Sprint(behind) || h.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: headers %v", name, h)
		}
		if !strings.Contains(h.Get("Content-Type"), "json") || strings.Contains(h.Get("Content-Type"), "ndjson") || a.body == "" {
			return
		}
		var got wire.Reflected
		if err := json.Unmarshal([]byte(a.body), &got); err != nil || got.AsOfSeq != 2 || got.AsOfTime == nil || !got.AsOfTime.Equal(live.PositionTime) || got.Standing == nil || *got.Standing != want {
			t.Errorf("%s: %s, %v", name, a.body, err)
		}
	}
	absent := "/v1/projections/p/state/absent"
	for _, read := range reads {
		check(read.name, r.ask("GET", read.path, "", "Accept", read.accept), engine.Live, engine.FreshLive, 0)
		check("HEAD of "+read.name, r.ask("HEAD", read.path, "", "Accept", read.accept), engine.Live, engine.FreshLive, 0)
	}
	check("an absent key", r.ask("GET", absent, ""), engine.Live, engine.FreshLive, 0)
	r.pause()
	r.nats.Append("S", "a", []byte("3"))
	testutil.Until(t, func() bool { s, err := r.engine.Status("p"); return err == nil && s.Behind == 1 })
	for _, read := range reads {
		check(read.name+", paused", r.ask("GET", read.path, "", "Accept", read.accept), engine.Paused, engine.FreshStale, 1)
	}
	check("an absent key, paused", r.ask("GET", absent, ""), engine.Paused, engine.FreshStale, 1)
	for _, wait := range []string{"min_seq=3", "min_seq=3&wait=1m"} { // which nobody waits for
		a := r.ask("GET", withMoment(absent, wait), "")
		check("what does not come", a, engine.Paused, engine.FreshStale, 1)
		if p := a.problem(t); p.Status != 409 || p.Code != wire.CodeStopped || !strings.Contains(p.Detail, "does not come to 3") || !strings.Contains(p.Hint, "engine resume p") {
			t.Errorf("%+v", p)
		}
	}
}

// An answer waits for the sequence that it is asked to reflect, and has the effects of that
// event.
func TestReadYourWrites(t *testing.T) {
	r := newRig(t, "").start()
	for _, read := range reads {
		t.Run(read.name, func(t *testing.T) {
			for n := range 20 {
				value := fmt.Sprint(read.name, n)
				answered := make(chan reply, 1)
				next := r.nats.Append("S", "other", []byte("0")) + 1 // by itself only passed
				go func() {
					answered <- r.ask("GET", withMoment(read.path, fmt.Sprint("min_seq=", next, "&wait=1m")), "", "Accept", read.accept)
				}()
				if n%2 == 0 { // so that the read is before the write as often as after it
					testutil.Until(t, func() bool { return r.query.Waiting() == 1 })
				}
				r.nats.Append("S", "a", fmt.Appendf(nil, "%q", value))
				a := await(t, answered, "the answer")
				if a.StatusCode != 200 || a.Header.Get("Gnomon-As-Of-Seq") != fmt.Sprint(next) || !strings.Contains(a.body, value) && read.name != "dead letters" {
					t.Fatalf("%s as of %s, want %s as of %d", a, a.Header.Get("Gnomon-As-Of-Seq"), value, next)
				}
			}
		})
	}
}

// What has not come in time is refused, with how far the projection is.
func TestReadBeforeTheWrite(t *testing.T) {
	r := newRig(t, "", "a", "1").start()
	for _, read := range reads {
		a := r.ask("GET", withMoment(read.path, "min_seq=2&wait=20ms"), "", "Accept", read.accept)
		p := a.problem(t)
		if p.Status != 504 || p.Code != wire.CodeNotReached || p.Reflected == nil || p.AsOfSeq != 1 || p.Freshness != engine.FreshLive || a.Header.Get("Gnomon-As-Of-Seq") != "1" {
			t.Errorf("%s: %s", read.name, a)
		}
		if !strings.Contains(p.Detail, "p reflects 1, 2 is not reached: waited 20ms") || !strings.Contains(p.Hint, "stream S") {
			t.Errorf("%s: %+v", read.name, p)
		}
		if a.Header.Get("ETag") != "" {
			t.Errorf("%s: the refusal has a tag", read.name)
		}
	}
	if p := r.ask("GET", "/v1/projections/none/state/a?min_seq=2", "").problem(t); p.Code != wire.CodeNoProjection {
		t.Errorf("%+v", p)
	}
	if p := r.ask("GET", "/v1/projections/p@candidate/state/a?min_seq=2", "").problem(t); p.Code != wire.CodeNoGeneration {
		t.Errorf("%+v", p)
	}
}

// Requests that wait are bounded, and end with the server at once.
func TestWaitingIsBounded(t *testing.T) {
	r := newRig(t, "", "a", "1").start()
	r.query.LetWait(2)
	answered := make(chan reply, 2)
	path := "/v1/projections/p/state/a?min_seq=9&wait=1m"
	for range 2 {
		go func() { answered <- r.ask("GET", path, "") }()
	}
	testutil.Until(t, func() bool { return r.query.Waiting() == 2 })
	if p := r.ask("GET", path, "").problem(t); p.Status != 503 || p.Code != wire.CodeBusy || p.Reflected == nil || p.AsOfSeq != 1 {
		t.Errorf("%+v", p)
	}
	if a := r.ask("GET", "/v1/projections/p/state/a", ""); a.StatusCode != 200 {
		t.Errorf("a read that does not wait: %s", a)
	}
	r.query.Hurry(never, never, never) // but for what waits
	if err := r.query.Close(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if p := await(t, answered, "the end of a wait").problem(t); p.Status != 503 || p.Code != wire.CodeNotReady {
			t.Errorf("%+v", p)
		}
	}
	testutil.Until(t, func() bool { return r.query.Waiting() == 0 })
}

// A tag is that of a state: it stays while nothing is committed, whatever is asked of it,
// another form of the answer has another one, and what is told of the state is told anew.
func TestTags(t *testing.T) {
	r := newRig(t, "", "a", "1").start()
	path := "/v1/projections/p/state"
	tag := r.ask("GET", path, "").Header.Get("ETag")
	lines := r.ask("GET", path, "", "Accept", "application/x-ndjson")
	if !strings.HasPrefix(tag, `W/"`) || lines.Header.Get("ETag") == tag || lines.Header.Get("Vary") != "Accept" {
		t.Errorf("tags %s and %s, vary %q", tag, lines.Header.Get("ETag"), lines.Header.Get("Vary"))
	}
	for _, tt := range []struct {
		method, accept, match string
		status                int
	}{
		{"GET", "", tag, 304}, {"HEAD", "", tag, 304}, {"GET", "", strings.TrimPrefix(tag, "W/"), 304}, {"GET", "", `"x",W/"y" , ` + tag, 304},
		{"GET", "application/x-ndjson", tag, 200}, {"GET", "application/x-ndjson", lines.Header.Get("ETag"), 304}, {"GET", "", `"x"`, 200}, {"GET", "", "x", 200}, {"GET", "", ",", 200},
	} {
		a := r.ask(tt.method, path, "", "Accept", tt.accept, "If-None-Match", tt.match)
		if a.StatusCode != tt.status || tt.status == 304 && a.body != "" || a.Header.Get("Gnomon-As-Of-Seq") != "1" || a.Header.Get("ETag") == "" {
			t.Errorf("%s with %s: %s", tt.method, tt.match, a)
		}
	}
	r.pause()
	if a := r.ask("GET", path, "", "If-None-Match", tag); a.StatusCode != http.StatusNotModified || a.Header.Get("Gnomon-Freshness") != "stale" {
		t.Errorf("%s, %v", a, a.Header)
	}
}

// The client asks for a moment, and tells what every answer reflects.
func TestClientReadsAtMoment(t *testing.T) {
	r := newRig(t, "", "a", "1").start()
	var seen []wire.AsOf
	at := func(seq uint64, wait time.Duration) *client.Client {
		return r.client().At(client.Moment{MinSeq: seq, Wait: wait, Reflects: func(a wire.AsOf) { seen = append(seen, a) }})
	}
	get := func(c *client.Client) error { _, err := c.Get(t.Context(), "p", []byte("a")); return err }
	scan := func(c *client.Client) error {
		return c.Scan(t.Context(), "p", nil, 0, func(wire.Row) error {
			if len(seen) == 0 {
				t.Error("a row comes before what it reflects is known")
			}
			return nil
		})
	}
	letters := func(c *client.Client) error {
		return c.Letters(t.Context(), "p", 0, 0, func(wire.Letter) error { return nil })
	}
	for name, read := range map[string]func(*client.Client) error{"get": get, "scan": scan, "letters": letters} {
		seen = nil
		if err := read(at(1, 0)); err != nil || len(seen) != 1 || seen[0].Sequence != 1 || seen[0].Time.IsZero() || seen[0].State != engine.Live || seen[0].Freshness != engine.FreshLive || seen[0].Generation == "" {
			t.Errorf("%s: %+v, %v", name, seen, err)
		}
		var p *wire.Problem
		for wait, words := range map[time.Duration]string{-1: "waited 0s", 3 * time.Millisecond: "waited 3ms"} {
			if err := read(at(2, wait)); !errors.As(err, &p) || p.Code != wire.CodeNotReached || p.Reflected == nil || p.AsOfSeq != 1 || !strings.Contains(p.Detail, words) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	began := time.Now()
	if err := get(at(2, 0)); err == nil || time.Since(began) < query.DefaultWait {
		t.Errorf("without a wait: %v after %s", err, time.Since(began))
	}
}

// A tag is one of a state: where a version was given again to another one, as after a crash
// of the machine with its stream, what a client has is not taken for it.
func TestTagIsOfAState(t *testing.T) {
	const path = "/v1/projections/p/state/a"
	before := newRig(t, "", "a", "1").start().ask("GET", path, "")
	r := newRig(t, "", "a", "2").start()
	again := r.ask("GET", path, "", "If-None-Match", before.Header.Get("ETag"))
	if before.Header.Get("Gnomon-Generation") != again.Header.Get("Gnomon-Generation") || before.Header.Get("Gnomon-As-Of-Seq") != again.Header.Get("Gnomon-As-Of-Seq") {
		t.Fatalf("they are not alike: %v and %v", before.Header, again.Header)
	}
	if again.StatusCode != http.StatusOK || !strings.Contains(again.body, `"value":2`) {
		t.Errorf("with the tag of the other: %d %s", again.StatusCode, again.body)
	}
}
