package main

import (
	"fmt"
	"io"
	"strings"
)

// Verdicts on a case. The last two are no failures: the table says what is missing.
const (
	held    = "ok"
	failed  = "FAILED"
	skipped = "skipped"
	part    = "in part"
	notHeld = "NOT HELD"
	later   = "later"
)

// verdict is what the tests found about a case, and lines that say why.
func (c Case) verdict(results map[string]outcome) (verdict string, why []string) {
	failures, skips := 0, 0
	for _, test := range c.Tests {
		o := results[test]
		pkg, name := split(test)
		switch o.action {
		case "pass":
		case "skip":
			skips++
			why = append(why, test+" was skipped: "+o.reason(1))
		case "":
			failures++
			why = append(why, test+" did not run: "+results[pkg+"."].reason(10))
		default:
			failures++
			why = append(why, fmt.Sprintf("%s failed: %s\n(go test -count=1 -run '^%s$' ./%s)", test, o.reason(5), strings.ReplaceAll(name, "/", "$/^"), pkg))
		}
	}
	switch {
	case failures > 0:
		return failed, why
	case len(c.Tests) == 0 && c.Later != "":
		return later, append(why, c.Later)
	case len(c.Tests) == 0:
		return notHeld, append(why, c.Open)
	case skips > 0 && skips == len(c.Tests):
		return skipped, why
	case skips > 0:
		return part, why
	case c.Open != "":
		return part, append(why, "open: "+c.Open)
	case c.Later != "":
		return part, append(why, "later: "+c.Later)
	}
	return held, why
}

// report prints the table, and returns how many cases there are of each verdict.
func report(w io.Writer, cases []Case, results map[string]outcome) map[string]int {
	count := map[string]int{}
	for _, c := range cases {
		verdict, why := c.verdict(results)
		count[verdict]++
		fmt.Fprintf(w, "%2d  %-8s  %s  (%d tests)\n", c.Number, verdict, plain(c.What), len(c.Tests))
		for _, text := range why {
			fmt.Fprintf(w, "              %s\n", strings.ReplaceAll(plain(text), "\n", "\n              "))
		}
	}
	fmt.Fprintf(w, "\n%d cases:", len(cases))
	for _, verdict := range []string{held, part, skipped, later, notHeld, failed} {
		if count[verdict] > 0 {
			fmt.Fprintf(w, " %d %s;", count[verdict], verdict)
		}
	}
	fmt.Fprintln(w)
	return count
}

// plain is Markdown without its marks.
func plain(s string) string { return strings.NewReplacer("`", "", "**", "").Replace(s) }
