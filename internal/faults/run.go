package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"
)

// perPackage bounds the tests of one package, with room for a machine that has other work.
const perPackage = "15m"

// short are the packages whose tests are kept short: the simulation of the engine takes all
// the time that it is given, and `make test` and `make soak` give it more.
var short = []string{"engine"}

// outcome is how a test ended.
type outcome struct {
	action  string // pass, fail, skip; "": it did not run
	elapsed float64
	output  []string
}

// event is a line of `go test -json`: see `go doc cmd/test2json`.
type event struct {
	Action, Test, Output string
	Elapsed              float64
}

// runTests runs the tests of some cases, one package at a time, and returns how they
// ended by their full names.
func runTests(cases []Case, progress io.Writer) (map[string]outcome, error) {
	all := map[string]outcome{}
	for _, pkg := range packages(cases) {
		began := time.Now()
		fmt.Fprintf(progress, "%-16s ", pkg)
		out, err := runPackage(pkg, functions(cases, pkg))
		if err != nil {
			return nil, err
		}
		for name, o := range out {
			all[pkg+"."+name] = o
		}
		fmt.Fprintf(progress, "%3d tests in %.1f s\n", len(functions(cases, pkg)), time.Since(began).Seconds())
	}
	return all, nil
}

// packages are those of the tests, ordered.
func packages(cases []Case) (all []string) {
	for _, c := range cases {
		for _, test := range c.Tests {
			pkg, _ := split(test)
			all = append(all, pkg)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// functions are the tests of a package, ordered, without their subtests.
func functions(cases []Case, pkg string) (all []string) {
	for _, c := range cases {
		for _, test := range c.Tests {
			if p, name := split(test); p == pkg {
				all = append(all, top(name))
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func runPackage(pkg string, tests []string) (map[string]outcome, error) {
	args := []string{"test", "-json", "-count=1", "-timeout", perPackage, "-run", "^(" + strings.Join(tests, "|") + ")$"}
	if slices.Contains(short, pkg) {
		args = append(args, "-short")
	}
	c := exec.Command("go", append(args, "./"+pkg)...)
	c.Stderr = os.Stderr
	stdout, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	out, err := outcomes(stdout)
	_ = c.Wait() // that a test failed is in its outcome
	return out, err
}

// outcomes reads what `go test -json` prints. What belongs to no test, such as an error
// of the compiler, is kept under the empty name.
func outcomes(r io.Reader) (map[string]outcome, error) {
	all := map[string]outcome{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			e = event{Action: "output", Output: lines.Text() + "\n"}
		}
		o := all[e.Test]
		switch e.Action {
		case "output", "build-output":
			o.output = append(o.output, e.Output)
		case "pass", "fail", "skip":
			o.action, o.elapsed = e.Action, e.Elapsed
		}
		all[e.Test] = o
	}
	return withSubtests(all), lines.Err()
}

// withSubtests adds to what a test said what its subtests that failed did.
func withSubtests(all map[string]outcome) map[string]outcome {
	whole := map[string]outcome{}
	for name, o := range all {
		for _, sub := range slices.Sorted(maps.Keys(all)) {
			if all[sub].action == "fail" && strings.HasPrefix(sub, name+"/") {
				o.output = slices.Concat(o.output, all[sub].output)
			}
		}
		whole[name] = o
	}
	return whole
}

// noise are lines that say nothing about why a test ended as it did.
var noise = regexp.MustCompile(`^\s*(=== |--- |PASS|FAIL\s*$|ok\s|exit status)`)

// where stands before what a test says.
var where = regexp.MustCompile(`^\s*[a-z0-9_]+\.go:[0-9]+: `)

// ends is what a script says in its last line, below all that it did.
const ends = "FAIL: "

// reason is the first lines that a test printed, or the end of a script.
func (o outcome) reason(lines int) string {
	var said []string
	for i, line := range o.output {
		if strings.HasPrefix(strings.TrimSpace(line), ends) {
			said, o.output = nil, o.output[i:]
			break
		}
	}
	for _, line := range o.output {
		if line = strings.TrimRight(line, "\n"); line != "" && !noise.MatchString(line) {
			said = append(said, strings.TrimSpace(where.ReplaceAllString(line, "")))
		}
	}
	return strings.Join(said[:min(lines, len(said))], "\n")
}
