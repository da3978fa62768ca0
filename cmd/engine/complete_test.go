package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
)

// completed is what a shell is offered after a line, and how it goes on: with files, folders,
// or nothing of its own.
func completed(t *testing.T, line ...string) (offers []string, more string) {
	t.Helper()
	var out, said strings.Builder
	if code := run(t.Context(), append([]string{"__complete"}, line...), strings.NewReader(""), &out, &said); code != cli.ExitDone {
		t.Fatalf("completing %q: exit %d\n%s", line, code, said.String())
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	for _, l := range lines[:len(lines)-1] {
		offer, _, _ := strings.Cut(l, "\t")
		offers = append(offers, offer)
	}
	more = map[string]string{":0": "files", ":4": "", ":16": "folders"}[lines[len(lines)-1]]
	return offers, more
}

// A shell completes names of the engine that runs, files where files are due, and nothing
// where a user has to think of something.
func TestCompletion(t *testing.T) {
	engine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/projections":
			fmt.Fprint(w, `{"projections":[{"projection":"balances","stream":"EVENTS"},{"projection":"books","stream":"EVENTS"},{"projection":"count","stream":"LOG"}]}`)
		case "/v1/projections/count/snapshots":
			fmt.Fprint(w, `{"snapshots":[{"name":"before"},{"name":"monday"}]}`)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(engine.Close)
	t.Setenv("GNOMON_SERVER", engine.URL)
	config := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(config, []byte("[[stream]]\nname = \"NEW\"\nsubjects = [\"new.>\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ line, offers, more string }{
		{"get |", "balances books count", ""},
		{"new x --lang ru|", "rust", ""},
		{"logs count --level |", "debug info warn error", ""},
		{"get b|", "balances books", ""},
		{"get count |", "", ""},
		{"status --server " + engine.URL + " c|", "count", ""},
		{"status --server http://127.0.0.1:1 |", "", ""},
		{"status --server : |", "", ""},
		{"snapshot export count |", "before monday", ""},
		{"snapshot export count --since m|", "monday", ""},
		{"snapshot create count |", "", ""},
		{"snapshot import |", "balances books count", ""},
		{"snapshot import count |", "", "files"},
		{"dead-letters retry c|", "count", ""},
		{"dead-letters retry count |", "", ""},
		{"import --stream |", "EVENTS LOG", ""},
		{"import --config " + config + " --stream |", "EVENTS LOG NEW", ""},
		{"import --stream LOG |", "", "files"},
		{"import --stream LOG a.jsonl |", "", "files"},
		{"record --stream E|", "EVENTS", ""},
		{"check a.wasm |", "", "files"},
		{"run --config |", "", "files"},
		{"status --data-dir |", "", "folders"},
		{"inspect |", "", "folders"},
		{"completion |", "bash zsh fish powershell", ""},
		{"comp|", "completion", ""},
		{"pub|", "publish", ""},
		{"publish |", "", ""},
		{"scan count --prefix |", "", ""},
	} {
		line := strings.Split(strings.TrimSuffix(tt.line, "|"), " ")
		offers, more := completed(t, line...)
		if got := strings.Join(offers, " "); got != tt.offers || more != tt.more {
			t.Errorf("engine %s offers %q and %q, want %q and %q", tt.line, got, more, tt.offers, tt.more)
		}
	}
}

// Each shell gets a script that names the program, and bash can read its own.
func TestCompletionScripts(t *testing.T) {
	for shell := range shells {
		var out, said strings.Builder
		if code := run(t.Context(), []string{"completion", shell}, strings.NewReader(""), &out, &said); code != cli.ExitDone || !strings.Contains(out.String(), "engine") {
			t.Errorf("%s: exit %d\n%s", shell, code, said.String())
		}
		if shell != "bash" {
			continue
		}
		c := exec.Command("bash", "-n")
		c.Stdin = strings.NewReader(out.String())
		if said, err := c.CombinedOutput(); err != nil {
			t.Errorf("bash: %v\n%s", err, said)
		}
	}
}

// Each command has a manual page with all that its help says, and nothing about the machine
// that made it.
func TestManualPages(t *testing.T) {
	t.Setenv("GNOMON_SERVER", "http://gnomon.test:1")
	t.Setenv("SOURCE_DATE_EPOCH", "0")
	dir := filepath.Join(t.TempDir(), "man1")
	var out, said strings.Builder
	if code := run(t.Context(), []string{"man", dir}, strings.NewReader(""), &out, &said); code != cli.ExitDone {
		t.Fatalf("exit %d\n%s", code, said.String())
	}
	var page func(c *cobra.Command)
	pages := 0
	page = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			page(sub)
		}
		if !c.IsAvailableCommand() && c.HasParent() {
			return
		}
		pages++
		name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1"
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			return
		}
		text := plainRoff(string(b))
		for what, words := range map[string]string{"short text": c.Short, "long text": c.Long, "example": c.Example} {
			if !strings.Contains(text, plainWords(words)) {
				t.Errorf("%s lacks its %s, or has it otherwise: %s", name, what, words)
			}
		}
		if strings.Contains(text, "gnomon.test") || !strings.Contains(text, "1970") {
			t.Errorf("%s is about the machine that made it, or its date:\n%.200s", name, b)
		}
	}
	page(rootCommand())
	if want := fmt.Sprintf("%d pages in %s\n", pages, dir); out.String() != want {
		t.Errorf("prints %q, want %q", out.String(), want)
	}
}

// plainRoff is the text of a manual page, without what formats it.
func plainRoff(roff string) string {
	var all []string
	for line := range strings.Lines(roff) {
		if !strings.HasPrefix(line, ".") || strings.HasPrefix(line, ".TH") {
			all = append(all, line)
		}
	}
	return plainWords(strings.NewReplacer(`\fB`, "", `\fP`, "", `\fI`, "", `\fR`, "", `\&`, "", `\(aq`, "'", `\(cq`, "'", `\(rs`, "\x00", `\e`, "\x00", `\`, "").Replace(strings.Join(all, "")))
}

// plainWords are the letters and digits of a text: signs are written in many ways.
func plainWords(text string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsLetter(c) || unicode.IsDigit(c) || strings.ContainsRune("*_<>[]", c) {
			return c
		}
		return -1
	}, text)
}
