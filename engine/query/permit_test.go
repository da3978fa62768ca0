package query_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"gnomon/engine"
	"gnomon/engine/query"
	"gnomon/engine/query/access"
	"gnomon/engine/query/wire"
)

// Tokens of these tests, by what they may do.
const (
	readsP    = "token-that-reads-p"
	readsQ    = "token-that-reads-q"
	readsAll  = "token-that-reads-all"
	appendsS  = "token-that-appends-to-S"
	adminP    = "token-that-is-admin-of-p"
	adminAll  = "token-that-is-admin-of-all"
	noToken   = ""
	wrong     = "token-that-nobody-knows"
	everybody = "readsP readsQ readsAll appendsS adminP adminAll"
)

var named = map[string]string{
	"readsP": readsP, "readsQ": readsQ, "readsAll": readsAll, "appendsS": appendsS, "adminP": adminP, "adminAll": adminAll, "noToken": noToken, "wrong": wrong,
}

// guarded is a rig with tokens, and two projections: p and q.
func guarded(t *testing.T) *rig {
	t.Helper()
	r := newRigWith(t, query.Options{Access: tokens(t, map[string]access.Grant{
		readsP:   {Role: access.Read, Projections: []string{"p*"}},
		readsQ:   {Role: access.Read, Projections: []string{"q"}},
		readsAll: {Role: access.Read},
		appendsS: {Role: access.Append, Streams: []string{"S"}},
		adminP:   {Role: access.Admin, Projections: []string{"p"}},
		adminAll: {Role: access.Admin},
	}), Reloader: &reloader{}, Deployer: &deployer{}, LogLevel: new(slog.LevelVar)}, "a", "1")
	q := r.spec
	q.Name = "q"
	if _, err := r.engine.Declare(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	return r.start()
}

// reloader and deployer have nothing to do.
type (
	reloader struct{}
	deployer struct{}
)

func (reloader) Reload(context.Context) (done wire.Reloaded, err error) { return done, nil }

func (deployer) Deploy(context.Context, string, string, []byte) (done wire.Deployed, err error) {
	return done, nil
}

func (deployer) Remove(context.Context, string, string) error { return nil }

// as asks with a token.
func (r *rig) as(token, method, path string, headers ...string) reply {
	r.t.Helper()
	if token != "" {
		headers = append(headers, "Authorization", "Bearer "+token)
	}
	return r.ask(method, path, "", headers...)
}

// Every request needs a role about its projection or stream. Who has it gets past the
// guard; who has another one is refused as forbidden, and who has none as unauthorized.
func TestRoles(t *testing.T) {
	r := guarded(t)
	for _, tt := range []struct{ request, may string }{
		{"GET /healthz", everybody + " noToken wrong"},
		{"GET /readyz", everybody + " noToken wrong"},
		{"GET /", everybody},
		{"GET /metrics", everybody},
		{"GET /nothing", everybody},
		{"GET /v1/projections", everybody},
		{"GET /v1/projections/p", "readsP readsAll adminP adminAll"},
		{"HEAD /v1/projections/p/state/a", "readsP readsAll adminP adminAll"},
		{"GET /v1/projections/p/state/a%2Fexport", "readsP readsAll adminP adminAll"},
		{"GET /v1/projections/p@candidate/state", "readsP readsAll adminP adminAll"},
		{"GET /v1/projections/%70/state", "readsP readsAll adminP adminAll"},
		{"GET /v1/projections/q/state/a", "readsQ readsAll adminAll"},
		{"GET /v1/projections/p/dead-letters", "readsP readsAll adminP adminAll"},
		{"GET /v1/projections/p/history", "readsP readsAll adminP adminAll"},
		{"GET /v1/projections/p/snapshots", "readsP readsAll adminP adminAll"},
		{"GET /v1/projections/p/diff", "readsP readsAll adminP adminAll"},
		{"POST /v1/projections/p/query", "readsP readsAll adminP adminAll"},
		{"GET /v1/projections/p/snapshots/export", "adminP adminAll"},
		{"GET /v1/projections/p/snapshots/one/export", "adminP adminAll"},
		{"POST /v1/projections/p/snapshots", "adminP adminAll"},
		{"DELETE /v1/projections/p/snapshots/one", "adminP adminAll"},
		{"GET /v1/projections/p/module", "readsP readsAll adminP adminAll"},
		{"GET /v1/projections/p/log", "readsP readsAll adminP adminAll"},
		{"GET /v1/access", everybody},
		{"POST /v1/access", "adminAll"},
		{"POST /v1/projections/p/pause", "adminP adminAll"},
		{"POST /v1/projections/p/resume", "adminP adminAll"},
		{"POST /v1/projections/p/rebuild", "adminP adminAll"},
		{"POST /v1/projections/p/promote", "adminP adminAll"},
		{"POST /v1/projections/p/rollback", "adminP adminAll"},
		{"POST /v1/projections/p/remove", "adminP adminAll"},
		{"POST /v1/projections/p/accept", "adminP adminAll"},
		{"POST /v1/projections/p/retry", "adminP adminAll"},
		{"POST /v1/projections/p/export", "adminP adminAll"},
		{"POST /v1/projections/p/of-a-later-version", "adminP adminAll"},
		{"POST /v1/projections/q/pause", "adminAll"},
		{"DELETE /v1/projections/p/state/a", "adminP adminAll"},
		{"POST /v1/projections", "adminAll"},
		{"POST /v1/streams/S/events", "appendsS adminAll"},
		{"POST /v1/streams/%53/events", "appendsS adminAll"},
		{"POST /v1/streams/OTHER/events", "adminAll"},
		{"GET /v1/streams", everybody},
		{"GET /v1/streams/S", "readsAll appendsS adminAll"},
		{"GET /v1/streams/%53/events", "readsAll appendsS adminAll"},
		{"GET /v1/streams/OTHER/events", "readsAll adminAll"},
		{"POST /v1/reload", "adminAll"},
		{"POST /v1/%72eload", "adminAll"},
		{"GET /v1/log", "adminAll"},
		{"PUT /v1/log", "adminAll"},
		{"PUT /v1/modules/m?bucket=B", "adminAll"},
		{"DELETE /v1/modules/m?bucket=B", "adminAll"},
		{"GET /v1/of-a-later-version", "adminAll"},
		{"POST /", "adminAll"},
	} {
		method, path, _ := strings.Cut(tt.request, " ")
		for name, token := range named {
			a := r.as(token, method, path)
			may := slices.Contains(strings.Fields(tt.may), name)
			switch {
			case may && (a.StatusCode == 401 || a.StatusCode == 403):
				t.Errorf("%s as %s: %s", tt.request, name, a)
			case may:
			case token == noToken || token == wrong:
				if challenge := a.Header.Get("WWW-Authenticate"); a.StatusCode != 401 || strings.Contains(challenge, "invalid_token") != (token == wrong) {
					t.Errorf("%s as %s: %s, %s", tt.request, name, a, challenge)
				}
			case a.StatusCode != 403 || !strings.Contains(a.Header.Get("WWW-Authenticate"), "insufficient_scope"):
				t.Errorf("%s as %s: %s", tt.request, name, a)
			}
		}
	}
}

// A refusal is the same whether there is what the request is about or not.
func TestRefusalsRevealNothing(t *testing.T) {
	r := guarded(t)
	for _, request := range []string{"GET /v1/projections/%s/state/a", "GET /v1/projections/%s", "POST /v1/projections/%s/pause", "GET /v1/projections/%s/nothing"} {
		method, path, _ := strings.Cut(request, " ")
		there := r.as(readsP, method, fmt.Sprintf(path, "q")).problem(t)
		absent := r.as(readsP, method, fmt.Sprintf(path, "x")).problem(t)
		if there.Code != wire.CodeForbidden || strings.ReplaceAll(there.Detail, "/q", "/x") != absent.Detail || there.Hint != absent.Hint || there.Status != absent.Status {
			t.Errorf("%s: %+v, and of one that is not there %+v", request, there, absent)
		}
	}
}

// Lists and metrics have what the token may read, and the reasons for not being ready are
// for those who may read everything.
func TestListsAreCut(t *testing.T) {
	r := guarded(t)
	if err := r.engine.Pause("q"); err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]string{readsP: "p", readsQ: "q", readsAll: "p q", adminP: "p", adminAll: "p q", appendsS: ""} {
		var list wire.Projections
		if err := json.Unmarshal([]byte(r.as(token, "GET", "/v1/projections").body), &list); err != nil || list.Projections == nil {
			t.Fatal(err, list)
		}
		var names []string
		for _, s := range list.Projections {
			names = append(names, s.Projection)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s lists %q, want %q", token, got, want)
		}
		metrics := r.as(token, "GET", "/metrics").body
		for _, p := range []string{"p", "q"} {
			if got := strings.Contains(metrics, `projection="`+p+`"`); got != slices.Contains(names, p) {
				t.Errorf("%s has metrics of %s: %v", token, p, got)
			}
		}
		if len(names) == 0 && strings.Contains(metrics, `stream="`) {
			t.Errorf("%s has metrics of streams: %s", token, metrics)
		}
		if !strings.Contains(metrics, "gnomon_build_info") {
			t.Errorf("%s has no metrics of the engine: %s", token, metrics)
		}
	}
	for token, told := range map[string]bool{readsP: false, noToken: false, wrong: false, readsAll: true, adminAll: true} {
		a := r.as(token, "GET", "/readyz")
		if got := strings.Contains(a.body, "projection q"); a.StatusCode != 503 || got != told {
			t.Errorf("%q is told why: %v: %s", token, got, a)
		}
	}
}

// The word before a token may be written as anybody likes, and has to be there.
func TestBearer(t *testing.T) {
	r := guarded(t)
	for header, want := range map[string]int{"Bearer " + readsP: 200, "bearer " + readsP: 200, readsP: 401, "Basic " + readsP: 401, "Bearer": 401, "Bearer  " + readsP: 401} {
		if a := r.ask("GET", "/v1/projections/p", "", "Authorization", header); a.StatusCode != want {
			t.Errorf("%q: %s, want %d", header, a, want)
		}
	}
	if s, err := r.engine.Status("p"); err != nil || s.State != engine.Live {
		t.Errorf("the projection is %s, %v", s.State, err)
	}
}
