package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// commandTests are the tests of a package of commands, with whether they end at once with -short.
func commandTests(t *testing.T, dir string) map[string]bool {
	t.Helper()
	paths, err := filepath.Glob("../../" + dir + "/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{}
	for _, p := range paths {
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(fn.Name.Name, "Test") {
				left[fn.Name.Name] = callsLong(fn)
			}
		}
	}
	return left
}

// callsLong reports whether a test leaves itself, or a part of it, out of short runs.
func callsLong(test *ast.FuncDecl) (found bool) {
	ast.Inspect(test, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			name, ok := call.Fun.(*ast.Ident)
			found = found || ok && name.Name == "long"
		}
		return true
	})
	return found
}

// makeVariable is a regular expression that the Makefile selects tests with.
func makeVariable(t *testing.T, name string) *regexp.Regexp {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + name + ` = (.+)$`).FindStringSubmatch(read(t, "../../Makefile"))
	if m == nil {
		t.Fatalf("the Makefile has no %s", name)
	}
	return regexp.MustCompile(strings.ReplaceAll(m[1], "$$", "$"))
}

// What -short leaves out of the program's tests is run without it: by make test, which selects
// it by name, or by make faults, as a case of docs/RELIABILITY.md.
func TestWhatIsLeftOutIsRun(t *testing.T) {
	long, projects := makeVariable(t, "LONG"), makeVariable(t, "PROJECTS")
	cases := read(t, "../../internal/faults/cases.go")
	all := commandTests(t, program)
	for name, left := range all {
		if left && !long.MatchString(name) && !projects.MatchString(name) && !strings.Contains(cases, `"`+name+`"`) {
			t.Errorf("%s is left out with -short, and run by nothing: name it in LONG of the Makefile, or in internal/faults/cases.go", name)
		}
	}
	for _, alternative := range strings.Split(long.String()+"|"+projects.String(), "|") {
		matched := false
		for name := range all {
			matched = matched || regexp.MustCompile(alternative).MatchString(name)
		}
		if !matched {
			t.Errorf("%s of the Makefile selects no test of %s", alternative, program)
		}
	}
	below, err := filepath.Glob("../../" + program + "/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range below {
		for name, left := range commandTests(t, strings.TrimPrefix(dir, "../../")) {
			if left || long.MatchString(name) {
				t.Errorf("%s, %s: what LONG names, or is left out with -short, is run of %s only", dir, name, program)
			}
		}
	}
}
