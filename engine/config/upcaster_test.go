package config

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

const oneStream = "[[stream]]\nname = \"EVENTS\"\nsubjects = [\"events.>\"]\n"

// Each projection has the upcasters of its stream, in the order of the file, with their
// settings as JSON; its subjects may be such as only they make.
func TestUpcasters(t *testing.T) {
	c, err := Parse("c.toml", []byte(oneStream+`
[[projection]]
name = "p"
module = "p.wasm"
stream = "EVENTS"
subjects = ["made.by.b"]
[[projection]]
name = "q"
module = "q.wasm"
stream = "OTHER"
[[upcaster]]
name = "b"
module = "b.wasm"
stream = "EVENTS"
subjects = ["events.old.*"]
[upcaster.limits]
fuel = 7
[upcaster.settings]
z = 1
a = "x"
[[upcaster]]
name = "a"
module = "a.wasm"
stream = "EVENTS"
`), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	b, a := DefaultUpcaster(), DefaultUpcaster()
	b.Name, b.Module, b.Stream, b.Subjects, b.Limits.Fuel = "b", "b.wasm", "EVENTS", []string{"events.old.*"}, 7
	b.Settings, b.SettingsJSON = map[string]any{"z": int64(1), "a": "x"}, []byte(`{"a":"x","z":1}`)
	a.Name, a.Module, a.Stream, a.SettingsJSON = "a", "a.wasm", "EVENTS", []byte("{}")
	if got := c.Projections[0].Upcasters; !reflect.DeepEqual(got, []Upcaster{b, a}) {
		t.Errorf("upcasters %+v", got)
	}
	if got := c.Projections[1].Upcasters; got != nil {
		t.Errorf("of another stream: %+v", got)
	}
}

// The manual's upcaster, which stands in comments, shows every key, and the defaults.
func TestManualOfUpcasters(t *testing.T) {
	b, err := os.ReadFile("../../config.toml")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(b), "# [[upcaster]]\n")
	section, _, ended := strings.Cut(rest, "\n\n")
	if !found || !ended {
		t.Fatal("the manual has no upcaster")
	}
	section = "\n" + section
	for _, key := range keysOf(reflect.TypeFor[Upcaster]()) {
		if !strings.Contains(section, "\n# "+key+" ") && !strings.Contains(section, "\n# [upcaster."+key+"]") {
			t.Errorf("key %q is not in the manual", key)
		}
	}
	c, err := Parse("config.toml", []byte("[[stream]]\nname = \"GITLOG\"\n[[upcaster]]"+strings.ReplaceAll(section, "\n# ", "\n")), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	got, want := c.Upcasters[0], DefaultUpcaster()
	want.Name, want.Module, want.Stream, want.Subjects = "named", "named.wasm", "GITLOG", []string{}
	want.Settings, want.SettingsJSON = map[string]any{"separator": " "}, []byte(`{"separator":" "}`)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the manual's values are not the defaults:\n%+v\n%+v", got, want)
	}
}

// Mistakes in an upcaster name the line, and what is wrong.
func TestMistakesOfUpcasters(t *testing.T) {
	table := "[[upcaster]]\nname = \"u\"\nmodule = \"u.wasm\"\nstream = \"EVENTS\"\n"
	for text, want := range map[string]string{
		strings.Replace(table, `"u"`, `"U"`, 1):         `c.toml:5: upcaster name "U": use 1 to 64 of a-z, 0-9 and -`,
		strings.Replace(table, `"u.wasm"`, `""`, 1):     `c.toml:6: upcaster u names no module`,
		strings.Replace(table, `"EVENTS"`, `"NONE"`, 1): `c.toml:7: upcaster u is of stream NONE, of which there is no projection, and which is not declared`,
		strings.Replace(table, `"EVENTS"`, `""`, 1):     `c.toml:7: upcaster u: stream name ""`,
		table + table:                                         `c.toml:8: upcaster "u" is declared twice`,
		table + "sha256 = \"7\"\n":                            `c.toml:8: upcaster u: sha256 "7" is no digest`,
		table + "subjects = [\"a..b\"]\n":                     `c.toml:8: upcaster u: subject "a..b" has an empty token`,
		table + "subjects = [\"a.>\", \"a.b\"]\n":             `c.toml:8: upcaster u: subjects "a.>" and "a.b" overlap: leave one out`,
		table + "key = \"x\"\n":                               `c.toml:8: unknown key "upcaster.key"`,
		table + "[upcaster.limits]\nmemory = 1\n":             `c.toml:9: upcaster.limits.memory is 1 B: it must be between 64 KiB and 4.0 GiB`,
		table + "[upcaster.limits]\ndead_letters = 1\n":       `c.toml:9: unknown key "upcaster.limits.dead_letters"`,
		table + "[upcaster.limits]\ncompile_time = \"1ms\"\n": `c.toml:9: upcaster.limits.compile_time is 1ms: it must be between 1s and 1h`,
		table + "[upcaster.limits]\nfuel = -1\n":              `c.toml:9: upcaster.limits.fuel is -1`,
	} {
		if _, err := Parse("c.toml", []byte(oneStream+text), noEnv); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error = %v, want %s", err, want)
		}
	}
}
