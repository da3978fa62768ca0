package main

import (
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// Every link between the documents leads to a file that is there, and to a heading in it.
func TestDocsLinks(t *testing.T) {
	root := os.DirFS("../..")
	links := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, page := range documents(t, root) {
		text, err := fs.ReadFile(root, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range links.FindAllStringSubmatch(withoutCode(string(text)), -1) {
			to, err := url.Parse(m[1])
			if err != nil || to.IsAbs() {
				continue
			}
			target := page
			if to.Path != "" {
				target = path.Join(path.Dir(page), to.Path)
			}
			if _, err := fs.Stat(root, target); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
			} else if to.Fragment != "" && strings.HasSuffix(target, ".md") && !slices.Contains(anchors(t, root, target), to.Fragment) {
				t.Errorf("%s links to %s, and there is no such heading", page, m[1])
			}
		}
	}
}

// documents are the Markdown files of the repository, but for those that tests read.
func documents(t *testing.T, root fs.FS) (pages []string) {
	t.Helper()
	err := fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
		name := filepath.Base(p)
		if d != nil && d.IsDir() && p != "." && (strings.HasPrefix(name, ".") || slices.Contains([]string{"testdata", "build", "bin", "data", "node_modules", "target"}, name)) {
			return fs.SkipDir
		}
		if err == nil && strings.HasSuffix(p, ".md") {
			pages = append(pages, p)
		}
		return err
	})
	if err != nil || len(pages) < 10 {
		t.Fatalf("documents are %v, %v", pages, err)
	}
	return pages
}

var code = regexp.MustCompile("(?s)\n```.*?\n```|`[^`\n]*`")

// withoutCode is a document less what is quoted in it as code.
func withoutCode(text string) string { return code.ReplaceAllString(text, "") }

// anchors are those that GitHub gives the headings of a document.
func anchors(t *testing.T, root fs.FS, page string) (all []string) {
	t.Helper()
	text, err := fs.ReadFile(root, page)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		heading := strings.TrimLeft(line, "#")
		if heading == line || !strings.HasPrefix(heading, " ") {
			continue
		}
		all = append(all, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, strings.TrimSpace(heading)))
	}
	return all
}
