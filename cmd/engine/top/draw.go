package top

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/gdamore/tcell/v3"
	"github.com/gdamore/tcell/v3/color"

	"gnomon/cmd/engine/cli"
	"gnomon/engine"
)

// topColumn is a column of the table.
type topColumn struct {
	title string
	width int
	left  bool // as text is; numbers are on the right
	cell  func(v *topView, s engine.Status, now time.Time) string
}

// nameWidth is what the names of projections get at least.
const nameWidth = 14

var topColumns = []topColumn{
	{"STATE", 11, true, func(_ *topView, s engine.Status, _ time.Time) string { return string(s.State) }},
	{"BEHIND", 6, false, func(_ *topView, s engine.Status, _ time.Time) string { return shortBehind(s) }},
	{"AGE", 4, false, func(_ *topView, s engine.Status, now time.Time) string { return behindTime(s, now) }},
	{"EV/S", 5, false, func(_ *topView, s engine.Status, _ time.Time) string { return shortNumber(s.Rate) }},
	{"", sparkLength, true, func(v *topView, s engine.Status, _ time.Time) string { return spark(v.rates[s.Projection]) }},
	{"KEYS", 5, false, func(_ *topView, s engine.Status, _ time.Time) string { return shortNumber(float64(s.Keys)) }},
	{"BYTES", 5, false, func(_ *topView, s engine.Status, _ time.Time) string { return shortBytes(uint64(s.Bytes)) }},
}

// topMore are columns for which a terminal may have room, the most wanted first.
var topMore = []topColumn{
	{"POSITION", 10, false, func(_ *topView, s engine.Status, _ time.Time) string { return fmt.Sprint(s.Position) }},
	{"ERRORS", 6, false, func(_ *topView, s engine.Status, _ time.Time) string {
		return shortNumber(float64(s.Failures) + float64(s.Aside.Letters))
	}},
	{"FUEL", 5, false, func(_ *topView, s engine.Status, _ time.Time) string { return shortNumber(float64(s.Fuel)) }},
	{"CANDIDATE", 9, true, func(_ *topView, s engine.Status, _ time.Time) string { return candidateShort(s.Candidate) }},
	{"END", 10, false, func(_ *topView, s engine.Status, _ time.Time) string { return fmt.Sprint(s.StreamLast) }},
	{"MEMORY", 6, false, func(_ *topView, s engine.Status, _ time.Time) string { return shortBytes(s.Memory) }},
	{"GENERATION", 12, true, func(_ *topView, s engine.Status, _ time.Time) string { return s.Generation }},
	{"STREAM", 16, true, func(_ *topView, s engine.Status, _ time.Time) string { return s.Stream }},
}

// shortBehind is how far a projection is behind; with a question mark where nobody knows by now.
func shortBehind(s engine.Status) string {
	if s.EndUnknownSince.IsZero() {
		return shortNumber(float64(s.Behind))
	}
	return shortNumber(float64(s.Behind)) + "?"
}

// candidateShort is how far a candidate is; empty: there is none.
func candidateShort(g *engine.GenerationStatus) string {
	switch {
	case g == nil:
		return ""
	case g.State == engine.Live:
		return "ready"
	case g.State != engine.CatchingUp && g.State != engine.Starting:
		return string(g.State)
	}
	return fmt.Sprintf("%.0f %%", 100*float64(g.Position)/max(1, float64(g.Position+g.Behind)))
}

var (
	plainStyle = tcell.StyleDefault
	titleStyle = tcell.StyleDefault.Bold(true)
	headStyle  = tcell.StyleDefault.Reverse(true)
	dimStyle   = tcell.StyleDefault.Dim(true)
	alertStyle = tcell.StyleDefault.Foreground(color.Maroon).Bold(true)
)

// stateStyle is the colour of a state; its word says the same.
func stateStyle(s engine.RunnerState) tcell.Style {
	switch s {
	case engine.Live:
		return plainStyle.Foreground(color.Green)
	case engine.CatchingUp, engine.Starting:
		return plainStyle.Foreground(color.Teal)
	case engine.Paused, engine.Stalled:
		return plainStyle.Foreground(color.Olive)
	}
	return alertStyle
}

// canvas is what is drawn on. All text gets there through put.
type canvas struct {
	screen        tcell.Screen
	width, height int
}

// put writes text within so many columns, and returns how many it took. What a terminal would take
// for orders is quoted.
func (c canvas) put(x, y, width int, text string, style tcell.Style) int {
	if c.screen.Colors() == 0 { // a library that has none would show them as reverse, as what is selected is
		style = style.Foreground(color.Default)
	}
	begin, rest := x, cli.Readable([]byte(text))
	for rest != "" && x < min(begin+width, c.width) {
		var n int
		rest, n = c.screen.Put(x, y, rest, style)
		x += max(n, 0)
		if n <= 0 { // nothing that can be seen
			break
		}
	}
	return x - begin
}

// drawTop draws a view.
func drawTop(screen tcell.Screen, v *topView, now time.Time) {
	width, height := screen.Size()
	c := canvas{screen, width, height}
	screen.Clear()
	screen.HideCursor()
	c.head(v, now)
	last := height - 1 // of the table
	c.foot(v)
	switch rows := v.rows(); {
	case v.help:
		c.lines(2, last, topHelp)
	case len(rows) == 0:
		c.lines(3, last, emptyTop(v))
	case v.detail:
		c.table(v, rows[v.at(rows):][:1], 2, 4, now)
		c.detail(v, detailOf(rows[v.at(rows)], width), 5, last)
	default:
		c.table(v, rows, 2, last, now)
	}
}

// head says whom it is about, and sums up.
func (c canvas) head(v *topView, now time.Time) {
	x := 1 + c.put(1, 0, c.width, "Gnomon "+v.version, titleStyle)
	x += 2 + c.put(x+2, 0, c.width, v.server, plainStyle)
	if !v.started.IsZero() && v.trouble == "" {
		x += 2 + c.put(x+2, 0, c.width, "up "+shortTime(max(0, now.Sub(v.started))), plainStyle)
	}
	switch {
	case v.trouble != "" && v.asked.IsZero():
		c.put(x+2, 0, c.width, "trying…", alertStyle)
	case v.trouble != "":
		c.put(x+2, 0, c.width, fmt.Sprintf("lost for %s, trying on", shortTime(now.Sub(v.asked))), alertStyle)
	case v.paused:
		c.put(x+2, 0, c.width, "held: p goes on", headStyle)
	}
	if v.trouble != "" {
		c.put(1, 1, c.width-2, v.trouble, alertStyle)
		return
	}
	var rate float64
	var keys, bytes int64
	var memory uint64
	states := map[engine.RunnerState]int{}
	for _, s := range v.all {
		rate, keys, bytes, memory = rate+s.Rate, keys+s.Keys, bytes+s.Bytes, memory+s.Memory
		states[s.State]++
	}
	x = 1
	for _, state := range urgency {
		if n := states[state]; n > 0 {
			x += 2 + c.put(x, 1, c.width, fmt.Sprintf("%d %s", n, state), stateStyle(state))
		}
	}
	c.put(x, 1, c.width-1-x, fmt.Sprintf("%s events/s  %s keys  %s  guests %s", shortNumber(rate), shortNumber(float64(keys)), shortBytes(uint64(bytes)), shortBytes(memory)), dimStyle)
}

// foot is the filter, or the keys.
func (c canvas) foot(v *topView) {
	y := c.height - 1
	switch {
	case v.typing:
		n := c.put(1, y, c.width-2, "filter: "+v.filter, plainStyle)
		c.screen.ShowCursor(1+n, y)
	case v.filter != "":
		c.put(1, y, c.width-2, "filter: "+v.filter+"   (/ changes it, Esc takes it away)", plainStyle)
	default:
		c.put(1, y, c.width-2, fmt.Sprintf("q quit  p pause  s sort: %s  / filter  ↑↓ select  Enter detail  ? help", v.order), dimStyle)
	}
}

// columns are those that there is room for, and the width of names.
func (c canvas) columns(rows []engine.Status) (columns []topColumn, names int) {
	columns = topColumns
	room := c.width - 2 - nameWidth
	for _, col := range columns {
		room -= col.width + 1
	}
	for _, more := range topMore {
		if room < more.width+1 {
			break
		}
		room -= more.width + 1
		columns = append(columns[:len(columns):len(columns)], more)
	}
	longest := nameWidth
	for _, s := range rows {
		longest = max(longest, len([]rune(s.Projection)))
	}
	return columns, min(longest, nameWidth+max(room, 0))
}

// table draws rows between two lines, so that the selected one can be seen.
func (c canvas) table(v *topView, rows []engine.Status, from, to int, now time.Time) {
	columns, names := c.columns(rows)
	c.screen.FillArea(0, from, c.width, 1, ' ', headStyle)
	x := 1 + names + 1
	c.put(1, from, names, "PROJECTION", headStyle)
	for _, col := range columns {
		c.cell(x, from, col, col.title, headStyle)
		x += col.width + 1
	}
	room := to - from - 1
	at := v.at(rows)
	first := max(0, at-max(room, 1)+1) // a terminal may have no room at all
	for i, s := range rows[first:min(len(rows), first+max(room, 0))] {
		y, style := from+1+i, plainStyle
		if first+i == at && v.selected != "" {
			style = headStyle
			c.screen.FillArea(0, y, c.width, 1, ' ', style)
		}
		c.put(1, y, names, shortName(s.Projection, names), style)
		x := 1 + names + 1
		for _, col := range columns {
			cellStyle := style
			if col.title == "STATE" && style == plainStyle {
				cellStyle = stateStyle(s.State)
			}
			c.cell(x, y, col, col.cell(v, s, now), cellStyle)
			x += col.width + 1
		}
	}
}

// shortName is a name within a width.
func shortName(name string, width int) string {
	if r := []rune(name); len(r) > width {
		return string(r[:width-1]) + "…"
	}
	return name
}

func (c canvas) cell(x, y int, col topColumn, text string, style tcell.Style) {
	if pad := col.width - len([]rune(text)); !col.left && pad > 0 {
		x += pad
		c.put(x, y, col.width-pad, text, style)
		return
	}
	c.put(x, y, col.width, text, style)
}

// lines draws lines of text, as far as there is room.
func (c canvas) lines(from, to int, lines []string) {
	for i, line := range lines {
		if from+i >= to {
			return
		}
		c.put(1, from+i, c.width-2, line, plainStyle)
	}
}

// detail draws lines from the one that a person went to, and says when there are more. What is beyond the last is
// never shown.
func (c canvas) detail(v *topView, lines []string, from, to int) {
	room := to - from
	v.scroll = max(0, min(v.scroll, len(lines)-room+1))
	if len(lines) <= room || room < 2 {
		v.scroll = 0
		c.lines(from, to, lines)
		return
	}
	rest := lines[v.scroll:]
	c.lines(from, to-1, rest)
	if more := len(rest) - (room - 1); more > 0 {
		c.put(1, to-1, c.width-2, fmt.Sprintf("PgDn: %s more", cli.Numbered(more, "line")), dimStyle)
		return
	}
	c.put(1, to-1, c.width-2, "PgUp: what is above", dimStyle)
}

var topHelp = []string{
	"q, Ctrl-C     quit",
	"p, space      hold the picture, and go on",
	"s             sort by name, state, behind, events/s, bytes",
	"/             filter by name or state; Enter keeps it, Esc takes it away",
	"↑ ↓, j k      select a projection; PgUp, PgDn by ten, or through its details",
	"Enter         all that is known of it: reason, hint, what it emits, candidate",
	"?             these keys",
	"",
	"AGE is how old the newest event is that is served, while there are newer ones.",
	"EV/S are events applied in a second; beside it the last eight answers.",
	"ERRORS are batches rolled back since the start, and events set aside.",
	"FUEL is what an event took on average. A wider terminal has more columns.",
}

// emptyTop says what to do where there is nothing to show.
func emptyTop(v *topView) []string {
	switch {
	case v.asked.IsZero() && v.trouble != "":
		return []string{"Start an engine with: engine run", "or name another one with: engine top --server URL"}
	case v.asked.IsZero():
		return []string{"Asking " + v.server + " …"}
	case v.filter != "":
		return []string{fmt.Sprintf("No projection has %q in its name or state. Esc takes the filter away.", v.filter)}
	}
	return []string{"The engine runs no projection yet. Begin one with: engine new DIR --lang go", "or add a [[projection]] to its configuration."}
}

// detailOf is what status prints of one, in lines of a width.
func detailOf(s engine.Status, width int) (lines []string) {
	var text bytes.Buffer
	_ = cli.PrintStatus(&text, s, false) // a buffer takes everything
	for line := range strings.Lines(text.String()) {
		lines = append(lines, wrapped(strings.TrimRight(line, "\n"), width-2)...)
	}
	return lines
}

// wrapped breaks a line into those of a width. What continues is set in.
func wrapped(line string, width int) (lines []string) {
	const in = "    "
	for r := []rune(line); ; {
		end := within(r, width)
		if end == len(r) || width <= 2*len(in) {
			return append(lines, string(r))
		}
		at := end
		for i := end; i > end/2; i-- {
			if r[i] == ' ' {
				at = i
				break
			}
		}
		lines = append(lines, string(r[:at]))
		r = append([]rune(in), []rune(strings.TrimLeft(string(r[at:]), " "))...)
	}
}

// within is how many runes surely have room in a width: those that may take two columns are taken to do so. Scripts with
// such runes begin at U+1100 (Unicode Standard Annex 11).
func within(r []rune, width int) int {
	for i, c := range r {
		if width--; c >= 0x1100 {
			width--
		}
		if width < 0 {
			return i
		}
	}
	return len(r)
}
