package dev

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/importer"
)

// scriptFlags are the flags for a script that is worked on without a project. They say what a config.toml would.
type scriptFlags struct {
	events, stream, key, settings string
	subjects, emits               []string
}

func (f *scriptFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.events, "events", "", "of a script: `FILE` of events to test it on, and to begin the stream with; default: testdata/events.jsonl beside it, if there is one")
	flags.StringVar(&f.stream, "stream", "EVENTS", "of a script: stream that it reads")
	flags.StringSliceVar(&f.subjects, "subject", nil, "of a script: subjects of the stream; default: what the events begin with, or events.>")
	flags.StringVar(&f.key, "key", "", "of a script: key of each event: `KIND` subject:N, header:NAME or json:PATH")
	flags.StringVar(&f.settings, "settings", "", "of a script: `FILE` of its settings, a JSON object; default: testdata/settings.json beside it, if there is one")
	flags.StringSliceVar(&f.emits, "emit", nil, "of a script: subjects that it emits to, stored by a stream EMITTED")
}

// Flags that go with a script only, and with a project only.
var (
	ofScripts  = []string{"events", "stream", "subject", "key", "settings", "emit"}
	ofProjects = []string{"config", "projection", "fresh", "server"}
)

// checkFlags refuses flags that the one has no use for that is worked on.
func checkFlags(c *cobra.Command, named string) error {
	others, have := ofScripts, "a project's config.toml says that"
	if isScript(named) {
		others, have = ofProjects, "a script has an engine of its own, with new data: name a project's folder"
	}
	for _, flag := range others {
		if cli.Given(c, flag) {
			return cli.Usagef(c, "--%s does not go with %s: %s", flag, named, have)
		}
	}
	return nil
}

func isScript(path string) bool {
	return strings.HasSuffix(path, ".js") || strings.HasSuffix(path, ".mjs")
}

// script is one that is worked on without a project.
type script struct {
	scriptFlags
	file     string // absolute
	dir      string // with configuration, module and data; removed at the end
	expected string // what is expected of the events; empty: nothing
}

// newScript makes the folder of a script. The script need not be right, but it has to be there.
func newScript(file string, f scriptFlags) (s *script, err error) {
	if _, err := os.Stat(file); err != nil {
		return nil, cli.WithHint(err, "write one, such as: export function onEvent(event, state) { state.fold(event.subject, 0, (n) => n + 1); }")
	}
	s = &script{scriptFlags: f}
	for path, to := range map[string]*string{file: &s.file, f.events: &s.events, f.settings: &s.settings} {
		if path == "" {
			continue
		}
		if *to, err = filepath.Abs(path); err != nil {
			return nil, err
		}
		if _, err := os.Stat(*to); err != nil {
			return nil, err
		}
	}
	if s.dir, err = os.MkdirTemp("", "gnomon-dev-"); err != nil {
		return nil, err
	}
	return s, s.keepCompiled()
}

// keepCompiled has the engine keep compiled modules in GNOMON_CACHE, when that is set: those in the
// folder of the script are gone with it.
func (s *script) keepCompiled() error {
	cache := os.Getenv("GNOMON_CACHE")
	if cache == "" {
		return nil
	}
	if err := os.Mkdir(filepath.Join(s.dir, "data"), 0o700); err != nil {
		return err
	}
	return os.Symlink(cache, filepath.Join(s.dir, "data", "cache"))
}

// sources are the files that the script is tried again for.
func (s *script) sources() *sources {
	beside := filepath.Dir(s.file)
	return &sources{dir: beside, roots: []string{s.file, filepath.Join(beside, "testdata"), s.events, s.settings}}
}

// beside is a file in testdata, in place of one that no flag names; empty: it is not there.
func (s *script) beside(named, name string) string {
	file := filepath.Join(filepath.Dir(s.file), "testdata", name)
	if named != "" {
		return named
	}
	if _, err := os.Stat(file); err != nil {
		return ""
	}
	return file
}

// found is the script with the files that are there now.
func (s *script) found() script {
	now := *s
	now.events = s.beside(s.events, "events.jsonl")
	now.settings = s.beside(s.settings, "settings.json")
	if s.events == "" { // or it is expected of others
		now.expected = s.beside("", "expected.json")
	}
	return now
}

// name is what the projection is called, and its module.
func (s *script) name() string {
	name := strings.ToLower(strings.TrimSuffix(filepath.Base(s.file), filepath.Ext(s.file)))
	name = strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(name, "-"), "-")
	return cmp.Or(name[:min(len(name), 64)], "projection")
}

// declare writes the configuration, and returns its file.
func (s *script) declare(ctx context.Context) (file string, err error) {
	now := s.found()
	if len(now.subjects) == 0 {
		if now.subjects, err = subjectsOf(ctx, now.events); err != nil {
			return "", err
		}
	}
	text, err := now.config()
	if err != nil {
		return "", err
	}
	file = filepath.Join(s.dir, "config.toml")
	if there, err := os.ReadFile(file); err == nil && string(there) == text {
		return file, nil
	}
	return file, os.WriteFile(file, []byte(text), 0o600)
}

// config is a configuration such as a new project has.
func (s *script) config() (string, error) {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("data_dir = \"data\"\n[http]\nlisten = \"127.0.0.1:0\"\n[plugins]\ndir = \"modules\"")
	line("[[stream]]\nname = %s\nsubjects = %s", quoted(s.stream), quoted(s.subjects))
	if s.events != "" {
		line("seed = %s", quoted(s.events))
	}
	if len(s.emits) > 0 {
		line("[[stream]]\nname = \"EMITTED\"\nsubjects = %s", quoted(s.emits))
	}
	line("[[projection]]\nname = %s\nmodule = %s\nstream = %s\nauto_promote = true", quoted(s.name()), quoted(s.name()+".wasm"), quoted(s.stream))
	if s.key != "" {
		line("key = %s", quoted(s.key))
	}
	if s.settings != "" {
		settings, err := settingsOf(s.settings)
		if err != nil {
			return "", err
		}
		line("settings = %s", settings)
	}
	if len(s.emits) > 0 {
		line("[projection.emit]\nsubjects = %s", quoted(s.emits))
	}
	return b.String(), nil
}

// quoted is a text, or a list of them, in TOML: JSON's strings are strings there, too.
func quoted(v any) string {
	b, _ := json.Marshal(v) // strings only
	return string(b)
}

// settingsOf reads an object of JSON, as an inline table of TOML.
func settingsOf(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var settings map[string]any
	if err := d.Decode(&settings); err != nil || settings == nil {
		return "", cli.WithHint(fmt.Errorf("%s: it is no JSON object", file), `write one, such as {"top": 3}`)
	}
	table, err := tomlOf(settings)
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	return table, nil
}

// tomlOf writes a value of JSON in TOML, https://toml.io/en/v1.0.0, on one line.
func tomlOf(v any) (string, error) {
	var parts []string
	switch v := v.(type) {
	case nil:
		return "", errors.New("null is no value of a configuration: leave the key out")
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			value, err := tomlOf(v[key])
			if err != nil {
				return "", err
			}
			parts = append(parts, quoted(key)+" = "+value)
		}
		return "{" + strings.Join(parts, ", ") + "}", nil
	case []any:
		for _, element := range v {
			value, err := tomlOf(element)
			if err != nil {
				return "", err
			}
			parts = append(parts, value)
		}
		return "[" + strings.Join(parts, ", ") + "]", nil
	case json.Number:
		return v.String(), nil
	}
	return quoted(v), nil
}

// manySubjects is how many first words of subjects are too many for a stream that nobody named subjects for.
const manySubjects = 20

// subjectsOf are subjects that all events of a file fit; of no file: events.>.
func subjectsOf(ctx context.Context, file string) ([]string, error) {
	if file == "" {
		return []string{"events.>"}, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	seen := subjects{}
	if err := importer.Import(ctx, file, f, seen, importer.Options{}); err != nil {
		return nil, err
	}
	all := slices.Sorted(maps.Keys(seen))
	switch {
	case len(all) == 0:
		return subjectsOf(ctx, "")
	case len(all) > manySubjects:
		return nil, cli.WithHint(fmt.Errorf("%s: its subjects begin with %d words, such as %s", file, len(all), all[0]), "say what the stream takes with --subject")
	}
	return all, nil
}

// subjects collects what the subjects of events begin with. It implements importer.Sink.
type subjects map[string]bool

// Append implements importer.Sink.
func (s subjects) Append(_ context.Context, e importer.Event) error {
	first, _, more := strings.Cut(e.Subject, ".")
	if more {
		first += ".>"
	}
	s[first] = true
	return nil
}

// Flush implements importer.Sink.
func (subjects) Flush(context.Context) error { return nil }

// Counts implements importer.Sink.
func (subjects) Counts() importer.Counts { return importer.Counts{} }

// attach makes a module of the script, tests it on events if there are any, and returns its file.
func (d *developer) attach(ctx context.Context) (file string, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	now := d.script.found()
	file = filepath.Join(d.script.dir, "tried", d.declared.Module)
	began := time.Now()
	// It says what a script says that is started without settings, which this one may have.
	if err := d.quietly(ctx, self, "attach", d.script.file, "-o", file); err != nil {
		return "", fmt.Errorf("no module is made of %s: %w", d.named, err)
	}
	if now.events != "" && !d.untested {
		args := []string{"test", file, "--events", now.events}
		for flag, value := range map[string]string{"--settings": now.settings, "--key": now.key, "--expect": now.expected} {
			if value != "" {
				args = append(args, flag, value)
			}
		}
		if err := d.quietly(ctx, self, args...); err != nil { // the state is shown when it is loaded
			return "", cli.WithHint(fmt.Errorf("the module is not loaded: %w", err), "where the new result is the right one, write it with --update of engine test; or go without with --no-test")
		}
	}
	fmt.Fprintf(d.stdout, "built in %s\n", time.Since(began).Round(10*time.Millisecond))
	return file, nil
}

// quietly runs a program, and shows what it prints when it fails.
func (d *developer) quietly(ctx context.Context, name string, args ...string) error {
	var said bytes.Buffer
	err := d.tool(ctx, &said, &said, name, args...)
	if err != nil {
		_, _ = d.stderr.Write(said.Bytes())
	}
	return err
}
