// Command faults runs the tests that hold the engine's promises about what goes wrong
// around it, and prints the table of docs/RELIABILITY.md with what they found:
//
//	go run ./internal/faults          every case; exit 1 when a test fails
//	go run ./internal/faults 3 17     these ones
//	go run ./internal/faults -doc     write the table into docs/RELIABILITY.md
//
// The cases are data, in cases.go: whoever adds a test that holds one, adds its name there.
package main

import (
	"fmt"
	"strings"
)

// Case is something that goes wrong, and what the engine promises then.
type Case struct {
	Number  int
	What    string   // goes wrong
	Promise string   // what users see
	Tests   []string // that hold it: PACKAGE.TestName, or PACKAGE.TestName/subtest
	Open    string   // the part of the promise that does not hold yet, or that no test holds
	Later   string   // what comes with a later version, instead of a promise
}

// Group is a part of the table.
type Group struct {
	Name  string
	Cases []Case
}

// in names tests of a package.
func in(pkg string, tests ...string) []string {
	all := make([]string, len(tests))
	for i, test := range tests {
		all[i] = pkg + "." + test
	}
	return all
}

// by joins tests of several packages.
func by(tests ...[]string) (all []string) {
	for _, t := range tests {
		all = append(all, t...)
	}
	return all
}

// split is the package and the name of a test.
func split(test string) (pkg, name string) {
	pkg, name, _ = strings.Cut(test, ".")
	return pkg, name
}

// top is the function of a test, without its subtest.
func top(name string) string {
	name, _, _ = strings.Cut(name, "/")
	return name
}

// begin and end stand around the table in docs/RELIABILITY.md.
const (
	begin = "<!-- The table is written by `go run ./internal/faults -doc` from internal/faults/cases.go. -->\n"
	end   = "<!-- End of the table. -->\n"
)

// table is the cases in Markdown.
func table() string {
	var s strings.Builder
	s.WriteString(begin)
	for _, g := range groups {
		fmt.Fprintf(&s, "\n### %s\n\n| # | what happens | what the engine does | held by |\n|---|---|---|---|\n", g.Name)
		for _, c := range g.Cases {
			fmt.Fprintf(&s, "| %d | %s | %s | %s |\n", c.Number, c.What, c.words(), c.holders())
		}
	}
	s.WriteString("\n" + end)
	return s.String()
}

// words are the promise, with what is missing of it.
func (c Case) words() string {
	words := c.Promise
	if c.Open != "" {
		words += " **Open:** " + c.Open
	}
	if c.Later != "" {
		words += " **Comes with a later version:** " + c.Later
	}
	return strings.TrimSpace(words)
}

// holders lists the tests by package.
func (c Case) holders() string {
	var order []string
	names := map[string][]string{}
	for _, test := range c.Tests {
		pkg, name := split(test)
		if names[pkg] == nil {
			order = append(order, pkg)
		}
		names[pkg] = append(names[pkg], "`"+name+"`")
	}
	for i, pkg := range order {
		order[i] = pkg + ": " + strings.Join(names[pkg], ", ")
	}
	return strings.Join(order, "; ")
}

// replaceTable puts the table in its place in a document.
func replaceTable(doc string) (string, error) {
	before, rest, ok := strings.Cut(doc, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return "", fmt.Errorf("docs/RELIABILITY.md lacks the lines around the table:\n%s%s", begin, end)
	}
	return before + table() + after, nil
}
