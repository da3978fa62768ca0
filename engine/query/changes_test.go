package query_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
	"gnomon/sdk/abi"
)

// kept has a projection keep all of its history.
func kept(s *engine.Spec) { s.History = engine.HistoryPolicy{All: true} }

// removing stores each event's data under its subject, and removes that where the data is
// "gone".
func removing(s *engine.Spec) {
	kept(s)
	s.Module = enginetest.FuncModule("removing", func(e abi.Record, st guest.State) error {
		if string(e.Data) == "gone" {
			return st.Delete(e.Subject)
		}
		return st.Put(e.Subject, e.Data)
	})
}

// Changes are the keys that differ between two points, in key order, with both values in the
// forms that other reads have, and their numbers; a limit bounds what is told, not what is
// counted. What is as before at the end is no change.
func TestChanges(t *testing.T) {
	r := newRigOf(t, "", removing, "a", "1", "b", "text", "c", `{"n": 1}`, "d", "1", "a", "2", "b", "gone", "c", `{"n":1}`, "\xff", "x", "d", "2", "d", "1").start()
	const (
		a    = `{"key":"a","change":"changed","before":1,"after":2}`
		b    = `{"key":"b","change":"removed","before_b64":"dGV4dA=="}`
		c    = `{"key":"c","change":"changed","before_b64":"eyJuIjogMX0=","after_b64":"eyJuIjoxfQ=="}`
		d    = `{"key_b64":"/w==","change":"added","after_b64":"eA=="}`
		sums = `"counts":{"added":1,"changed":2,"removed":1,"complete":true}`
	)
	for query, want := range map[string][]string{
		"from=4":                       {`"items":[` + strings.Join([]string{a, b, c, d}, ",") + `]}`, sums, `"to":{"as_of_seq":10,`, `"from":{"as_of_seq":4,"as_of_time":"`},
		"from=4&to=8&replay=true":      {`"items":[` + strings.Join([]string{a, b, c, d}, ",") + `]}`, sums, `"to":{"as_of_seq":8,`},
		"from=4&limit=2":               {`"items":[` + a + "," + b + `],"next":"b"}`, sums},
		"from=4&limit=2&after=b":       {`"items":[` + c + "," + d + `]}`, `"counts":{"added":1,"changed":1,"removed":0,"complete":true}`},
		"from=4&limit=3&after=b":       {`"items":[` + c + "," + d + `]}`},
		"from=4&prefix_b64=%2Fw%3D%3D": {`"items":[` + d + `]}`, `"counts":{"added":1,"changed":0,"removed":0,"complete":true}`},
		"from=4&to=4":                  {`"items":[]}`, `"counts":{"added":0,"changed":0,"removed":0,"complete":true}`},
		"from=0&to=1":                  {`"items":[{"key":"a","change":"added","after":1}]}`, `"from":{"as_of_seq":0,"as_of_time":null}`},
	} {
		got := r.ask("GET", "/v1/projections/p/changes?"+query, "")
		for _, part := range want {
			if got.StatusCode != http.StatusOK || !strings.Contains(got.body, part) {
				t.Errorf("%s: %s\nwant %s", query, got, part)
			}
		}
	}
	for query, want := range map[string]string{
		"":                          "400 from is missing",
		"from=x":                    `400 from is "x"`,
		"from=1&to=0":               "400 to is 0",
		"from=1&to=y":               `400 to is "y"`,
		"from=1&replay=maybe":       "400 replay is",
		"from=1&limit=0":            "400 limit is",
		"from=1&at=2":               "400 parameter \"at\" is not known",
		"from=5&to=4":               "400 from is after to",
		"from=1&to=11":              "409 projection p reflects 10, 11 is not reached",
		"from=11":                   "409 projection p reflects 10, 11 is not reached",
		"from=2999-01-01T00:00:00Z": "409 projection p: the time",
	} {
		p := r.ask("GET", "/v1/projections/p/changes?"+query, "").problem(t)
		if got := fmt.Sprintf("%d %s", p.Status, p.Detail); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	e, err := r.nats.Event(t.Context(), "S", 4)
	if err != nil {
		t.Fatal(err)
	}
	fourth := url.QueryEscape(time.Unix(0, e.TimeNs).Format(time.RFC3339Nano))
	if got := r.ask("GET", "/v1/projections/p/changes?from="+fourth, ""); !strings.Contains(got.body, `"from":{"as_of_seq":4,`) {
		t.Errorf("from the time of an event: %s", got)
	}
}

// A client is told of all that differs, page by page, as two full scans have it, whatever the
// events; and of no more than it asks for.
func TestClientOfChanges(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var rows []string
	for range 60 {
		value := fmt.Sprint(r.IntN(3))
		if r.IntN(3) == 0 {
			value = "gone"
		}
		rows = append(rows, fmt.Sprintf("%c", 'a'+r.IntN(20)), value)
	}
	rig := newRigOf(t, "", removing, rows...).start()
	c := rig.client()
	for range 20 {
		ends := []int{r.IntN(61), 1 + r.IntN(60)}
		slices.Sort(ends)
		limit := r.IntN(4)
		states := [2]map[string]string{{}, {}}
		for i, state := range states {
			for n := range ends[i] {
				if state[rows[2*n]] = rows[2*n+1]; rows[2*n+1] == "gone" {
					delete(state, rows[2*n])
				}
			}
		}
		var want, got []string
		for key := 'a'; key < 'a'+20; key++ {
			before, had := states[0][string(key)]
			after, has := states[1][string(key)]
			if had != has || before != after {
				want = append(want, fmt.Sprintf("%c %s>%s", key, before, after))
			}
		}
		sum, err := c.AllChanges(t.Context(), "p", client.Between{From: fmt.Sprint(ends[0]), To: fmt.Sprint(ends[1]), Limit: limit}, func(k wire.ChangedKey) error {
			got = append(got, fmt.Sprintf("%s %s>%s", k.Key, k.Before, k.After))
			return nil
		})
		if err != nil || sum.Counts.Differ() != int64(len(want)) || !sum.Counts.Complete || sum.From.AsOfSeq != uint64(ends[0]) || sum.To.AsOfSeq != uint64(ends[1]) {
			t.Errorf("from %v: %+v, %v, want %d", ends, sum, err, len(want))
		}
		if limit > 0 && len(want) > limit {
			want = want[:limit]
		}
		if !slices.Equal(got, want) {
			t.Errorf("from %v: %q, want %q", ends, got, want)
		}
	}
}

// A page ends where its time is over, with the key to go on after, though nothing differed so
// far; a client that goes on has everything.
func TestChangesInLittleTime(t *testing.T) {
	r := newRigOf(t, "", removing, "a", "1", "b", "1", "c", "1", "d", "1", "a", "1", "b", "1", "c", "1", "d", "2").start()
	r.query.LetTake(0, time.Minute)
	got := r.ask("GET", "/v1/projections/p/changes?from=4", "")
	if !strings.Contains(got.body, `"items":[],"next":"a"}`) || !strings.Contains(got.body, `"changed":0,"removed":0,"complete":false}`) {
		t.Errorf("%s", got)
	}
	var keys []string
	sum, err := r.client().AllChanges(t.Context(), "p", client.Between{From: "4"}, func(k wire.ChangedKey) error { keys = append(keys, string(k.Key)); return nil })
	if err != nil || !slices.Equal(keys, []string{"d"}) || sum.Counts != (wire.ChangedCounts{Changed: 1, Complete: true}) {
		t.Errorf("%q, %+v, %v", keys, sum, err)
	}
}

// A page has so many bytes at most, unless its first key has more; and the API says so for
// history that is not kept, and from where on it is.
func TestChangesAreBounded(t *testing.T) {
	large := strings.Repeat("x", 1<<20-100)
	var rows []string
	for n := range 6 {
		rows = append(rows, fmt.Sprint(n), large)
	}
	r := newRigOf(t, "", removing, rows...).start()
	var page wire.Changes
	page, err := r.client().Changes(t.Context(), "p", client.Between{From: "0"})
	if err != nil || len(page.Items) != 4 || page.Next == nil || *page.Next != "3" || page.Counts.Added != 6 {
		t.Errorf("%d items, %+v, %v", len(page.Items), page.ChangesSum, err)
	}
	past, err := r.client().Past(t.Context(), "p")
	if err != nil || past.Newest != 6 || past.Oldest != 0 || past.Projection != "p" || past.OldestTime != nil || past.NewestTime == nil {
		t.Errorf("%+v, %v", past, err)
	}
	r.query.Crowded(0, time.Millisecond)
	var p *wire.Problem
	if _, err := r.client().Changes(t.Context(), "p", client.Between{From: "0"}); !errors.As(err, &p) || p.Code != wire.CodeBusy {
		t.Errorf("without room: %v", err)
	}
}
