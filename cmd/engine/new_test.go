package main

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/query/wire"
	"gnomon/internal/scaffold"
	"gnomon/internal/testutil"
	"gnomon/sdk/outcome"
)

// In every language whose compiler is installed, from nothing: a new project is made, built
// and tested with commands of its README, offline and outside of the repository; its module,
// put into the folder of an engine that runs, makes of its events the state that they lead to.
func TestNewProjects(t *testing.T) {
	long(t)
	for _, l := range scaffold.Languages() {
		t.Run(l.Name, func(t *testing.T) {
			p := newProject(t, l.Name)
			testutil.Make(t, l.Name, p.dir)
			testutil.Make(t, l.Name, p.dir, "test")
			p.requireUpdate()
			p.requireServed()
		})
	}
}

// Where a compiler is missing, make names it and what is to be installed.
func TestNewProjectsWithoutCompiler(t *testing.T) {
	bare := t.TempDir()
	for _, program := range []string{"make", "sh", "sed", "mkdir", "dirname"} {
		path, err := exec.LookPath(program)
		if err == nil {
			err = os.Symlink(path, filepath.Join(bare, program))
		}
		if err != nil {
			t.Skipf("there is no %s: %v", program, err)
		}
	}
	for _, l := range scaffold.Languages() {
		if l.Needs == "nothing" {
			continue
		}
		t.Run(l.Name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "x")
			if _, err := scaffold.New(scaffold.Options{Dir: dir, Language: l.Name}); err != nil {
				t.Fatal(err)
			}
			build := exec.CommandContext(t.Context(), filepath.Join(bare, "make"))
			build.Dir, build.Env = dir, []string{"PATH=" + bare}
			out, err := build.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "not installed. ") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// A file of a project that is in a folder, and was not there at first, is one that make builds
// again for: otherwise dev would load what was built without it.
func TestNewProjectsHaveMoreFiles(t *testing.T) {
	for language, kind := range map[string]string{"assemblyscript": "ts", "c": "h", "cpp": "hpp", "go": "go", "nim": "nim", "rust": "rs", "tinygo": "go", "zig": "zig"} {
		dir := filepath.Join(t.TempDir(), "x")
		if _, err := scaffold.New(scaffold.Options{Dir: dir, Language: language}); err != nil {
			t.Fatal(err)
		}
		for i, file := range []string{"build/x.wasm", "more/more." + kind} {
			path := filepath.Join(dir, file)
			at := time.Now().Add(time.Duration(i+1) * time.Hour)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600), os.Chtimes(path, at, at)); err != nil {
				t.Fatal(err)
			}
		}
		err := exec.CommandContext(t.Context(), "make", "-C", dir, "--question").Run()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("%s: make is content with the module that was there: %v", language, err)
		}
	}
}

// project is a new project with the name x.
type project struct {
	t        *testing.T
	dir      string
	language string
	want     *outcome.Outcome // of its test data
}

// newProject makes one where Go finds nothing but its own packages.
func newProject(t *testing.T, language string) *project {
	t.Helper()
	t.Setenv("GOPROXY", "off")
	t.Setenv("GOFLAGS", "")
	t.Setenv("GOWORK", "")
	t.Setenv("GOMODCACHE", t.TempDir())
	t.Setenv("GNOMON_CACHE", compiled(t))
	p := &project{t: t, language: language, dir: filepath.Join(t.TempDir(), "my projects", "x")}
	(&home{t: t}).engine("new", p.dir, "--lang", language)
	b, err := os.ReadFile(filepath.Join(p.dir, "testdata", "expected.json"))
	if err == nil {
		p.want, err = outcome.Decode(b)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// requireUpdate has make update write what is expected, where there is nothing yet.
func (p *project) requireUpdate() {
	p.t.Helper()
	file := filepath.Join(p.dir, "testdata", "expected.json")
	if err := os.Remove(file); err != nil {
		p.t.Fatal(err)
	}
	testutil.Make(p.t, p.language, p.dir, "update")
	var got *outcome.Outcome
	b, err := os.ReadFile(file)
	if err == nil {
		got, err = outcome.Decode(b)
	}
	if err != nil || !maps.Equal(got.State, p.want.State) {
		p.t.Errorf("make update: %v\n%s", err, b)
	}
}

// requireServed has an engine that runs take the module and the events of testdata.
func (p *project) requireServed() {
	p.t.Helper()
	h := newHome(p.t, "bank.>", "")
	modules := p.t.TempDir()
	h.useModules(modules)
	served := h.serve()
	module, err := os.ReadFile(filepath.Join(p.dir, "build", "x.wasm"))
	if err == nil {
		err = os.WriteFile(filepath.Join(modules, "x.wasm"), module, 0o600)
	}
	events, eventsErr := os.Open(filepath.Join(p.dir, "testdata", "events.jsonl"))
	if err != nil || eventsErr != nil {
		p.t.Fatal(err, eventsErr)
	}
	defer events.Close()
	h.configure("", "[[stream]]\nname = \"ALERTS\"\nsubjects = [\"alerts.>\"]\n"+
		projection("x", "x.wasm", `key = "json:account"`, `on_error = "dead-letter"`, "[projection.settings]", "overdraft = 500", "[projection.emit]", `subjects = ["alerts.>"]`))
	served.await("x", "the projection is there", func(engine.Status) bool { return true })
	done, err := served.client.Import(p.t.Context(), "LOG", events)
	if err != nil {
		p.t.Fatal(err)
	}
	served.awaitLive("x", done.Last)
	p.requireState(served)
}

// requireState holds what is served against the outcome that is expected.
func (p *project) requireState(served *process) {
	p.t.Helper()
	ctx := p.t.Context()
	state := map[string]string{}
	err := served.client.Scan(ctx, "x", nil, 0, func(r wire.Row) error {
		state[string(r.Key)] = string(r.Value)
		return nil
	})
	if err != nil || !maps.Equal(state, p.want.State) {
		p.t.Errorf("the state is\n%q, %v\nwant\n%q", state, err, p.want.State)
	}
	var letters []string
	err = served.client.Letters(ctx, "x", 0, 0, func(l wire.Letter) error {
		letters = append(letters, l.Error)
		return nil
	})
	if err != nil || len(letters) != len(p.want.Errors) {
		p.t.Errorf("%d events failed, want %d: %v\n%s", len(letters), len(p.want.Errors), err, strings.Join(letters, "\n"))
	}
	for _, q := range p.want.Queries {
		answer, err := served.client.Query(ctx, "x", []byte(q.Request))
		if q.Error == "" && (err != nil || string(answer.Body) != q.Answer) || q.Error != "" && (err == nil || !strings.Contains(err.Error(), q.Error)) {
			p.t.Errorf("%s is answered by %s, %v; want %s%s", q.Request, answer.Body, err, q.Answer, q.Error)
		}
	}
}
