package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/plugins/intact"
)

func noEnv(string) (string, bool) { return "", false }

// config.toml in the root is the manual: it loads, has every key, and what it says
// of defaults is true.
func TestManual(t *testing.T) {
	b, err := os.ReadFile("../../config.toml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse("config.toml", b, noEnv)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keysOf(reflect.TypeFor[Config]()) {
		if !regexp.MustCompile(`(?m)^(# )?\[*(projection\.)?(nats\.)?(http\.)?` + regexp.QuoteMeta(key) + `\]*( *=.*)?$`).Match(b) {
			t.Errorf("key %q is not in the manual", key)
		}
	}
	want := Default()
	want.Plugins.Dir, want.Plugins.PublicKeys = "build/plugins", []string{} // as the manual says
	want.HTTP.Hosts, want.HTTP.Origins, want.HTTP.Proxies = []string{}, []string{}, []string{}
	s := DefaultStream()
	s.Name, s.Subjects, s.Seed = "GITLOG", []string{"gitlog.>"}, "examples/wasm-projections/data/gitlog.jsonl.gz"
	want.Streams = []Stream{s}
	p := DefaultProjection()
	p.Name, p.Module, p.Stream, p.Subjects = "count", "count.wasm", "GITLOG", []string{}
	p.Emit.Subjects = []string{}
	p.Origin, p.SettingsJSON = "config.toml", []byte("{}")
	got := *c
	got.Projections, got.Streams = nil, got.Streams[:1] // readers append theirs
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the manual's values are not the defaults:\n%+v\n%+v", got, want)
	}
	if !reflect.DeepEqual(c.Projections[0], p) {
		t.Errorf("the manual's values of a projection are not the defaults:\n%+v\n%+v", c.Projections[0], p)
	}
}

// keysOf lists the last parts of all keys of a struct.
func keysOf(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("toml")
		if tag == "-" || tag == "" {
			continue
		}
		keys = append(keys, tag)
		for f.Type.Kind() == reflect.Slice {
			f.Type = f.Type.Elem()
		}
		if _, own := reflect.New(f.Type).Interface().(unmarshaler); f.Type.Kind() == reflect.Struct && !own {
			keys = append(keys, keysOf(f.Type)...)
		}
	}
	return keys
}

const small = `
[[stream]]
name = "EVENTS"
subjects = ["events.>"]

[[projection]]
name = "balances"
module = "balances.wasm"
stream = "EVENTS"
`

func TestValues(t *testing.T) {
	c, err := Parse("c.toml", []byte(small+`
subjects = ["events.account.*", "events.bank.>"]
start = "2026-01-31T00:00:00+01:00"
key = "json:account.id"
[projection.limits]
memory = "1GiB"
module = 1000
[projection.snapshots]
pin_max_age = "7d"
[projection.settings]
currency = "${CURRENCY}"
literal = "$${CURRENCY}"
nested = { list = ["a", "${CURRENCY}"], when = 2026-01-31T00:00:00Z }
`), func(name string) (string, bool) { return `E"UR`, name == "CURRENCY" })
	if err != nil {
		t.Fatal(err)
	}
	p := c.Projections[0]
	if want := time.Date(2026, 1, 30, 23, 0, 0, 0, time.UTC); !p.Start.Time.Equal(want) {
		t.Errorf("start = %v, want %v", p.Start, want)
	}
	if p.Limits.Memory != 1<<30 || p.Limits.Module != 1000 || p.Limits.BatchEvents != 4096 {
		t.Errorf("limits = %+v", p.Limits)
	}
	if time.Duration(p.Snapshots.PinMaxAge) != 7*24*time.Hour {
		t.Errorf("pin_max_age = %v", p.Snapshots.PinMaxAge)
	}
	if got, want := string(p.SettingsJSON), `{"currency":"E\"UR","literal":"${CURRENCY}","nested":{"list":["a","E\"UR"],"when":"2026-01-31T00:00:00Z"}}`; got != want {
		t.Errorf("settings = %s, want %s", got, want)
	}
}

func TestStart(t *testing.T) {
	for text, want := range map[string]engine.Start{
		`"first"`: {}, `"new"`: {New: true}, `17`: {Sequence: 17}, `"17"`: {Sequence: 17},
	} {
		c, err := Parse("c.toml", []byte(small+"start = "+text), noEnv)
		if err != nil || c.Projections[0].Start.Start != want {
			t.Errorf("start = %s: %+v, %v", text, c, err)
		}
	}
}

// A mistake is one line that names file, line, what is wrong and what would be
// right.
func TestMistakes(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"unknown key", small + "modul = 1\n", `c.toml:10: unknown key "projection.modul": did you mean "projection.module"?`},
		{"unknown table", "[htpp]\nlisten = \"\"\n", `c.toml:1: unknown key "htpp": did you mean "http"?`},
		{"unknown array of tables", small + "\n[[projecton]]\nname = \"x\"\n", `c.toml:11: unknown key "projecton": did you mean "projection"?`},
		{"key in another case", "data_dir = \"a\"\nDATA_DIR = \"b\"\n", `c.toml:2: unknown key "DATA_DIR": did you mean "data_dir"?`},
		{"projection's key in another case", small + "NAME = \"x\"\n", `c.toml:10: unknown key "projection.NAME": did you mean "projection.name"?`},
		{"duplicate key", "data_dir = \"a\"\ndata_dir = \"b\"\n", "c.toml:2: Key 'data_dir' has already been defined."},
		{"syntax", "data_dir = \n", "c.toml:1: expected value but found '\\n' instead"},
		{"unclosed string", "\n\ndata_dir = \"a\n", "c.toml:3: strings cannot contain newlines"},
		{"wrong type", "data_dir = 5\n", "c.toml:1: data_dir: expected a string, found 5"},
		{"table for a value", "[data_dir]\nx = 1\n", "c.toml:1: data_dir: expected a string, found a table"},
		{"value for a table", "http = \"x\"\n", `c.toml:1: http: expected a table, found the string "x"`},
		{"table instead of an array", "[projection]\nname = \"a\"\n", "c.toml:1: projection: expected an array of tables, [[...]], found a table"},
		{"list of numbers", small + "subjects = [1]\n", "c.toml:10: projection.subjects: expected a list of strings, found 1 in it"},
		{"duration", "[nats.embedded]\nsync_interval = \"fast\"\n", `c.toml:2: nats.embedded.sync_interval: "fast" is no time span: use "30s", "10m", "2h30m" or "30d"`},
		{"duration without unit", "[nats.embedded]\nsync_interval = 5\n", `c.toml:2: nats.embedded.sync_interval: a time span is a string such as "30s", "10m" or "30d", not 5`},
		{"size", small + "[projection.limits]\nmemory = \"much\"\n", `c.toml:11: projection.limits.memory: much is no size: use a number of bytes, or a string such as "64MiB"`},
		{"size out of bounds", small + "[projection.limits]\nmemory = \"5GiB\"\n", "c.toml:11: projection.limits.memory is 5.0 GiB: it must be between 64 KiB and 4.0 GiB"},
		{"table out of bounds", small + "[projection.limits]\ntable = 0\n", "c.toml:11: projection.limits.table is 0: it must be between 1 and 10000000"},
		{"outbox out of bounds", small + "[projection.limits]\noutbox = 0\n", "c.toml:11: projection.limits.outbox is 0: it must be between 1 and 1000000"},
		{"emit to no subject", small + "[projection.emit]\nsubjects = [\"a..b\"]\n", `c.toml:11: projection balances: emit: subject "a..b" has an empty token: dots separate tokens`},
		{"hops out of bounds", small + "[projection.emit]\nmax_hops = 0\n", "c.toml:11: projection.emit.max_hops is 0: it must be between 1 and 1000"},
		{"number out of bounds", small + "[projection.limits]\nbatch_events = 0\n", "c.toml:11: projection.limits.batch_events is 0: it must be between 1 and 1048576"},
		{"partitions", small + "partitions = 65\n", "c.toml:10: projection.partitions is 65: it must be between 1 and 64"},
		{"bucket name", small + "[projection.kv]\nbucket = \"a.b\"\n", `c.toml:11: projection.kv.bucket is "a.b": use letters, digits, - and _`},
		{"bucket of two", small + "[projection.kv]\nbucket = \"B\"\n[[projection]]\nname = \"other\"\nmodule = \"m.wasm\"\nstream = \"EVENTS\"\n[projection.kv]\nbucket = \"B\"\n", `c.toml:17: projection.kv.bucket "B" is that of projection balances, too: each needs one of its own`},
		{"partitions without key", small + "partitions = 2\n", `c.toml:10: projection balances: partitions = 2 needs a key by which the events are split: key = "json:PATH", for one`},
		{"environment", "data_dir = \"${NOWHERE}/x\"\n", "c.toml:1: data_dir: the environment has no variable NOWHERE; write $${NOWHERE} for the characters themselves"},
		{"environment, unclosed", "data_dir = \"${NOWHERE\"\n", "c.toml:1: data_dir: ${ without }; write $${ for the characters themselves"},
		{"public address", "[http]\nlisten = \"0.0.0.0:80\"\n", `c.toml:2: http.listen is "0.0.0.0:80", which others can reach: set http.token_file, or listen on 127.0.0.1`},
		{"all addresses", "[http]\nlisten = \":80\"\n", `c.toml:2: http.listen is ":80", which others can reach: set http.token_file, or listen on 127.0.0.1`},
		{"no connections", "[http]\nmax_connections = 0\n", `c.toml:2: http.max_connections is 0: it must be between 1 and 100000`},
		{"no watches", "[http]\nmax_watches = 0\n", `c.toml:2: http.max_watches is 0: it must be between 1 and 100000`},
		{"address without port", "[http]\nlisten = \"localhost\"\n", `c.toml:2: http.listen is "localhost": use HOST:PORT, such as "127.0.0.1:7780"`},
		{"level", "[log]\nlevel = \"loud\"\n", `c.toml:2: log.level is "loud": use one of debug, info, warn, error`},
		{"start", small + "start = \"now\"\n", `c.toml:10: projection.start: "now" is no start: use "first", "new", a sequence from 1, or a time such as "2026-01-31T00:00:00Z"`},
		{"key", small + "key = \"subject\"\n", `c.toml:10: projection balances: key "subject": use subject:N, header:NAME or json:PATH`},
		{"projection name", "[[projection]]\nname = \"Bal ances\"\n", `c.toml:2: projection name "Bal ances": use 1 to 64 of a-z, 0-9 and -`},
		{"no module", "[[projection]]\nname = \"a\"\nstream = \"S\"\n", `c.toml:1: projection a names no module: module = "FILE.wasm", relative to plugins.dir`},
		{"no stream", "[[projection]]\nname = \"a\"\nmodule = \"a.wasm\"\n", `c.toml:1: projection a names no stream: stream = "NAME"`},
		{"two of one name", small + "[[projection]]\nname = \"balances\"\nmodule = \"b.wasm\"\nstream = \"EVENTS\"\n", `c.toml:10: projection "balances" is declared twice in this file`},
		{"stream name", "[[stream]]\nname = \"a.b\"\n", `c.toml:2: stream name "a.b": use letters, digits, - and _`},
		{"subject of a stream", "[[stream]]\nname = \"A\"\nsubjects = [\"a..b\"]\n", `c.toml:3: stream A: subject "a..b" has an empty token: dots separate tokens`},
		{"filter outside the stream", small + "subjects = [\"orders.>\"]\n", `c.toml:10: projection balances: subject "orders.>" is not in stream EVENTS, which has events.>`},
		{"overlapping filters", small + "subjects = [\"events.a\", \"events.*\"]\n", `c.toml:10: projection balances: subjects "events.a" and "events.*" overlap: leave one out`},
		{"on_error", small + "on_error = \"ignore\"\n", `c.toml:10: projection.on_error is "ignore": use one of halt, skip, dead-letter, quarantine`},
		{"quarantine without key", small + "on_error = \"quarantine\"\n", `c.toml:10: projection balances: on_error = "quarantine" needs a key, behind whose first failed event the others queue: key = "json:PATH", for one`},
		{"history", small + "[projection.history]\nkeep = \"often\"\n", `c.toml:11: projection.history.keep: often is no history to keep: use "none", "all", a time span such as "30d", or a number of events such as 10000`},
		{"history of windows", small + "[projection.history]\nevery_events = 0\n", `c.toml:11: projection.history.every_events is 0: it must be between 1 and 10000000`},
		{"signatures", "[plugins]\nsignatures = \"yes\"\n", `c.toml:2: plugins.signatures is "yes": use one of off, warn, require`},
		{"signatures of nobody", "[plugins]\nsignatures = \"require\"\n", `c.toml:2: plugins.signatures is "require" and plugins.public_keys is empty, so that no module is trusted: add the public keys of those who sign them, which minisign -G makes`},
		{"public key", "[plugins]\npublic_keys = [\"RWQshort\"]\n", `c.toml:2: plugins.public_keys: "RWQshort" is neither a public key of minisign, 56 characters that begin with RW, nor the path of a file with one`},
		{"bucket", "[plugins]\nbucket = \"my.modules\"\n", `c.toml:2: plugins.bucket is "my.modules": use letters, digits, - and _`},
		{"pin", small + "sha256 = \"12ab\"\n", `c.toml:10: projection balances: sha256 "12ab" is no digest: use the 64 digits that sha256sum prints of the module's file`},
		{"settings that are no JSON", small + "[projection.settings]\nx = nan\n", "c.toml:10: projection balances: settings cannot be handed to the module as JSON: json: unsupported value: NaN"},
		{"two ways to authenticate", "[nats]\nurl = \"nats://a\"\nuser = \"u\"\ntoken = \"t\"\n", "c.toml:1: nats has more than one of credentials, nkey, user and token: use one of them"},
		{"credentials that do not exist", "[nats]\nurl = \"nats://a\"\ncredentials = \"/none.creds\"\n", "c.toml:3: nats.credentials: stat /none.creds: no such file or directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("c.toml", []byte(tt.text), noEnv)
			if err == nil {
				t.Fatal("no error")
			}
			if got := err.Error(); !strings.HasPrefix(got, tt.want) || strings.Contains(got, "\n") {
				t.Errorf("\n got %s\nwant %s", got, tt.want)
			}
		})
	}
}

// A module may come with its own file, and a mistake in it names that file.
func TestFilesBesideModules(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	main := filepath.Join(dir, "config.toml")
	write("config.toml", small)
	write("plugins.d/orders.toml", "[projection]\nstream = \"EVENTS\"\n[projection.settings]\na = 1\n")
	c, err := Load(main)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Projections) != 2 {
		t.Fatalf("%d projections", len(c.Projections))
	}
	p := c.Projections[1]
	if p.Name != "orders" || p.Module != "orders.wasm" || p.Limits.BatchEvents != 4096 || string(p.SettingsJSON) != `{"a":1}` {
		t.Errorf("projection = %+v", p)
	}
	if c.DataDir != filepath.Join(dir, "data") {
		t.Errorf("data_dir = %s, want it beside the configuration", c.DataDir)
	}
	for text, want := range map[string]string{
		"[projection]\nstrem = \"E\"\n":                                        `orders.toml:2: unknown key "projection.strem": did you mean "projection.stream"?`,
		"[projection]\nstream = \"E\"\nname = \"balances\"\n":                  `orders.toml: projection "balances" is declared twice, also in ` + main,
		"[projection]\nstream = \"EVENTS\"\nsubjects = [\"x\"]\n":              `orders.toml: projection orders: subject "x" is not in stream EVENTS`,
		"[htpp]\nlisten = \"\"\n":                                              `orders.toml:1: unknown key "htpp"`,
		"data_dir = \"a\"\n":                                                   `orders.toml:1: unknown key "data_dir"`,
		"[projection]\nstream = \"E\"\n[[stream]]\nname = \"E\"\n[[stream]]\n": `orders.toml:3: [[stream]] is not for a file beside a module, which holds one [projection]: put it into the configuration`,
		"[[projection]]\nstream = \"E\"\n":                                     `orders.toml:1: [[projection]] is not for a file beside a module`,
		"[projection]\nsettings = 1\n[[projection.settings.list]]\n":           `orders.toml:3: `,
	} {
		write("plugins.d/orders.toml", text)
		if _, err := Load(main); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want %s", err, want)
		}
	}
}

// Projections come from both folders of modules; each says where its module may be: beside
// its file, or in any folder. Files that lead out of a folder, or are none, are refused.
func TestModuleFolders(t *testing.T) {
	dir := t.TempDir()
	main, own, mirror := filepath.Join(dir, "config.toml"), filepath.Join(dir, "plugins.d"), filepath.Join(dir, "data", "modules.d")
	for path, text := range map[string]string{
		main:                                   "[plugins]\nbucket = \"B\"\nsignatures = \"warn\"\npublic_keys = [\"keys/a.pub\", \"" + key + "\"]\n" + small,
		filepath.Join(dir, "keys", "a.pub"):    "",
		filepath.Join(own, "orders.toml"):      "[projection]\nstream = \"EVENTS\"\n",
		filepath.Join(mirror, "payments.toml"): "[projection]\nstream = \"EVENTS\"\n",
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Load(main)
	if err != nil {
		t.Fatal(err)
	}
	dirs := map[string][]string{}
	for _, p := range c.Projections {
		dirs[p.Name] = p.ModuleDirs
	}
	if want := map[string][]string{"balances": {own, mirror}, "orders": {own}, "payments": {mirror}}; !reflect.DeepEqual(dirs, want) {
		t.Errorf("modules are in %v, want %v", dirs, want)
	}
	if want := []string{filepath.Join(dir, "keys", "a.pub"), key}; !reflect.DeepEqual(c.Plugins.PublicKeys, want) {
		t.Errorf("keys are %q, want %q", c.Plugins.PublicKeys, want)
	}
	bad, outside := filepath.Join(own, "bad.toml"), filepath.Join(dir, "outside.toml")
	if err := os.WriteFile(outside, []byte("[projection]\nstream = \"EVENTS\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		make func() error
		says string
	}{
		{func() error { return os.Symlink(outside, bad) }, "path escapes"},
		{func() error { return os.Symlink("../outside.toml", bad) }, "path escapes"},
		{func() error { return syscall.Mkfifo(bad, 0o600) }, "bad.toml is not a regular file but p"},
		{func() error { return os.Mkdir(bad, 0o700) }, "bad.toml is not a regular file but d"},
	} {
		if err := tt.make(); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(main); err == nil || !strings.Contains(err.Error(), "beside a module in "+own) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("error = %v, want %s", err, tt.says)
		}
		if err := os.Remove(bad); err != nil {
			t.Fatal(err)
		}
	}
}

// A mistake in a file that was deployed leaves out its projection, and nothing else: so do
// one whose name is taken, and one that does not fit the configuration.
func TestDeployedFiles(t *testing.T) {
	dir := t.TempDir()
	main, mirror := filepath.Join(dir, "config.toml"), filepath.Join(dir, "data", "modules.d")
	for path, text := range map[string]string{
		main:                                    "[plugins]\nbucket = \"B\"\n" + small,
		filepath.Join(mirror, "a-syntax.toml"):  "[projection\n",
		filepath.Join(mirror, "balances.toml"):  "[projection]\nstream = \"EVENTS\"\n",
		filepath.Join(mirror, "good.toml"):      "[projection]\nstream = \"EVENTS\"\n",
		filepath.Join(mirror, "subject.toml"):   "[projection]\nstream = \"EVENTS\"\nsubjects = [\"x\"]\n",
		filepath.Join(mirror, "z-unknown.toml"): "[projection]\nstrem = \"EVENTS\"\n",
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Load(main)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Projections) != 2 || c.Projections[0].Name != "balances" || c.Projections[1].Name != "good" || len(c.Projections[1].SettingsJSON) == 0 {
		t.Errorf("projections are %+v", c.Projections)
	}
	text := fmt.Sprint(c.Refused)
	for _, says := range []string{"a-syntax.toml:2: ", `balances.toml: projection "balances" is declared twice, also in ` + main, `subject.toml: projection subject: subject "x" is not in stream EVENTS`, `z-unknown.toml:2: unknown key`} {
		if !strings.Contains(text, says) {
			t.Errorf("refused are %s, want %s", text, says)
		}
	}
	if len(c.Refused) != 4 {
		t.Errorf("refused are %s", text)
	}
}

// A configuration is read when nobody writes it, from a pipe too.
func TestReadWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := Load(path); !errors.Is(err, intact.ErrChanging) || !strings.Contains(err.Error(), path+" is being written") {
		t.Errorf("a file that is open for writing: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err != nil {
		t.Errorf("the file was closed: %v", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	_, err = w.WriteString("data_dir = \"x\"\n")
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	if c, err := Load(fmt.Sprintf("/dev/fd/%d", r.Fd())); err != nil || filepath.Base(c.DataDir) != "x" {
		t.Errorf("a pipe: %v", err)
	}
}

// ParseModuleFile reads a file beside a module by itself, and finds what is wrong in it.
func TestParseModuleFile(t *testing.T) {
	const path = "somewhere/orders.toml"
	for text, want := range map[string]string{
		"[projection]\nstream = \"EVENTS\"\nsubjects = [\"a\"]\n": "",
		"[projection]\nstrem = \"E\"\n":                           path + `:2: unknown key "projection.strem": did you mean "projection.stream"?`,
		"[projection]\nname = \"a\"\n":                            path + ":1: projection a names no stream: stream = \"NAME\"",
		"[projection]\nstream = \"E\"\non_error = \"x\"\n":        path + `:3: projection.on_error is "x": use one of halt, skip, dead-letter, quarantine`,
	} {
		p, err := ParseModuleFile(path, []byte(text))
		if want == "" && (err != nil || p.Name != "orders" || p.Module != "orders.wasm" || len(p.SettingsJSON) == 0) {
			t.Errorf("%+v, %v", p, err)
		}
		if want != "" && (err == nil || err.Error() != want) {
			t.Errorf("error = %v, want %s", err, want)
		}
	}
}

// key is a public key of minisign.
const key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"

// A configuration that stands in the folder of modules is not taken for a file beside
// one, by whatever name it is given.
func TestConfigurationBesideModules(t *testing.T) {
	dir := t.TempDir()
	main, link := filepath.Join(dir, "config.toml"), filepath.Join(dir, "link.toml")
	files := map[string]string{main: "[plugins]\ndir = \".\"\n" + small, filepath.Join(dir, "orders.toml"): "[projection]\nstream = \"EVENTS\"\n"}
	for path, text := range files {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(main, link); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for _, path := range []string{main, "config.toml", "./config.toml", link} {
		c, err := Load(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if len(c.Projections) != 2 || c.Projections[1].Name != "orders" {
			t.Errorf("%s: projections = %+v, want those of the configuration and of orders.toml", path, c.Projections)
		}
	}
}

// Whatever the bytes, they give a valid configuration or a mistake in one line.
func FuzzParse(f *testing.F) {
	manual, err := os.ReadFile("../../config.toml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(manual)
	f.Add([]byte(small))
	f.Add([]byte("a.b.\"c.d\" = '''x\ny'''\n[[x.y]]\n[x.y.z]\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse("c.toml", b, noEnv)
		if err == nil && c.Log.Level == "" {
			t.Error("a valid configuration lacks its defaults")
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("a mistake of several lines: %q", err)
		}
	})
}
