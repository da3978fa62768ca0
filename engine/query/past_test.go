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
		moments := []string{fmt.Sprint(at), fmt.Sprintf("%d&wait=1s", at), fmt.Sprintf("%d&replay=true&min_seq=1", at)}
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
