package query_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"gnomon/engine"
	"gnomon/engine/guest"
	"gnomon/engine/query"
	"gnomon/engine/query/wire"
	"gnomon/engine/state"
	"gnomon/internal/testutil"
	"gnomon/sdk/abi"
)

// differing stores what letters does, but for some keys: what is under them here is stored
// instead, or nothing where that is nil. Keys of more are stored beside every event.
func differing(instead map[string][]byte, more ...string) func(abi.Record, guest.State) error {
	return func(e abi.Record, st guest.State) error {
		for _, key := range more {
			if err := st.Put([]byte(key), []byte("more")); err != nil {
				return err
			}
		}
		value, ok := instead[string(e.Subject)]
		if !ok {
			value = e.Data
		}
		if value == nil {
			return nil
		}
		return st.Put(e.Subject, value)
	}
}

// A comparison has every key that differs, in key order, with the values that there are, in
// the forms that other reads have; and what it amounts to as its last line.
func TestDiff(t *testing.T) {
	r := newRigWithCandidate(t, differing(map[string][]byte{"b": []byte("2.0"), "gone": nil, "\xff": []byte("text"), "null": []byte("null"), "empty": {}, "space": []byte("[ ]")}, "new", "\xfe"),
		"a", "1", "b", "2", "c", "text", "gone", `{"n": 1}`, "\xff", "\x00", "null", "1", "empty", "1", "space", "[]").caughtUp()
	s, err := r.engine.Status("p")
	if err != nil {
		t.Fatal(err)
	}
	sum := func(counts string) string {
		return fmt.Sprintf(`{"as_of_seq":8,"live":"%s","candidate":"%s",%s}`+"\n", s.Generation, s.Candidate.ID, counts)
	}
	const b, empty = `{"key":"b","change":"changed","live":2,"candidate":2.0}` + "\n", `{"key":"empty","change":"changed","live":1,"candidate_b64":""}` + "\n"
	for query, want := range map[string]string{
		"": b + empty +
			`{"key":"gone","change":"missing","live":{"n":1}}` + "\n" +
			`{"key":"new","change":"added","candidate_b64":"bW9yZQ=="}` + "\n" +
			`{"key":"null","change":"changed","live":1,"candidate":null}` + "\n" +
			`{"key":"space","change":"changed","live_b64":"W10=","candidate_b64":"WyBd"}` + "\n" +
			`{"key_b64":"/g==","change":"added","candidate_b64":"bW9yZQ=="}` + "\n" +
			`{"key_b64":"/w==","change":"changed","live_b64":"AA==","candidate_b64":"dGV4dA=="}` + "\n" +
			sum(`"added":2,"missing":1,"changed":5,"same":2`),
		"?prefix=b":                   b + sum(`"added":0,"missing":0,"changed":1,"same":0`),
		"?prefix=a":                   sum(`"added":0,"missing":0,"changed":0,"same":1`),
		"?prefix=none":                sum(`"added":0,"missing":0,"changed":0,"same":0`),
		"?prefix=%FE":                 `{"key_b64":"/g==","change":"added","candidate_b64":"bW9yZQ=="}` + "\n" + sum(`"added":1,"missing":0,"changed":0,"same":0`),
		"?prefix_b64=" + "%2Fw%3D%3D": `{"key_b64":"/w==","change":"changed","live_b64":"AA==","candidate_b64":"dGV4dA=="}` + "\n" + sum(`"added":0,"missing":0,"changed":1,"same":0`),
		"?limit=2":                    b + empty + sum(`"added":2,"missing":1,"changed":5,"same":2`),
	} {
		a := r.ask("GET", "/v1/projections/p/diff"+query, "")
		if a.StatusCode != 200 || a.body != want {
			t.Errorf("%s: %s\nwant %q", query, a, want)
		}
		h := a.Header
		if h.Get("Content-Type") != "application/x-ndjson" || h.Get("Gnomon-As-Of-Seq") != "8" || h.Get("Gnomon-As-Of-Time") == "" || h.Get("Gnomon-State") != "live" ||
			h.Get("Gnomon-Generation") != s.Generation || h.Get("Gnomon-Candidate") != s.Candidate.ID {
			t.Errorf("headers %v", h)
		}
	}
	if a := r.ask("HEAD", "/v1/projections/p/diff", ""); a.StatusCode != 200 || a.body != "" || a.Header.Get("Gnomon-As-Of-Seq") != "8" {
		t.Errorf("HEAD: %s", a)
	}
	for query, detail := range map[string]string{"?after=a": `"after" is not known`, "?limit=0": "between 1 and", "?prefix_b64=%25": "prefix_b64"} {
		if p := r.ask("GET", "/v1/projections/p/diff"+query, "").problem(t); p.Code != wire.CodeBadRequest || !strings.Contains(p.Detail, detail) {
			t.Errorf("%s: %+v", query, p)
		}
	}
}

// Whatever the two states are, a client is told of just the keys in which they differ, and
// their numbers add up.
func TestDiffOfAnyStates(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for round := range 10 {
		var rows []string
		want := map[string]string{}
		instead := map[string][]byte{}
		same := int64(0)
		for i := range random.IntN(300) {
			key, value := fmt.Sprintf("%c%d", byte(random.IntN(256)), i), fmt.Sprint(i)
			rows = append(rows, key, value)
			switch random.IntN(4) {
			case 0:
				instead[key], want[key] = nil, "missing "+value+" "
			case 1:
				instead[key], want[key] = []byte("x"), "changed "+value+" x"
			default:
				same++
			}
		}
		var more []string
		if round%2 == 0 {
			more, want["new"] = []string{"new"}, "added  more"
		}
		r := newRigWithCandidate(t, differing(instead, more...), append(rows, "\xff\xff", "end")...).caughtUp()
		got := map[string]string{}
		var last []byte
		sum, err := r.client().Diff(t.Context(), "p", nil, 0, func(d wire.Difference) error {
			if last != nil && bytes.Compare(last, d.Key) >= 0 {
				t.Errorf("%q comes after %q", d.Key, last)
			}
			last = d.Key
			got[string(d.Key)] = fmt.Sprintf("%s %s %s", d.Change, d.Live, d.Candidate)
			return nil
		})
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%v: %q\nwant %q", err, got, want)
		}
		if sum.Same != same+1 || sum.Added+sum.Missing+sum.Changed != int64(len(want)) || sum.Differs() != (len(want) > 0) {
			t.Errorf("%+v of %d that differ and %d that do not", sum, len(want), same+1)
		}
	}
}

// The generation that was read before can be compared as well.
func TestDiffWithPrevious(t *testing.T) {
	r := newRigWithCandidate(t, differing(nil, "new"), "a", "1").caughtUp()
	done, err := r.client().Promote(t.Context(), "p", 0)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	sum, err := r.client().Diff(t.Context(), "p@previous", nil, 0, func(d wire.Difference) error {
		keys = append(keys, string(d.Change)+" "+string(d.Key))
		return nil
	})
	want := wire.Compared{AsOfSeq: 1, Live: done.To, Candidate: done.From, Missing: 1, Same: 1}
	if err != nil || sum != want || !slices.Equal(keys, []string{"missing new"}) {
		t.Errorf("%+v, %v, %v, want %+v", sum, keys, err, want)
	}
	stop := errors.New("stop")
	if _, err := r.client().Diff(t.Context(), "p@previous", nil, 0, func(wire.Difference) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("with a failing fn: %v", err)
	}
}

// A client that does not read its comparison is cut off, and holds neither generation then.
func TestDiffForClientThatDoesNotRead(t *testing.T) {
	rows := large(3)
	instead := map[string][]byte{}
	for i := 0; i < len(rows); i += 2 {
		instead[rows[i]] = []byte(`"` + strings.Repeat("y", 900_000) + `"`)
	}
	r := newRigWithCandidate(t, differing(instead), rows...).caughtUp()
	r.query.Hurry(atOnce, never, never)
	_, server := r.call("GET /v1/projections/p/diff?" + url.Values{"prefix": {"k"}}.Encode())
	await(t, server.closed, "the end of the connection")
	testutil.Until(t, func() bool { return strings.Contains(r.log.String(), "comparison was cut off") })
	testutil.Until(t, func() bool { return r.engine.Close() == nil }) // which complains of what is held
}

// damaged is an engine one of whose generations cannot be read to its end.
type damaged struct {
	*engine.Engine
	reading func(*engine.Comparison) *engine.Reading
}

func (d damaged) Compare(ctx context.Context, name string) (*engine.Comparison, error) {
	c, err := d.Engine.Compare(ctx, name)
	if err == nil {
		r := d.reading(c)
		r.View = damagedView{r.View}
	}
	return c, err
}

// damagedView has one row, and then damage.
type damagedView struct{ state.View }

func (v damagedView) Scan(prefix, after []byte, fn func(key, value []byte) bool) error {
	if err := v.View.Scan(prefix, after, func(key, value []byte) bool { fn(key, value); return false }); err != nil {
		return err
	}
	return state.ErrCorrupt
}

// A generation that cannot be read to its end is no comparison, and what comes after is not
// taken for something that it lacks.
func TestDiffOfDamage(t *testing.T) {
	for name, reading := range map[string]func(*engine.Comparison) *engine.Reading{
		"live":      func(c *engine.Comparison) *engine.Reading { return c.Live },
		"candidate": func(c *engine.Comparison) *engine.Reading { return c.Candidate },
	} {
		for _, rows := range [][]string{{"a", "1"}, {"a", "1", "b", "2", "c", "3"}} {
			t.Run(fmt.Sprint(name, " of ", len(rows)/2), func(t *testing.T) {
				r := newRigWithCandidate(t, differing(nil), rows...).caughtUp()
				r.server.Config.Handler = query.New(query.Options{Engine: damaged{r.engine, reading}, Log: slog.New(slog.NewTextHandler(r.log, nil))})
				_, err := r.client().Diff(t.Context(), "p", nil, 0, func(d wire.Difference) error {
					t.Errorf("%s %s", d.Change, d.Key)
					return nil
				})
				if err == nil || !strings.Contains(r.log.String(), `lines=0 error="`+state.ErrCorrupt.Error()) {
					t.Errorf("%v; the log has %s", err, r.log)
				}
			})
		}
	}
}

// answering answers everything with a text.
type answering string

func (a answering) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, string(a))
}

// A comparison that was cut off is told from one that is complete.
func TestDiffCutOff(t *testing.T) {
	r := newRigWithCandidate(t, differing(nil, "new"), "a", "1").caughtUp()
	whole := r.ask("GET", "/v1/projections/p/diff", "").body
	for n := range len(whole) - 1 {
		r.server.Config.Handler = answering(whole[:n])
		if _, err := r.client().Diff(t.Context(), "p", nil, 0, func(wire.Difference) error { return nil }); err == nil || !strings.Contains(err.Error(), "diff of p was cut off after") {
			t.Fatalf("%q: %v", whole[:n], err)
		}
	}
}
