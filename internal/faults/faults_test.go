package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// The cases are numbered from 1 on, and each has a promise or says why not.
func TestCasesAreWhole(t *testing.T) {
	all, err := chosen(nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range all {
		if c.Number != i+1 || c.What == "" {
			t.Errorf("case %d has the number %d and is about %q", i+1, c.Number, c.What)
		}
		if (c.Promise == "" || len(c.Tests) == 0) && c.Later == "" && c.Open == "" {
			t.Errorf("case %d promises %q, which %d tests hold, and does not say that this is open", c.Number, c.Promise, len(c.Tests))
		}
	}
}

// Every test that a case names exists.
func TestNamedTestsExist(t *testing.T) {
	all, err := chosen(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range packages(all) {
		there := testFunctions(t, filepath.Join(root, pkg))
		for _, name := range functions(all, pkg) {
			if !slices.Contains(there, name) {
				t.Errorf("%s has no %s", pkg, name)
			}
		}
	}
}

// testFunctions are the tests in a package's files.
func testFunctions(t *testing.T, dir string) (names []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s has no tests: %v", dir, err)
	}
	for _, path := range paths {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				names = append(names, fn.Name.Name)
			}
		}
	}
	return names
}

// Every script that a case names exists.
func TestNamedScriptsExist(t *testing.T) {
	all, _ := chosen(nil)
	for _, c := range all {
		for _, test := range c.Tests {
			if script, ok := strings.CutPrefix(test, "cmd/engine.TestScripts/"); ok {
				if _, err := os.Stat(filepath.Join(root, "cmd/engine/testdata/script", script+".txtar")); err != nil {
					t.Errorf("case %d: %v", c.Number, err)
				}
			}
		}
	}
}

// docs/RELIABILITY.md shows the cases as they are here.
func TestDocumentShowsTheCases(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root, docFile))
	if err != nil {
		t.Fatal(err)
	}
	want, err := replaceTable(string(doc))
	if err != nil {
		t.Fatal(err)
	}
	if string(doc) != want {
		t.Errorf("%s is not as the cases are: go run ./internal/faults -doc", docFile)
	}
}

// A case is held when all of its tests passed; anything else is said, with the reason.
func TestVerdict(t *testing.T) {
	results, err := outcomes(strings.NewReader(`
{"Action":"output","Test":"TestGood","Output":"=== RUN   TestGood\n"}
{"Action":"pass","Test":"TestGood","Elapsed":1}
{"Action":"output","Test":"TestBad","Output":"    a_test.go:7: it broke\n"}
{"Action":"fail","Test":"TestBad","Elapsed":1}
{"Action":"output","Test":"TestDeep/a/b","Output":"    a_test.go:8: deep down\n"}
{"Action":"fail","Test":"TestDeep/a/b","Elapsed":1}
{"Action":"fail","Test":"TestDeep","Elapsed":1}
{"Action":"output","Test":"TestScripts/s","Output":"    testscript.go:609: WORK=$WORK\n"}
{"Action":"output","Test":"TestScripts/s","Output":"        > engine run\n"}
{"Action":"output","Test":"TestScripts/s","Output":"        FAIL: testdata/script/s.txtar:7: no match for x\n"}
{"Action":"fail","Test":"TestScripts/s","Elapsed":1}
{"Action":"output","Test":"TestRoot","Output":"    a_test.go:9: needs root\n"}
{"Action":"skip","Test":"TestRoot","Elapsed":0}
{"Action":"output","Output":"a_test.go:3: does not compile\n"}
`))
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]outcome{}
	for name, o := range results {
		named["p."+name] = o
	}
	for _, tt := range []struct {
		name string
		c    Case
		want string
		why  string
	}{
		{"all pass", Case{Tests: in("p", "TestGood")}, held, ""},
		{"one fails", Case{Tests: in("p", "TestGood", "TestBad")}, failed, "it broke"},
		{"a part of one fails", Case{Tests: in("p", "TestDeep")}, failed, "deep down"},
		{"a script fails", Case{Tests: in("p", "TestScripts/s")}, failed, "p.TestScripts/s failed: FAIL: testdata/script/s.txtar:7: no match for x"},
		{"one is not there", Case{Tests: in("p", "TestGood", "TestGone")}, failed, "p.TestGone did not run: does not compile"},
		{"all are skipped", Case{Tests: in("p", "TestRoot")}, skipped, "needs root"},
		{"one is skipped", Case{Tests: in("p", "TestGood", "TestRoot")}, part, "needs root"},
		{"something is open", Case{Tests: in("p", "TestGood"), Open: "the rest"}, part, "the rest"},
		{"nothing holds it", Case{Open: "all of it"}, notHeld, "all of it"},
		{"later", Case{Later: "emit"}, later, "emit"},
	} {
		got, why := tt.c.verdict(named)
		if got != tt.want || !strings.Contains(strings.Join(why, "\n"), tt.why) {
			t.Errorf("%s: %s, %q; want %s, %q", tt.name, got, why, tt.want, tt.why)
		}
	}
}
