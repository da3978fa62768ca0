package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// results are those of a run, as results.json has them.
type results struct {
	Time         string   `json:"time"`
	Go           string   `json:"go"`
	CPUs         int      `json:"cpus"`
	OS           string   `json:"os"`
	Events       int      `json:"events"` // of the contenders
	Rounds       int      `json:"rounds"` // of the contenders
	Contenders   []result `json:"contenders"`
	Measurements []report `json:"measurements"`
	Ratios       []ratio  `json:"ratios"`
}

func (r results) write(file string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	return errors.Join(err, os.WriteFile(file, append(b, '\n'), 0o644))
}

// markdown writes the results as docs/PERFORMANCE.md has them. A terminal shows them
// well enough.
func (r results) markdown(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s, %s, %s, %d cores.\n", r.Time, r.Go, r.OS, r.CPUs)
	goals := table{Title: "Goals", Head: []string{"", "measured", "goal", ""}}
	for _, g := range r.Ratios {
		bound, word := "≥ ", "ok"
		if g.Lower {
			bound = "≤ "
		}
		if !g.Met {
			word = "short"
		}
		goals.Rows = append(goals.Rows, []string{g.Name, short(g.Value), bound + short(g.Goal), word})
	}
	goals.markdown(&b)
	if len(r.Contenders) > 0 {
		t := table{
			Title: fmt.Sprintf("Contenders, %s events (events/s, %d rounds)", grouped(r.Events), r.Rounds),
			Head:  []string{"contender", "median", "lowest", "highest", "CPU ns an event", "RSS MB", ""},
		}
		for _, c := range r.Contenders {
			t.Rows = append(t.Rows, []string{c.Name, short(c.Median), short(c.Low), short(c.High), short(c.CPU), short(megabytes(c.MaxRSS)), c.What})
		}
		t.markdown(&b)
	}
	for _, m := range r.Measurements {
		for _, t := range m.Tables {
			t.markdown(&b)
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// markdown pads cells, so that the table can be read as it is.
func (t table) markdown(b *bytes.Buffer) {
	widths := make([]int, len(t.Head))
	for _, cells := range append([][]string{t.Head}, t.Rows...) {
		for i, c := range cells {
			widths[i] = max(widths[i], 3, len([]rune(c)))
		}
	}
	fmt.Fprintf(b, "\n**%s**\n\n", t.Title)
	row := func(cells []string) {
		for i, c := range cells {
			fmt.Fprintf(b, "| %s%s ", c, strings.Repeat(" ", widths[i]-len([]rune(c))))
		}
		b.WriteString("|\n")
	}
	row(t.Head)
	for _, w := range widths {
		b.WriteString("|" + strings.Repeat("-", w+2))
	}
	b.WriteString("|\n")
	for _, cells := range t.Rows {
		row(cells)
	}
}

// The marks between which a document has the numbers of a run.
const numbersBegin, numbersEnd = "<!-- numbers -->\n", "<!-- end of numbers -->\n"

// printTables prints what results.json has as Markdown, or puts it into a document.
func printTables(args []string) error {
	f := flag.NewFlagSet("tables", flag.ContinueOnError)
	from := f.String("results", "results.json", "file with results")
	into := f.String("into", "", "document whose numbers are replaced, instead of printing them")
	if err := f.Parse(args); err != nil {
		return err
	}
	b, err := os.ReadFile(*from)
	if err != nil {
		return err
	}
	var r results
	if err := json.Unmarshal(b, &r); err != nil {
		return fmt.Errorf("%s: %w", *from, err)
	}
	if *into == "" {
		return r.markdown(os.Stdout)
	}
	doc, err := os.ReadFile(*into)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(doc, []byte(numbersBegin))
	_, after, ok2 := bytes.Cut(rest, []byte(numbersEnd))
	if !ok || !ok2 {
		return fmt.Errorf("%s has no lines %q and %q for the numbers to go between", *into, strings.TrimSpace(numbersBegin), strings.TrimSpace(numbersEnd))
	}
	var out bytes.Buffer
	out.Write(before)
	out.WriteString(numbersBegin + "\n")
	if err := r.markdown(&out); err != nil {
		return err
	}
	out.WriteString("\n" + numbersEnd)
	out.Write(after)
	return os.WriteFile(*into, out.Bytes(), 0o644)
}
