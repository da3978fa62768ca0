package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// keysFrom says from which argument on a method of a logger takes keys and values.
var keysFrom = map[string]int{"With": 0, "Debug": 1, "Info": 1, "Warn": 1, "Error": 1, "Log": 3}

// logKeys are the keys of the calls of loggers in a file, with where they are. A key that is
// no literal is a problem: nobody could hold it against the list.
func logKeys(f *ast.File, files *token.FileSet) (keys map[string]string, problems []string) {
	keys = map[string]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		method, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		from, logs := keysFrom[method.Sel.Name]
		if !logs || !isLogger(method.X) || len(call.Args) <= from {
			return true
		}
		at := files.Position(call.Pos()).String()
		for i := from; i < len(call.Args); i += 2 {
			l, ok := call.Args[i].(*ast.BasicLit)
			if !ok || l.Kind != token.STRING {
				problems = append(problems, fmt.Sprintf("%s: argument %d of %s is no literal key", at, i, method.Sel.Name))
				return true
			}
			key, _ := strconv.Unquote(l.Value)
			keys[key] = at
		}
		return true
	})
	return keys, problems
}

// isLogger reports whether an expression is a logger, by its name or because it is made of one.
func isLogger(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return strings.EqualFold(e.Name, "log")
	case *ast.SelectorExpr:
		return strings.EqualFold(e.Sel.Name, "log")
	case *ast.CallExpr:
		s, ok := e.Fun.(*ast.SelectorExpr)
		return ok && s.Sel.Name == "With" && isLogger(s.X)
	}
	return false
}

// documentedKeys are the keys in the table of docs/OPERATIONS.md.
func documentedKeys(t *testing.T) map[string]bool {
	t.Helper()
	manual, err := os.ReadFile("../../docs/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(manual), "\n| key | |\n")
	table, _, ended := strings.Cut(table, "\n\n")
	if !found || !ended {
		t.Fatal("docs/OPERATIONS.md has no table of keys of the log")
	}
	keys := map[string]bool{}
	for row := range strings.Lines(table) {
		cell, _, _ := strings.Cut(strings.TrimPrefix(row, "|"), "|")
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cell, -1) {
			keys[m[1]] = true
		}
	}
	return keys
}

// A thing has one key in the log, wherever it is written: every key that is used is in the
// table of docs/OPERATIONS.md, and every one in the table is used.
func TestKeysOfTheLogAreDocumented(t *testing.T) {
	documented, used := documentedKeys(t), map[string]bool{}
	set := token.NewFileSet()
	for _, f := range files(t) {
		if strings.HasPrefix(f.path, "examples/") || strings.HasPrefix(f.path, "sdk/") {
			continue // what guests log are lines without keys
		}
		whole, err := parser.ParseFile(set, "../../"+f.path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		keys, problems := logKeys(whole, set)
		for _, p := range problems {
			t.Error(p)
		}
		for key, at := range keys {
			used[key] = true
			if !documented[key] {
				t.Errorf("%s: key %q of the log is not in the table of docs/OPERATIONS.md, which has %q: use one of those, or add it", at, key, slices.Sorted(maps.Keys(documented)))
			}
		}
	}
	for key := range documented {
		if !used[key] {
			t.Errorf("key %q of the log, in docs/OPERATIONS.md, is used nowhere", key)
		}
	}
}

// Keys are found in all ways that loggers are called in, and one that is no literal is found too.
func TestLogKeys(t *testing.T) {
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, "f.go", `package p
func _() {
	log.Info("text", "a", 1)
	s.log.With("b", 2, "c", 3).Warn("text", "d", 4)
	o.Log.Log(ctx, level, "text", "e", 5)
	t.Log("f", 6)
	log.Error("text", key, 7)
	log.Debug("text", list...)
}`, 0)
	if err != nil {
		t.Fatal(err)
	}
	keys, problems := logKeys(f, set)
	if got := slices.Sorted(maps.Keys(keys)); !slices.Equal(got, []string{"a", "b", "c", "d", "e"}) || len(problems) != 2 {
		t.Errorf("keys %q, problems %q", got, problems)
	}
}
