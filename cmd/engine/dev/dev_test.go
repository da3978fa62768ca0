package dev

import (
	"bytes"
	"fmt"
	"gnomon/engine"
	"gnomon/engine/config"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// folder is one of a test.
type folder struct {
	t   *testing.T
	dir string
}

func (f *folder) write(file, text string) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, file), []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// Of a step only what is another value than before is printed, and of many the first.
func TestChangesShown(t *testing.T) {
	var out bytes.Buffer
	c := newChanges(&out)
	step := func(kind engine.WatchKind, rows ...string) string {
		out.Reset()
		for ; len(rows) > 0; rows = rows[2:] {
			c.take(engine.WatchEvent{Kind: kind, Sequence: 5, Key: []byte(rows[0]), Value: []byte(rows[1]), Deleted: rows[1] == "deleted"})
		}
		c.take(engine.WatchEvent{Kind: engine.WatchPosition, Sequence: 5})
		return out.String()
	}
	many := []string{}
	for i := range shownLines + 3 {
		many = append(many, fmt.Sprintf("n%02d", i), "1")
	}
	for _, tt := range []struct{ got, want string }{
		{step(engine.WatchSnapshot, "a", "1", "b", "2"), "5\t~\ta\t1\n5\t~\tb\t2\n"},
		{step(engine.WatchChange, "a", "1", "b", "3"), "5\t~\tb\t3\n"},
		{step(engine.WatchChange, "a", "deleted", "c", "deleted"), "5\t-\ta\n"},
		{step(engine.WatchSnapshot, "c", "1"), "5\t~\tc\t1\n5\t-\tb\n"},
		{step(engine.WatchChange), ""},
		{step(engine.WatchChange, "long", strings.Repeat("x", 300)), "5\t~\tlong\t" + strings.Repeat("x", 200) + "…\n"},
	} {
		if tt.got != tt.want {
			t.Errorf("printed is %q, want %q", tt.got, tt.want)
		}
	}
	if got := step(engine.WatchChange, many...); strings.Count(got, "\n") != shownLines+1 || !strings.HasSuffix(got, "\t… and 3 more: engine scan shows all\n") {
		t.Errorf("of many changes printed is\n%s", got)
	}
}

// Sources are what is not made of them, nor written by editors and by dev itself: a file of another content is told, one that was
// written again as it was is not.
func TestSources(t *testing.T) {
	h := &folder{t, t.TempDir()}
	for _, dir := range []string{"sub", "build", ".git", "data", "sub/node_modules"} {
		if err := os.Mkdir(filepath.Join(h.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
		h.write(dir+"/f", "1")
	}
	h.write("f", "1")
	h.write("output", "1")
	output, err := os.Open(filepath.Join(h.dir, "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	s := &sources{dir: h.dir, without: []string{filepath.Join(h.dir, "data")}, written: []*os.File{output}}
	seen := s.look()
	for _, file := range []string{"output", ".f.swp", "f~", "#f#", "sub/dev.log"} {
		h.write(file, "2")
	}
	for _, dir := range []string{"build", ".git", "data", "sub/node_modules"} {
		h.write(dir+"/f", "2")
	}
	h.write("f", "1")
	if other := s.look().otherThan(seen); len(other) > 0 {
		t.Errorf("%q are taken for changes", other)
	}
	h.write("f", "2")
	h.write("sub/g", "1")
	if err := os.Remove(filepath.Join(h.dir, "sub", "f")); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(s.await(t.Context(), seen)); got != "[f sub/f sub/g]" {
		t.Errorf("changed are %s", got)
	}
}

// The example of an event is of the type that there is most of.
func TestCommonEvent(t *testing.T) {
	h := &folder{t, t.TempDir()}
	h.write("seed", `{"subject":"s.a","type":"A","data":{"n":1}}`+"\nnot JSON\n"+`{"subject":"s.b","type":"B","data":{"n":2}}`+"\n"+`{"subject":"s.b","type":"B","data":{"n":3}}`+"\n")
	e, ok := commonEvent(filepath.Join(h.dir, "seed"))
	if !ok || e.Subject != "s.b" || string(e.Data) != `{"n":2}` {
		t.Errorf("%s %s, %t", e.Subject, e.Data, ok)
	}
	if _, ok := commonEvent(filepath.Join(h.dir, "none")); ok {
		t.Error("there is an event in a file that is not there")
	}
}

// The configuration of a script is one that an engine takes, and says what flags and the files beside the
// script say.
func TestConfigurationOfAScript(t *testing.T) {
	event := func(subject string) string {
		return fmt.Sprintf(`{"subject":%q,"id":%[1]q,"type":"t","time":"2026-01-31T12:00:00Z","data":{}}`+"\n", subject)
	}
	for name, tt := range map[string]struct {
		flags scriptFlags
		files map[string]string
		want  string // projection, key, settings, emits, and streams with their subjects
		fails string
	}{
		"alone":        {scriptFlags{stream: "EVENTS"}, nil, `odd-name "" {} [] EVENTS [events.>]`, ""},
		"with events":  {scriptFlags{stream: "S"}, map[string]string{"testdata/events.jsonl": event("a.b") + event("a.c") + event("d")}, `odd-name "" {} [] S [a.> d] seeded`, ""},
		"with a key":   {scriptFlags{stream: "S", subjects: []string{"x.*"}, key: "subject:2"}, nil, `odd-name "subject:2" {} [] S [x.*]`, ""},
		"that emits":   {scriptFlags{stream: "S", emits: []string{"alerts.>"}}, nil, `odd-name "" {} [alerts.>] S [events.>] EMITTED [alerts.>]`, ""},
		"of settings":  {scriptFlags{stream: "S"}, map[string]string{"testdata/settings.json": `{"n":3,"a.b":[1.5,"é\"\n",true],"o":{"p":-1}}`}, `odd-name "" {"a.b":[1.5,"é\"\n",true],"n":3,"o":{"p":-1}} [] S [events.>]`, ""},
		"of null":      {scriptFlags{stream: "S"}, map[string]string{"testdata/settings.json": `{"n":null}`}, "", "settings.json: null is no value"},
		"of a list":    {scriptFlags{stream: "S"}, map[string]string{"testdata/settings.json": `[]`}, "", "it is no JSON object"},
		"of bad lines": {scriptFlags{stream: "S"}, map[string]string{"testdata/events.jsonl": "{}\n"}, "", "events.jsonl:1"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &folder{t, t.TempDir()}
			if err := os.Mkdir(filepath.Join(f.dir, "testdata"), 0o700); err != nil {
				t.Fatal(err)
			}
			f.write("Odd name!.js", "")
			for file, text := range tt.files {
				f.write(file, text)
			}
			s, err := newScript(filepath.Join(f.dir, "Odd name!.js"), tt.flags)
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(s.dir)
			file, err := s.declare(t.Context())
			if err != nil || tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) || tt.fails == "" {
					t.Fatalf("it is refused with %v, want %q", err, tt.fails)
				}
				return
			}
			c, err := config.Load(file)
			if err != nil {
				t.Fatal(err)
			}
			p := c.Projections[0]
			got := fmt.Sprintf("%s %q %s %v", p.Name, p.Key, p.SettingsJSON, p.Emit.Subjects)
			for _, stream := range c.Streams {
				got += fmt.Sprintf(" %s %v", stream.Name, stream.Subjects)
				if stream.Seed != "" {
					got += " seeded"
				}
			}
			if got != tt.want {
				t.Errorf("it says %s, want %s", got, tt.want)
			}
		})
	}
}
