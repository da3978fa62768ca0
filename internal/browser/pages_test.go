package browser

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gnomon/internal/testutil"
)

// pages are all pages, each with something that is on it.
var pages = []struct{ path, says string }{
	{"/", "repo-files"},
	{"/ui/projections/repo-files", "19 547"},
	{"/ui/streams/GITLOG?around=12000", "12 000"},
	{"/ui/streams/PAYMENTS", "balances is here"},
	{"/ui/projections/repo-files/state", "author"},
	{"/ui/projections/repo-files/state?key=total&at=12000", "as of 12 000"},
	{"/ui/projections/repo-files/time?from=12000&to=12005", "What changed"},
	{"/ui/projections/repo-files/explain?key=total", "changed"},
	{"/ui/projections/repo-files/generations", "History"},
	{"/ui/projections/balances/dead-letters", "amount is missing"},
	{"/ui/projections/balances/do/pause", "Pause"},
	{"/ui/projections/repo-files/snapshots", "What is kept"},
	{"/ui/projections/repo-files/module", "Imports and exports"},
	{"/ui/projections/repo-files/log", "Log of the module"},
	{"/ui/projections/none", "none"},
}

// Every page can be read and used by everybody: axe finds nothing, of contrast, names, and
// order, in light and in dark; and on a phone nothing has to be scrolled sideways but tables.
func everyPage(s *server) {
	axe := axeScript(s.t)
	p := s.visit().expectsRefusal() // one of them is not there
	for _, page := range pages {
		for _, scheme := range []string{"light", "dark"} {
			p.on(360, 740, scheme).open(page.path).sees(page.says)
			if wide := evaluate[int](p, "document.documentElement.scrollWidth"); wide > 360 {
				s.t.Errorf("%s is %d wide in a window of 360: %s", page.path, wide, evaluate[string](p, widest))
			}
			if axe == "" {
				continue
			}
			evaluate[any](p, axe+"\n0")
			if found := evaluate[string](p, strings.ReplaceAll(violations, "RULES", rules[scheme])); found != "" {
				s.t.Errorf("%s in %s:\n%s", page.path, scheme, found)
			}
		}
	}
}

// widest are parts of a page that are wider than its window.
const widest = `[...document.querySelectorAll('main *')].filter((e) => e.getBoundingClientRect().right > 361 && !e.closest('.scroll, pre')).slice(0, 3).map((e) => e.outerHTML.slice(0, 80)).join('; ')`

// rules are those that are checked: in the dark, what light alone does not say.
var rules = map[string]string{"light": "'wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'", "dark": "'color-contrast'"}

// violations are what axe complains of: each rule, and where. What scrolls has the focus of
// the keyboard in browsers by themselves, which axe does not know yet.
const violations = `axe.run(document, {runOnly: [RULES], rules: {'scrollable-region-focusable': {enabled: false}}, resultTypes: ['violations']}).then((r) =>
  r.violations.flatMap((v) => v.nodes.slice(0, 3).map((n) => v.id + ': ' + v.help + ': ' + n.html.slice(0, 120) + ' ' + (n.any[0] ? n.any[0].message : ''))).join('\n'))`

// axeScript is axe-core, which internal/toolchains/install.sh gets from npm; empty: it is not
// there, which in CI is a failure.
func axeScript(t testing.TB) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(cache, "gnomon", "toolchains", "npm", "browser", "node_modules", "axe-core", "axe.min.js"))
	if err != nil && testutil.AllToolchains() {
		t.Fatalf("%v: run internal/toolchains/install.sh browser", err)
	}
	return strings.TrimSpace(string(b))
}
