package query_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/query/wire"
	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// poisoned makes a projection fail on events with the data "poison", until it is
// mended. The declared key of an event is its subject.
func poisoned(policy engine.Policy, mended *atomic.Bool) func(*engine.Spec) {
	return func(s *engine.Spec) {
		s.Module = enginetest.FuncModule("picky", func(e abi.Record, st guest.State) error {
			if string(e.Data) == "poison" && !mended.Load() {
				return enginetest.Refuse("poisoned %d", e.Sequence)
			}
			return st.Put(e.Subject, e.Data)
		})
		s.OnError, s.Letters = policy, 1000
		s.KeyOf = func(e abi.Record) []byte { return e.Subject }
	}
}

// aside lists what a client is told of events that were set aside.
func (r *rig) aside(after uint64, limit int) (list []string) {
	r.t.Helper()
	err := r.client().Letters(r.t.Context(), "p", after, limit, func(l wire.Letter) error {
		list = append(list, fmt.Sprintf("%d %s %s %s", l.Sequence, l.Status, l.Key, l.Data))
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

func (r *rig) wantAside(want ...string) {
	r.t.Helper()
	if got := r.aside(0, 0); !slices.Equal(got, want) {
		r.t.Errorf("set aside: %q, want %q", got, want)
	}
}

// A page of events that were set aside has what is known of each of them, and where
// the next page begins.
func TestDeadLetters(t *testing.T) {
	r := newRigOf(t, "", poisoned(engine.Quarantine, new(atomic.Bool)), "b", "1", "a", "poison", "a", `{"n": 1}`, "\xff", "poison", "a", "x").start()
	a := r.ask("GET", "/v1/projections/p/dead-letters?limit=3", "")
	if a.StatusCode != http.StatusOK || a.Header.Get("Gnomon-As-Of-Seq") != "5" {
		t.Fatalf("%s", a)
	}
	var page struct {
		Items []map[string]any `json:"items"`
		Next  uint64           `json:"next"`
		AsOf  uint64           `json:"as_of_seq"`
	}
	if err := json.Unmarshal([]byte(a.body), &page); err != nil || page.Next != 4 || page.AsOf != 5 || len(page.Items) != 3 {
		t.Fatalf("%s: %v", a, err)
	}
	digest := enginetest.FuncModule("picky", nil).Digest()
	for i, want := range []map[string]any{
		{"seq": 2.0, "status": "failed", "key": "a", "subject": "a", "error": "apply returned an error: poisoned 2", "attempts": 1.0, "module": digest, "data_b64": "cG9pc29u"},
		{"seq": 3.0, "status": "parked", "key": "a", "subject": "a", "attempts": 0.0, "data": map[string]any{"n": 1.0}},
		{"seq": 4.0, "status": "failed", "key_b64": "/w==", "error": "apply returned an error: poisoned 4", "attempts": 1.0, "module": digest, "data_b64": "cG9pc29u"},
	} {
		got := page.Items[i]
		for _, field := range []string{"time", "set_aside_at"} {
			if at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(got[field])); err != nil || at.IsZero() {
				t.Errorf("%v: %s is %v", want["seq"], field, got[field])
			}
			delete(got, field)
		}
		if i == 2 {
			delete(got, "subject") // is not UTF-8
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("letter\n%v, want\n%v", got, want)
		}
	}
	if got := r.aside(4, 0); !slices.Equal(got, []string{"5 parked a x"}) {
		t.Errorf("after 4: %q", got)
	}
	if got := r.aside(0, 2); !slices.Equal(got, []string{"2 failed a poison", `3 parked a {"n":1}`}) {
		t.Errorf("two of them: %q", got)
	}
}

// All of many are read, page by page.
func TestManyDeadLetters(t *testing.T) {
	var rows []string
	for range 250 {
		rows = append(rows, "a", "poison")
	}
	r := newRigOf(t, "", poisoned(engine.DeadLetter, new(atomic.Bool)), rows...).start()
	for limit, want := range map[int]int{0: 250, 1: 1, 100: 100, 101: 101, 1000: 250} {
		if got := r.aside(0, limit); len(got) != want || got[want-1] != fmt.Sprintf("%d dead a poison", want) {
			t.Errorf("limit %d: %d letters, want %d", limit, len(got), want)
		}
	}
	var status engine.Status
	if err := json.Unmarshal([]byte(r.ask("GET", "/v1/projections/p", "").body), &status); err != nil || status.Aside.Letters != 250 {
		t.Errorf("%+v, %v", status.Aside, err)
	}
}

// Headers of the event are given by name, each with all of its values.
func TestLetterHeaders(t *testing.T) {
	var headers []byte
	for _, h := range [][2]string{{"ce-id", "7"}, {"x", "1"}, {"x", "2"}} {
		headers, _ = abi.AppendHeader(headers, h[0], h[1])
	}
	e := abi.Record{Sequence: 1, Subject: []byte("a"), Headers: headers}
	l, err := wire.LetterOf(state.Letter{Sequence: 1, Event: e.Append(nil)})
	if err != nil || fmt.Sprint(l.Headers) != "map[ce-id:[7] x:[1 2]]" {
		t.Errorf("%v, %v", l.Headers, err)
	}
	if _, err := wire.LetterOf(state.Letter{Sequence: 1, Event: e.Append(nil)[:50]}); !errors.Is(err, state.ErrCorrupt) {
		t.Errorf("an event that was cut off: %v", err)
	}
}

// Events that were set aside are retried, skipped and dropped: one, those of a key, or
// all. The answer comes when it is done, and says what failed again.
func TestLetterOrders(t *testing.T) {
	mended := new(atomic.Bool)
	r := newRigOf(t, "", poisoned(engine.Quarantine, mended), "a", "poison", "a", "x", "\xff", "poison", "c", "poison", "c", "y").start()
	c := r.client()
	order := func(verb engine.Verb, l engine.Letters) engine.Ordered {
		t.Helper()
		done, err := c.Order(t.Context(), "p", verb, l)
		if err != nil {
			t.Fatalf("%s %+v: %v", verb, l, err)
		}
		return done
	}
	if done := order(engine.RetryLetters, engine.Letters{Key: []byte("a")}); done != (engine.Ordered{Left: 5, Error: "apply returned an error: poisoned 1", Seq: 1}) {
		t.Errorf("retry of what still fails: %+v", done)
	}
	if done := order(engine.DropLetters, engine.Letters{Key: []byte("\xff")}); done != (engine.Ordered{Done: 1, Left: 4}) {
		t.Errorf("drop of a key that is no text: %+v", done)
	}
	if done := order(engine.SkipLetters, engine.Letters{Sequence: 1}); done != (engine.Ordered{Done: 2, Left: 3}) {
		t.Errorf("skip: %+v", done)
	}
	r.wantAside("1 skipped a poison", "4 failed c poison", "5 parked c y")
	mended.Store(true)
	if done := order(engine.RetryLetters, engine.Letters{}); done != (engine.Ordered{Done: 2, Left: 1}) {
		t.Errorf("retry of all: %+v", done)
	}
	r.wantAside("1 skipped a poison")
	a := r.ask("GET", "/v1/projections/p/state/c", "")
	if !strings.Contains(a.body, `"value_b64":"eQ=="`) {
		t.Errorf("state of the key that is free again: %s", a)
	}
	metrics := r.ask("GET", "/metrics", "").body
	for _, want := range []string{"dead_letters", "skipped_events_total"} {
		if !strings.Contains(metrics, "\ngnomon_projection_"+want+`{projection="p",stream="S"} 1`+"\n") {
			t.Errorf("metrics lack %s 1", want)
		}
	}
	if !strings.Contains(metrics, "\ngnomon_projection_waiting_events"+`{projection="p",stream="S"} 0`+"\n") {
		t.Errorf("metrics lack waiting_events 0")
	}
}

// Orders that are not about exactly one thing are refused, and so are those about
// nothing that is set aside.
func TestRefusedLetterOrders(t *testing.T) {
	r := newRigOf(t, "", poisoned(engine.DeadLetter, new(atomic.Bool)), "a", "poison").start()
	const path = "/v1/projections/p/"
	for _, c := range []struct {
		request, body string
		status        int
		code, detail  string
	}{
		{"POST " + path + "retry", `{}`, 400, wire.CodeBadRequest, `exactly one is needed of {"seq":N}`},
		{"POST " + path + "retry", ``, 400, wire.CodeBadRequest, "EOF"},
		{"POST " + path + "skip", `{"seq":1,"all":true}`, 400, wire.CodeBadRequest, "exactly one"},
		{"POST " + path + "drop", `{"key":"a","key_b64":"YQ=="}`, 400, wire.CodeBadRequest, "exactly one"},
		{"POST " + path + "drop", `{"all":false}`, 400, wire.CodeBadRequest, "exactly one"},
		{"POST " + path + "drop", `{"key":""}`, 400, wire.CodeBadRequest, "key is empty"},
		{"POST " + path + "drop", `{"key_b64":""}`, 400, wire.CodeBadRequest, "key is empty"},
		{"POST " + path + "drop", `{"seq":0}`, 400, wire.CodeBadRequest, "sequences begin at 1"},
		{"POST " + path + "drop", `{"sequence":1}`, 400, wire.CodeBadRequest, "unknown field"},
		{"POST " + path + "drop?force=1", `{"all":true}`, 400, wire.CodeBadRequest, "force"},
		{"POST " + path + "retry", `{"seq":2}`, 404, wire.CodeNoLetter, "event 2 of projection p: no such event is set aside"},
		{"POST " + path + "retry", `{"key":"b"}`, 404, wire.CodeNoLetter, `events of key "b" of projection p: no such event`},
		{"POST /v1/projections/none/retry", `{"all":true}`, 404, wire.CodeNoProjection, `"none"`},
		{"GET /v1/projections/none/dead-letters", ``, 404, wire.CodeNoProjection, `"none"`},
		{"GET " + path + "retry", ``, 405, wire.CodeBadMethod, "GET"},
		{"POST " + path + "dead-letters", ``, 405, wire.CodeBadMethod, "POST"},
		{"GET " + path + "dead-letters?limit=1001", ``, 400, wire.CodeBadRequest, "between 1 and 1000"},
		{"GET " + path + "dead-letters?limit=0", ``, 400, wire.CodeBadRequest, "between 1 and 1000"},
		{"GET " + path + "dead-letters?after=x", ``, 400, wire.CodeBadRequest, `after is "x"`},
		{"GET " + path + "dead-letters?at=3", ``, 409, wire.CodeNotReached, "3 is not reached"},
		{"POST " + path + "export", `{}`, 400, wire.CodeBadRequest, `{"seq":N}`},
		{"POST " + path + "export", `{"seq":2}`, 404, wire.CodeNoLetter, "event 2"},
		{"POST " + path + "export", `{"seq":5}`, 409, wire.CodeModuleChanged, "event 5: module was changed"},
	} {
		method, to, _ := strings.Cut(c.request, " ")
		p := r.ask(method, to, c.body).problem(t)
		if p.Status != c.status || p.Code != c.code || !strings.Contains(p.Detail, c.detail) {
			t.Errorf("%s %s: %+v, want %d %s %s", c.request, c.body, p, c.status, c.code, c.detail)
		}
	}
	r.wantAside("1 dead a poison")
}

// A projection that is stopped does nothing of the kind: the answer has its state, and
// how it goes on. A halted one skips the event that it is halted before, which its hint
// says.
func TestLetterOrdersOfStopped(t *testing.T) {
	r := newRigOf(t, "", poisoned(engine.Halt, new(atomic.Bool)), "a", "poison", "b", "2")
	r.engine.Start(t.Context())
	var stopped *engine.StoppedError
	if err := r.engine.AwaitEnd(t.Context()); !errors.As(err, &stopped) || stopped.State != engine.Halted || !strings.HasSuffix(stopped.Hint, "pass over it with: engine dead-letters skip p 1") {
		t.Fatalf("the poison does not halt it: %v", err)
	}
	if s, err := r.engine.Status("p"); err != nil || s.Failing != 1 {
		t.Errorf("%+v, %v, want the event that it is halted before", s, err)
	}
	if a := r.ask("POST", "/v1/projections/p/skip", `{"seq":1}`); a.StatusCode != http.StatusOK || a.body != "{\"done\":1,\"left\":1}\n" {
		t.Errorf("skip of what it is halted before: %s", a)
	}
	if err := r.engine.AwaitEnd(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err := r.engine.Status("p"); err != nil || s.Failing != 0 || s.Hint != "" {
		t.Errorf("%+v, %v", s, err)
	}
	r.wantAside("1 skipped a poison")
	r.pause()
	p := r.ask("POST", "/v1/projections/p/drop", `{"all":true}`).problem(t)
	if p.Status != http.StatusConflict || p.Code != wire.CodeStopped || !strings.Contains(p.Detail, "paused") || p.Hint == "" {
		t.Errorf("drop while paused: %+v", p)
	}
}

// A bundle comes as it was made.
func TestExport(t *testing.T) {
	r := newRig(t, "a-secret-token-of-a-test")
	file, err := r.client().Bundle(t.Context(), "p", 3)
	if err != nil || string(file) != "bundle of p" {
		t.Errorf("%q, %v", file, err)
	}
	var p *wire.Problem
	if _, err := r.client().Bundle(t.Context(), "p", 4); !errors.As(err, &p) || p.Code != wire.CodeNoLetter {
		t.Errorf("an event that is not set aside: %v", err)
	}
}
