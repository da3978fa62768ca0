package query_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
)

// A state is read as of a sequence or a time, whichever way it is asked for; each answer says
// as of which sequence it is. What is not kept is refused with the oldest one that is.
func TestReadsOfThePast(t *testing.T) {
	rows := []string{"a", "1", "b", "1", "a", "2", "c", "1", "a", "3"}
	r := newRigOf(t, "", func(s *engine.Spec) { s.History = engine.HistoryPolicy{All: true} }, rows...).start()
	for at := range uint64(6) {
		var a, all string
		state := map[string]string{}
		for i := uint64(0); i < 2*at; i += 2 {
			state[rows[i]] = rows[i+1]
		}
		a = state["a"]
		for _, key := range []string{"a", "b", "c"} {
			if v, ok := state[key]; ok {
				all += fmt.Sprintf(`{"key":%q,"value":%s}`+"\n", key, v)
			}
		}
		path := fmt.Sprintf("/v1/projections/p/state?at=%d", at)
		got := r.ask("GET", path, "", "Accept", "application/x-ndjson")
		if got.body != all || got.Header.Get("Gnomon-As-Of-Seq") != fmt.Sprint(at) {
			t.Errorf("as of %d: %q as of %s, want %q", at, got.body, got.Header.Get("Gnomon-As-Of-Seq"), all)
		}
		if again := r.ask("GET", path, "", "Accept", "application/x-ndjson", "If-None-Match", got.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
			t.Errorf("as of %d, again: status %d", at, again.StatusCode)
		}
		e, err := r.nats.Event(t.Context(), "S", max(at, 1))
		if err != nil {
			t.Fatal(err)
		}
		moments := []string{fmt.Sprint(at), fmt.Sprintf("%d&wait=1s", at), fmt.Sprintf("%d&replay=true&min_seq=%d", at, at)}
		if at > 0 {
			moments = append(moments, url.QueryEscape(time.Unix(0, e.TimeNs).Format(time.RFC3339Nano)))
		}
		for _, moment := range moments {
			got := r.ask("GET", "/v1/projections/p/state/a?at="+moment, "")
			if found := got.StatusCode == http.StatusOK; found != (a != "") || found && !strings.Contains(got.body, fmt.Sprintf(`"value":%s,"as_of_seq":%d`, a, at)) {
				t.Errorf("a as of %s: %s", moment, got.body)
			}
		}
	}
	e, err := r.nats.Event(t.Context(), "S", 2)
	if err != nil {
		t.Fatal(err)
	}
	second := url.QueryEscape(time.Unix(0, e.TimeNs).Format(time.RFC3339Nano))
	for moment, want := range map[string]string{ // a past that has not the effects that are asked for, too
		"2&min_seq=3":                  `"code":"bad-request","detail":"at is 2, and min_seq is 3: `,
		"2&min_seq=3&wait=1s":          `"code":"bad-request"`,
		second + "&min_seq=3":          `"code":"not-reached","detail":"projection p reflects 2 at that time, 3 is not reached"`,
		"2026-01-31T00:00:00+01:00":    `in a URL \"+\" is written %2B`,
		"2026-01-31T00:00:00%2B01:00x": `or a time such as 2026-01-31T00:00:00Z"`,
	} {
		if got := r.ask("GET", "/v1/projections/p/state/a?at="+moment, ""); !strings.Contains(got.body, want) {
			t.Errorf("at=%s: %s, want %s", moment, got.body, want)
		}
	}
	var p *wire.Problem
	c, err := client.New(r.server.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	if g, err := c.At(client.Moment{At: "3"}).Get(t.Context(), "p", []byte("a")); err != nil || string(g.Value) != "2" || g.AsOf.Sequence != 3 {
		t.Errorf("a client reads %q as of %d, %v", g.Value, g.AsOf.Sequence, err)
	}
	if _, err := c.At(client.Moment{At: "6", Wait: -1}).Get(t.Context(), "p", []byte("a")); !errors.As(err, &p) || p.Code != wire.CodeNotReached {
		t.Errorf("beyond: %v", err)
	}

	none := newRig(t, "", rows...).start()
	got := none.ask("GET", "/v1/projections/p/state/a?at=2", "")
	if got.StatusCode != http.StatusGone && got.StatusCode != http.StatusOK || got.StatusCode == http.StatusGone && !strings.Contains(got.body, "the oldest is that of") {
		t.Errorf("what is not kept: %s", got.body)
	}
}

// An explanation has the changes of a key with their events, newest first, and says what it
// lacks; what cannot be asked is refused, and what there is no memory for has to wait.
func TestExplain(t *testing.T) {
	r := newRigOf(t, "", func(s *engine.Spec) { s.History = engine.HistoryPolicy{All: true} }, "a", `{"n":1}`, "b", "1", "a", "text", "a", `{"n":2}`).start()
	c, err := client.New(r.server.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	x, err := c.Explain(t.Context(), "p", client.Question{Key: []byte("a")})
	if err != nil || x.Sequence != 4 || x.Oldest != 0 || x.Ended != "" || len(x.Changes) != 3 {
		t.Fatalf("%+v, %v", x, err)
	}
	for i, want := range []struct {
		seq           uint64
		before, after string
	}{{4, "text", `{"n":2}`}, {3, `{"n":1}`, "text"}, {1, "", `{"n":1}`}} {
		ch := x.Changes[i]
		if ch.Cause != engine.ByEvent || ch.Sequence != want.seq || string(ch.Before) != want.before || string(ch.After) != want.after || ch.Subject != "a" || ch.Time.IsZero() {
			t.Errorf("change %d is %+v", i, ch)
		}
	}
	if x.Changes[2].Before != nil {
		t.Error("an absent value came as an empty one")
	}
	if x, err := c.Explain(t.Context(), "p", client.Question{Key: []byte("a"), At: "3", Limit: 1}); err != nil || len(x.Changes) != 1 || x.Changes[0].Sequence != 3 || x.Oldest != 3 || x.Ended == "" {
		t.Errorf("%+v, %v", x, err)
	}
	r.query.Crowded(0, time.Millisecond)
	if p := r.ask("GET", "/v1/projections/p/explain?key=a", "").problem(t); p.Status != http.StatusServiceUnavailable || p.Code != wire.CodeBusy {
		t.Errorf("without room for another one: %+v", p)
	}
	for path, want := range map[string]string{
		"": "key is empty", "?key_b64=%25": "key_b64", "?key=a&key_b64=YQ==": "key_b64", "?key=a&at=x": "at is", "?key=a&at=0": "at is 0", "?key=a&since=x": "since is", "?key=a&limit=0": "limit is", "?key=a&limit=1001": "limit is", "?key=a&replay=true": "not known",
	} {
		if got := r.ask("GET", "/v1/projections/p/explain"+path, ""); got.StatusCode != http.StatusBadRequest || !strings.Contains(got.body, want) {
			t.Errorf("explain%s: %s", path, got.body)
		}
	}
}
