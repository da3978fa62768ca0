package outcome

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Difference is one place in which two outcomes differ.
type Difference struct {
	Section string // as in the file
	// Place is the key of a difference of state; of others what it is about, such as
	// "event 3" or "line 2".
	Place string
	Event uint64 // sequence of the event that it belongs to; 0 when that is not known
	// Want and Got are the entries as the file writes them; empty: there is none.
	Want, Got string
}

// Compare lists in what an outcome differs from what is wanted, in the order of the file's
// sections. What want does not have is not compared, but errors are.
func Compare(want, got *Outcome) []Difference {
	var all []Difference
	if want.State != nil {
		all = compareState(want.State, got.State)
	}
	if want.Emits != nil {
		all = append(all, compareRecords("emits", want.Emits, got.Emits)...)
	}
	if want.Records != nil {
		all = append(all, compareRecords("records", want.Records, got.Records)...)
	}
	all = append(all, compareByEvent("errors", want.Errors, got.Errors, func(f Failure) uint64 { return f.Event }, Failure.encode)...)
	if want.Logs != nil {
		all = append(all, compareLogs(want.Logs, got.Logs)...)
	}
	if want.Queries != nil {
		all = append(all, compareQueries(want.Queries, got.Queries)...)
	}
	return all
}

func compareState(want, got map[string]string) (all []Difference) {
	keys := map[string]bool{}
	for k := range want {
		keys[k] = true
	}
	for k := range got {
		keys[k] = true
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		w, wanted := want[k]
		g, there := got[k]
		if wanted == there && w == g {
			continue
		}
		d := Difference{Section: "state", Place: k}
		if wanted {
			d.Want = string(EncodeValue(w))
		}
		if there {
			d.Got = string(EncodeValue(g))
		}
		all = append(all, d)
	}
	return all
}

func compareRecords(section string, want, got []Record) []Difference {
	return compareByEvent(section, want, got, func(r Record) uint64 { return r.Event }, Record.encode)
}

// compareByEvent compares, of each event, the first entry with the first, the second with
// the second and so on: what one event has too much or too little does not shift others.
func compareByEvent[T any](section string, want, got []T, event func(T) uint64, encode func(T) []byte) (all []Difference) {
	inOrder := func(a, b T) int { return cmp.Compare(event(a), event(b)) }
	want, got = slices.Clone(want), slices.Clone(got)
	slices.SortStableFunc(want, inOrder) // as one may have written them by hand
	slices.SortStableFunc(got, inOrder)
	for len(want) > 0 || len(got) > 0 {
		d := Difference{Section: section}
		takeWant := len(got) == 0 || len(want) > 0 && event(want[0]) <= event(got[0])
		takeGot := len(want) == 0 || len(got) > 0 && event(got[0]) <= event(want[0])
		if takeWant {
			d.Event, d.Want, want = event(want[0]), string(encode(want[0])), want[1:]
		}
		if takeGot {
			d.Event, d.Got, got = event(got[0]), string(encode(got[0])), got[1:]
		}
		if d.Want != d.Got {
			d.Place = "event " + strconv.FormatUint(d.Event, 10)
			all = append(all, d)
		}
	}
	return all
}

// compareLogs compares lines, less those at the beginning and at the end that are the same.
func compareLogs(want, got []string) (all []Difference) {
	line := 1
	for len(want) > 0 && len(got) > 0 && want[0] == got[0] {
		want, got = want[1:], got[1:]
		line++
	}
	for len(want) > 0 && len(got) > 0 && want[len(want)-1] == got[len(got)-1] {
		want, got = want[:len(want)-1], got[:len(got)-1]
	}
	for i := range max(len(want), len(got)) {
		d := Difference{Section: "logs", Place: "line " + strconv.Itoa(line+i)}
		if i < len(want) {
			d.Want = string(encodeText(want[i]))
		}
		if i < len(got) {
			d.Got = string(encodeText(got[i]))
		}
		if d.Want != d.Got {
			all = append(all, d)
		}
	}
	return all
}

func compareQueries(want, got []Query) (all []Difference) {
	for i := range max(len(want), len(got)) {
		d := Difference{Section: "queries", Place: "request " + strconv.Itoa(i+1)}
		if i < len(want) {
			d.Want = string(want[i].encode())
		}
		if i < len(got) {
			d.Got = string(got[i].encode())
		}
		if d.Want != d.Got {
			all = append(all, d)
		}
	}
	return all
}

// Title names the place of a difference, such as `state "account\t17"`.
func (d Difference) Title() string {
	if d.Section == "state" {
		return "state " + strconv.Quote(d.Place)
	}
	return d.Section + ", " + d.Place
}

// shown is how much of an entry a difference shows, in characters.
const shown = 160

// String is a difference in three lines, of which the second is what is wanted and the
// third what there is. Of long entries it shows the part around where they begin to differ.
func (d Difference) String() string {
	want, got := around(d.Want, d.Got)
	return d.Title() + "\n  - " + want + "\n  + " + got
}

// around cuts two texts to where they begin to differ.
func around(want, got string) (string, string) {
	same := 0
	for same < len(want) && same < len(got) && want[same] == got[same] {
		same++
	}
	from := max(0, same-shown/2)
	if from < 20 || len(want) <= shown && len(got) <= shown {
		from = 0
	}
	return cut(want, from), cut(got, from)
}

func cut(text string, from int) string {
	if text == "" {
		return "(nothing)"
	}
	for from > 0 && from < len(text) && !utf8.RuneStart(text[from]) {
		from--
	}
	text = text[min(from, len(text)):]
	end := min(len(text), shown)
	for end < len(text) && !utf8.RuneStart(text[end]) {
		end--
	}
	s := text[:end]
	if from > 0 {
		s = "…" + s
	}
	if end < len(text) {
		s += fmt.Sprintf("… (%d bytes more)", len(text)-end)
	}
	return s
}

// Report writes differences as lines that begin with "-" for what is wanted and "+" for what
// there is, at most so many of them, with some of every section. Those of errors come first:
// an event that fails explains what is missing elsewhere.
func Report(all []Difference, most int) string {
	var b strings.Builder
	sections := bySection(all)
	for i, n := range share(sections, most) {
		for _, d := range sections[i][:n] {
			b.WriteString(d.String() + "\n")
		}
		if more := len(sections[i]) - n; more > 0 {
			fmt.Fprintf(&b, "%s: and %d more\n", sections[i][0].Section, more)
		}
	}
	return b.String()
}

// bySection parts differences by their sections, errors first.
func bySection(all []Difference) (sections [][]Difference) {
	at := map[string]int{}
	for _, d := range all {
		i, known := at[d.Section]
		if !known {
			i = len(sections)
			at[d.Section] = i
			sections = append(sections, nil)
		}
		sections[i] = append(sections[i], d)
	}
	slices.SortStableFunc(sections, func(a, b []Difference) int {
		return cmp.Compare(rank(a[0].Section), rank(b[0].Section))
	})
	return sections
}

func rank(section string) int {
	if section == "errors" {
		return 0
	}
	return 1
}

// share is how many of each section are shown: as many of one as of any other that has more.
func share(sections [][]Difference, most int) []int {
	counts := make([]int, len(sections))
	for more := true; more && most > 0; {
		more = false
		for i := range sections {
			if counts[i] < len(sections[i]) && most > 0 {
				counts[i]++
				most--
				more = true
			}
		}
	}
	return counts
}
