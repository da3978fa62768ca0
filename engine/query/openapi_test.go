package query_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/query"
	"gnomon/engine/state"
	"gnomon/internal/testutil"
)

// describedRig is a rig that has all that a server can have.
func describedRig(t *testing.T, rows ...string) *rig {
	t.Helper()
	return newRigWith(t, query.Options{Reloader: &reloader{}, Deployer: &deployer{}, Exporter: exporter{text: "archive"}, Modules: modules{}, Logs: new(guest.Logs), LogLevel: new(slog.LevelVar)}, rows...)
}

// syntax parses the sources in a folder, without its tests.
func syntax(t *testing.T, dir string) (all []*ast.File) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	return all
}

func literal(e ast.Expr) string {
	l, ok := e.(*ast.BasicLit)
	if !ok {
		return ""
	}
	s, _ := strconv.Unquote(l.Value)
	return s
}

// Every route of the server is described: what its ServeMux has, and every verb below a
// projection. Whoever adds one describes it in openapi.json.
func TestEveryRouteIsDescribed(t *testing.T) {
	d := describe(t)
	below := "/v1/projections/{projection}"
	routes := map[string]bool{}
	for _, f := range syntax(t, ".") {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr: // mux.Handle("/path", …)
				f, ok := n.Fun.(*ast.SelectorExpr)
				if ok && (f.Sel.Name == "Handle" || f.Sel.Name == "HandleFunc") && len(n.Args) == 2 {
					routes[strings.TrimSuffix(literal(n.Args[0]), "{$}")] = true
				}
			case *ast.CaseClause: // case verb == "state" && hasKey:
				for _, e := range n.List {
					deep := false
					ast.Inspect(e, func(n ast.Node) bool {
						i, ok := n.(*ast.Ident)
						deep = deep || ok && i.Name == "hasKey"
						return true
					})
					ast.Inspect(e, func(n ast.Node) bool {
						b, ok := n.(*ast.BinaryExpr)
						if x, is := exprIdent(b); ok && is && x == "verb" && b.Op == token.EQL {
							path := below + strings.TrimSuffix("/"+literal(b.Y), "/")
							if deep {
								path += "/…"
							}
							routes[path] = true
						}
						return true
					})
				}
			}
			return true
		})
	}
	if len(routes) < 25 {
		t.Fatalf("only these routes were found: %q", slices.Sorted(maps.Keys(routes)))
	}
	maps.DeleteFunc(routes, func(route string, _ bool) bool { return strings.HasPrefix(route, "/ui/") }) // pages for people, which ask what is described
	for route := range routes {
		prefix, deep := strings.CutSuffix(route, "…")
		found := false
		for path := range d.Paths {
			found = found || path == route || deep && strings.HasPrefix(path, prefix)
		}
		if !found {
			t.Errorf("openapi.json does not have %s: describe it there", route)
		}
	}
}

func exprIdent(b *ast.BinaryExpr) (name string, ok bool) {
	if b == nil {
		return "", false
	}
	i, ok := b.X.(*ast.Ident)
	if !ok {
		return "", false
	}
	return i.Name, true
}

// fill puts names into a path of the description.
var fill = strings.NewReplacer("{projection}", "p", "{key}", "a", "{snapshot}", "one", "{stream}", "S", "{name}", "m").Replace

// Every path of the description answers, to the methods and with the parameters that it
// says and no others.
func TestEveryPathAnswers(t *testing.T) {
	d := describe(t)
	r := describedRig(t, "a", "1").start()
	knownParameters := regexp.MustCompile(`parameter "no-such" is not known; there are: (.*)`)
	for path, p := range d.Paths {
		operations := d.operations(path)
		if path != "/metrics" { // which takes any method
			a := r.ask("OPTIONS", fill(path), "")
			allow := strings.Split(a.Header.Get("Allow"), ", ")
			slices.Sort(allow)
			if want := slices.Sorted(maps.Keys(operations)); a.StatusCode != 204 || !slices.Equal(allow, want) {
				t.Errorf("OPTIONS %s: %s, it allows %q, openapi.json has %q", path, a, allow, want)
			}
		}
		for method, o := range operations {
			var want []string
			for _, is := range slices.Concat(p.Parameters, o.Parameters) {
				if is.Ref != "" {
					is = d.Components.Parameters[is.Ref[strings.LastIndex(is.Ref, "/")+1:]]
				}
				if is.In == "query" {
					want = append(want, is.Name)
				}
			}
			a := r.ask(method, fill(path)+"?no-such=1", "")
			var got []string
			if a.StatusCode == 400 {
				if m := knownParameters.FindStringSubmatch(a.problem(t).Detail); m != nil && m[1] != "" {
					got = strings.Split(m[1], ", ")
				}
			}
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%s %s knows the parameters %q, openapi.json has %q", method, path, got, want)
			}
		}
	}
}

// The description has every code that a problem may have.
func TestEveryCodeIsDescribed(t *testing.T) {
	var doc struct {
		Components struct {
			Schemas struct {
				Problem struct {
					Properties struct{ Code struct{ Enum []string } }
				}
			}
		}
	}
	b, err := os.ReadFile("openapi.json")
	if err == nil {
		err = json.Unmarshal(b, &doc)
	}
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, f := range syntax(t, "wire") {
		ast.Inspect(f, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "Code") && len(v.Values) == 1 {
				want = append(want, literal(v.Values[0]))
			}
			return true
		})
	}
	got := doc.Components.Schemas.Problem.Properties.Code.Enum
	slices.Sort(got)
	slices.Sort(want)
	if len(want) < 20 || !slices.Equal(got, want) {
		t.Errorf("openapi.json has the codes %q, the package wire has %q", got, want)
	}
}

// Every operation is asked, and every answer is as the description says: rig.ask holds
// all answers of all tests of this package against it. Whoever adds an operation asks for
// it here.
func TestEveryAnswerIsAsDescribed(t *testing.T) {
	logs := new(guest.Logs)
	logs.Add("p", "", guest.Line{Text: "hello", First: 1, Last: 2})
	r := newRigFor(t, query.Options{Reloader: &reloader{}, Deployer: &deployer{}, Exporter: exporter{text: "archive"}, Modules: modules{}, Logs: logs, LogLevel: new(slog.LevelVar)},
		func(s *engine.Spec) {
			poisoned(engine.Quarantine, new(atomic.Bool))(s)
			m := *s.Module.(*enginetest.Module)
			m.Answer = func(_ enginetest.Guest, request []byte, rows state.Rows) ([]byte, error) {
				value, _, err := rows.Get(request)
				return value, err
			}
			s.Module = &m
		}, "a", `{"n":1}`, "b", "text", "\xff", "1", "a", "poison", "a", `2`).start()
	candidate := r.spec
	candidate.Settings, candidate.AutoPromote, candidate.KeepPrevious = []byte(`{}`), engine.PromoteByHand, time.Hour
	if _, err := r.engine.Declare(t.Context(), candidate); err != nil {
		t.Fatal(err)
	}
	r.caughtUp()
	seen := map[string]bool{}
	r.described = func(c checked) { seen[c.method+" "+c.path+" "+c.status+" "+c.kind] = true }
	p := "/v1/projections/p"
	for _, request := range []string{
		"GET /", "GET /openapi.json", "GET /healthz", "GET /readyz", "GET /metrics", "GET /v1/projections",
		"GET /v1/streams", "GET /v1/streams/S", "GET /v1/streams/S/events?around=2&limit=4&subject=a",
		"POST /v1/reload", "GET /v1/log", `PUT /v1/log {"level":"debug"}`, "PUT /v1/modules/m", "DELETE /v1/modules/m",
		`POST /v1/streams/S/events {"subject":"x"}`, "LINES /v1/streams/S/events {}",
		"GET " + p, "GET " + p + "/history", "GET " + p + "/diff", "GET " + p + "/explain?key=a", "GET " + p + "/changes?from=0&to=4&replay=true", "GET " + p + "/past", "GET " + p + "/state/a?at=5&replay=false", // of what is served: what was committed before it may be no longer kept
		"GET " + p + "/state/a", "GET " + p + "/state/b", "GET " + p + "/state/%FF", "HEAD " + p + "/state/a",
		"GET " + p + "/state", "GET " + p + "/state?limit=1", "LINES-GET " + p + "/state",
		"WATCH " + p + "/watch text/event-stream", "WATCH " + p + "/watch application/x-ndjson", "POST " + p + "/query a", "POST " + p + "/query b",
		"GET " + p + "/dead-letters", `POST ` + p + `/retry {"all":true}`, `POST ` + p + `/drop {"seq":5}`, `POST ` + p + `/skip {"seq":4}`, `POST ` + p + `/export {"seq":3}`,
		`POST ` + p + `/snapshots {"name":"one"}`, "GET " + p + "/snapshots", "GET " + p + "/snapshots/export", "GET " + p + "/snapshots/one/export", "DELETE " + p + "/snapshots/one",
		"GET /v1/access", "GET /v1/access?projection=p&stream=S", "GET " + p + "/module", "GET " + p + "/log", "FOLLOW " + p + "/log text/event-stream",
		"POST " + p + "/promote", "POST " + p + "/rollback", "POST " + p + "/rebuild", "POST " + p + "/pause", "POST " + p + "/resume",
		"WATCH /v1/projections text/event-stream", "WATCH /v1/projections/p text/event-stream", "GET " + p + "/samples",
		"BEFORE lost", "POST " + p + `/accept {"reason":"known"}`,
		"BEFORE withdrawn", "POST " + p + "/remove",
	} {
		method, rest, _ := strings.Cut(request, " ")
		path, body, _ := strings.Cut(rest, " ")
		var headers []string
		switch method {
		case "BEFORE":
			r.before(path)
			continue
		case "WATCH":
			r.describedWatch(path, body, "position")
			continue
		case "FOLLOW":
			r.describedWatch(path, body, "hello")
			continue
		case "LINES":
			method, headers = "POST", []string{"Content-Type", "application/x-ndjson"}
		case "LINES-GET":
			method, headers = "GET", []string{"Accept", "application/x-ndjson"}
		}
		if a := r.ask(method, path, body, headers...); a.StatusCode/100 != 2 && path != "/readyz" {
			t.Errorf("%s: %s", request, a)
		}
	}
	for path := range r.openapi.Paths {
		for method, o := range r.openapi.operations(path) {
			for status, is := range o.Responses {
				for kind := range is.Content {
					if status[0] == '2' && !seen[method+" "+path+" "+status+" "+kind] {
						t.Errorf("%s %s was not asked for what it answers with status %s as %s: ask for it in this test", method, path, status, kind)
					}
				}
			}
		}
	}
}

// describedWatch holds the beginning of a watch against the description.
func (r *rig) describedWatch(path, kind, until string) {
	r.t.Helper()
	s := r.open(path, "Accept", kind)
	var lines []byte
	for !strings.Contains(string(lines), until) {
		line, err := s.text.ReadBytes('\n')
		if err != nil {
			r.t.Fatalf("%s as %s: %v after %q", path, kind, err, lines)
		}
		lines = append(lines, line...)
	}
	s.stop()
	r.holdToDescription("GET", path, s.res, lines)
}

// before does what an operation needs before it.
func (r *rig) before(what string) {
	r.t.Helper()
	switch what {
	case "lost":
		r.pause()
		r.nats.Append("S", "a", []byte("3"))
		r.nats.Append("S", "a", []byte("4"))
		r.nats.Purge("S", 7)
		if err := r.engine.Resume("p"); err != nil {
			r.t.Fatal(err)
		}
		testutil.Until(r.t, func() bool { s, err := r.engine.Status("p"); return err == nil && s.State == engine.Diverged })
	case "withdrawn":
		if err := r.engine.Withdraw(r.t.Context(), "p", "it is not declared"); err != nil {
			r.t.Fatal(err)
		}
	}
}
