package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
)

const docFile = "docs/RELIABILITY.md"

func main() {
	doc := flag.Bool("doc", false, "write the table into "+docFile+", and run nothing")
	flag.Parse()
	if err := run(*doc, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
}

// run is called in the root of the repository.
func run(doc bool, numbers []string) error {
	if doc {
		return writeDoc()
	}
	cases, err := chosen(numbers)
	if err != nil {
		return err
	}
	results, err := runTests(cases, os.Stderr)
	if err != nil {
		return err
	}
	if n := report(os.Stdout, cases, results)[failed]; n > 0 {
		return fmt.Errorf("%d of %d cases failed", n, len(cases))
	}
	return nil
}

func writeDoc() error {
	text, err := os.ReadFile(docFile)
	if err != nil {
		return err
	}
	changed, err := replaceTable(string(text))
	if err != nil {
		return err
	}
	return os.WriteFile(docFile, []byte(changed), 0o644)
}

// chosen are the cases with some numbers; all when there are none.
func chosen(numbers []string) ([]Case, error) {
	var all, some []Case
	for _, g := range groups {
		all = append(all, g.Cases...)
	}
	if len(numbers) == 0 {
		return all, nil
	}
	for _, number := range numbers {
		n, err := strconv.Atoi(number)
		i := slices.IndexFunc(all, func(c Case) bool { return c.Number == n })
		if err != nil || i < 0 {
			return nil, fmt.Errorf("there is no case %q: they go from 1 to %d", number, len(all))
		}
		some = append(some, all[i])
	}
	return some, nil
}
