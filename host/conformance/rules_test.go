package conformance

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gnomon/engine/guest"
	"gnomon/host"
)

// named are the rules of docs/ABI.md by who is bound.
func named(t *testing.T) (hosts, guests []string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/ABI.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^- `\\[([A-Z][0-9]+)( guest)?\\]`").FindAllStringSubmatch(string(page), -1) {
		if seen[m[1]] {
			t.Errorf("docs/ABI.md has two rules %s", m[1])
		}
		seen[m[1]] = true
		if m[2] != "" {
			guests = append(guests, m[1])
		} else {
			hosts = append(hosts, m[1])
		}
	}
	// A row of a table is a rule, or names in its last column those that say more.
	for _, row := range regexp.MustCompile(`(?m)^\|.*\| (.*) \|$`).FindAllStringSubmatch(string(page), -1) {
		for _, m := range regexp.MustCompile("`\\[([A-Z][0-9]+)\\]`").FindAllStringSubmatch(row[1], -1) {
			if !seen[m[1]] {
				hosts = append(hosts, m[1])
			}
			seen[m[1]] = true
		}
	}
	if len(hosts) < 50 || len(guests) < 10 {
		t.Fatalf("only %d and %d rules found: this test looks for them in the wrong form", len(hosts), len(guests))
	}
	return hosts, guests
}

// Every rule of docs/ABI.md that binds the host is exercised here, every one that binds
// guests is checked by CheckGuest, and there is none here that the page does not have.
func TestEveryRuleIsChecked(t *testing.T) {
	hosts, guests := named(t)
	checked := map[string]bool{}
	note := func(ids []string) {
		for _, id := range ids {
			checked[id] = true
		}
	}
	for _, s := range Scenarios() {
		note(s.Rules)
	}
	for _, r := range engineRules {
		note(r.rules)
	}
	for _, m := range moduleTests(t) {
		note([]string{m.rule})
	}
	note(ruledElsewhere)
	slices.Sort(hosts)
	if got := slices.Sorted(maps.Keys(checked)); !slices.Equal(got, hosts) {
		for _, id := range hosts {
			if !checked[id] {
				t.Errorf("no check exercises %s", id)
			}
		}
		for _, id := range got {
			if !slices.Contains(hosts, id) {
				t.Errorf("docs/ABI.md has no rule %s of the host", id)
			}
		}
	}
	var own []string
	for _, r := range GuestRules {
		own = append(own, r.ID)
	}
	if !slices.Equal(own, guests) {
		t.Errorf("rules for guests are %v here, and %v in docs/ABI.md", own, guests)
	}
}

// ruledElsewhere are the rules that tests of their own in this file are about.
var ruledElsewhere = []string{"F3"}

// The same call takes the same fuel in every instance.
func TestFuelIsTheSame(t *testing.T) {
	var used []uint64
	for range 3 {
		in, err := sandbox.Start(t.Context(), Guest("order"), Bounds{Fuel: 1_000_000}, guest.Config{Memory: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		if err := in.Apply(t.Context(), nil, NewState(nil)); err != nil {
			t.Fatal(err)
		}
		used = append(used, in.Fuel())
		in.Close(t.Context())
	}
	if used[0] == 0 || used[0] != used[1] || used[1] != used[2] {
		t.Errorf("it took %d", used)
	}
}

// moduleTest is a module and what a host must say when it loads it: "ok", or words of the
// refusal.
type moduleTest struct {
	rule, name string
	code       []byte
	says       string
}

func moduleTests(t *testing.T) []moduleTest {
	t.Helper()
	list := []moduleTest{
		{"M1", "an empty file", nil, "is empty"},
		{"M1", "text", []byte("(module)"), "is in the text format: assemble it with wat2wasm"},
		{"M1", "another format", []byte("\x7fELF\x02\x01\x01\x00"), "is not a WebAssembly module"},
		{"M1", "another version", []byte("\x00asm\x02\x00\x00\x00"), "has version 2 of the binary format"},
		{"M1", "types of garbage collection", []byte("\x00asm\x01\x00\x00\x00\x01\x03\x01\x5f\x00"), "only functions are supported"},
		{"M2", "a component", []byte("\x00asm\x0d\x00\x01\x00"), "is a WebAssembly component: build a core module instead"},
		{"M10", "a large file", append(slices.Clip(Guest("least")), append([]byte{0, 0x80, 0x80, 0x40, 0}, make([]byte, 1<<20)...)...), "bytes: the limit is 1000000 (projection.limits.module)"},
	}
	paths, err := filepath.Glob("guests/modules/*.wat")
	if err != nil || len(paths) < 10 {
		t.Fatalf("%d modules, %v", len(paths), err)
	}
	for _, p := range paths {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(p), ".wat")
		rule, _, _ := strings.Cut(name, "-")
		says, _, _ := strings.Cut(strings.TrimPrefix(string(text), ";; "), "\n")
		list = append(list, moduleTest{rule, name, Guest("modules/" + name), says})
	}
	return list
}

// A module is loaded when it keeps the rules for modules, and refused by name, number and
// what to do when it does not.
func TestModules(t *testing.T) {
	for _, m := range moduleTests(t) {
		t.Run(m.rule+" "+m.name, func(t *testing.T) {
			loaded, err := sandbox.Host.Load(t.Context(), m.code, host.Limits{Fuel: 1000, Memory: 64 << 20, ModuleBytes: 1_000_000})
			if err == nil {
				defer loaded.Close(t.Context())
			}
			if m.says == "ok" {
				if err != nil {
					t.Error(err)
				}
			} else if err == nil || !strings.Contains(err.Error(), m.says) {
				t.Errorf("error %v, want one with %q", err, m.says)
			}
		})
	}
}

// The guests that are kept assembled are what their texts say.
func TestGuestsAreAssembled(t *testing.T) {
	if _, err := exec.LookPath("wat2wasm"); err != nil {
		t.Skip("wat2wasm is not installed (Debian: wabt)")
	}
	var texts []string
	for _, pattern := range []string{"guests/*.wat", "guests/*/*.wat"} {
		list, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, list...)
	}
	for _, text := range texts {
		out := filepath.Join(t.TempDir(), "out.wasm")
		if said, err := exec.CommandContext(t.Context(), "wat2wasm", text, "-o", out).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", text, err, said)
			continue
		}
		got, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if kept := Guest(strings.TrimSuffix(strings.TrimPrefix(filepath.ToSlash(text), "guests/"), ".wat")); string(got) != string(kept) {
			t.Errorf("%s has changed: assemble it again, wat2wasm %s -o %s", text, text, strings.TrimSuffix(text, ".wat")+".wasm")
		}
	}
}
