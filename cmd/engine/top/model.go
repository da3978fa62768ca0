package top

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"gnomon/engine"
)

// sparkLength is how many of the last rates a sparkline shows.
const sparkLength = 8

// topView is what engine top shows: what the engine said last, and what the person at the keys asked
// for. It draws nothing.
type topView struct {
	server  string
	version string
	started time.Time // when the engine was; zero: not known
	all     []engine.Status
	rates   map[string][]float64 // the last ones of each projection, the newest last
	asked   time.Time            // when all is from; zero: never
	trouble string               // why the engine does not answer; empty: it does

	paused   bool
	order    topOrder
	filter   string
	typing   bool   // the filter is being typed
	selected string // name of the projection; empty: the first
	detail   bool
	scroll   int // first line of the details that is shown
	help     bool
}

// topOrder is what rows are sorted by.
type topOrder int

const (
	byName topOrder = iota
	byState
	byBehind
	byRate
	byBytes
	topOrders
)

func (o topOrder) String() string {
	return [...]string{"name", "state", "behind", "events/s", "bytes"}[o]
}

// answer takes an answer of the engine, or the error in its place.
func (v *topView) answer(all []engine.Status, err error, at time.Time) {
	if err != nil {
		v.trouble = err.Error()
		return
	}
	v.all, v.trouble, v.asked = all, "", at
	rates := map[string][]float64{}
	for _, s := range all {
		of := append(v.rates[s.Projection], s.Rate)
		rates[s.Projection] = of[max(0, len(of)-sparkLength):]
	}
	v.rates = rates
}

// urgency sorts states: what somebody has to see to comes first.
var urgency = []engine.RunnerState{engine.Diverged, engine.Halted, engine.Stopped, engine.Stalled, engine.Paused, engine.Starting, engine.CatchingUp, engine.Live}

// rows are the projections that are shown, sorted.
func (v *topView) rows() []engine.Status {
	rows := slices.DeleteFunc(slices.Clone(v.all), func(s engine.Status) bool {
		return !strings.Contains(s.Projection, v.filter) && !strings.Contains(string(s.State), v.filter)
	})
	slices.SortStableFunc(rows, func(a, b engine.Status) int {
		first := 0
		switch v.order {
		case byState:
			first = slices.Index(urgency, a.State) - slices.Index(urgency, b.State)
		case byBehind:
			first = cmp.Compare(b.Behind, a.Behind)
		case byRate:
			first = cmp.Compare(b.Rate, a.Rate)
		case byBytes:
			first = cmp.Compare(b.Bytes, a.Bytes)
		}
		return cmp.Or(first, cmp.Compare(a.Projection, b.Projection))
	})
	return rows
}

// at is the index of the selected row; 0 when that is not shown.
func (v *topView) at(rows []engine.Status) int {
	return max(0, slices.IndexFunc(rows, func(s engine.Status) bool { return s.Projection == v.selected }))
}

// move selects another row.
func (v *topView) move(by int) {
	if rows := v.rows(); len(rows) > 0 {
		v.selected, v.scroll = rows[min(max(v.at(rows)+by, 0), len(rows)-1)].Projection, 0
	}
}

// pageLines is how far a key for pages goes.
const pageLines = 10

// page goes through the details, if they are shown, or the rows.
func (v *topView) page(key topKey) {
	by := pageLines
	if key == keyPageUp {
		by = -pageLines
	}
	if v.detail {
		v.scroll = max(0, v.scroll+by) // drawing knows where they end
		return
	}
	v.move(by)
}

// topKey is what a key is for; runes are themselves.
type topKey string

const (
	keyUp, keyDown, keyPageUp, keyPageDown topKey = "up", "down", "page-up", "page-down"
	keyEnter, keyEscape, keyBackspace      topKey = "enter", "escape", "backspace"
	keyEnd                                 topKey = "end" // Ctrl-C
)

// press takes a key, and reports whether the program goes on.
func (v *topView) press(key topKey) bool {
	if key == keyEnd {
		return false
	}
	if v.typing {
		v.typed(key)
		return true
	}
	switch key {
	case "q":
		return false
	case "p", " ":
		v.paused = !v.paused
	case "s":
		v.order = (v.order + 1) % topOrders
	case "/":
		v.typing, v.detail, v.help = true, false, false
	case "?", "h":
		v.help = !v.help
	case keyUp, "k":
		v.move(-1)
	case keyDown, "j":
		v.move(1)
	case keyPageUp, keyPageDown:
		v.page(key)
	case keyEnter:
		v.move(0)
		v.detail = !v.detail
	case keyEscape:
		if v.detail || v.help {
			v.detail, v.help = false, false
		} else {
			v.filter = ""
		}
	}
	return true
}

// typed takes a key while the filter is typed.
func (v *topView) typed(key topKey) {
	switch key {
	case keyEnter:
		v.typing = false
	case keyEscape:
		v.typing, v.filter = false, ""
	case keyBackspace:
		if r := []rune(v.filter); len(r) > 0 {
			v.filter = string(r[:len(r)-1])
		}
	default:
		if r := []rune(string(key)); len(r) == 1 {
			v.filter += string(key)
		}
	}
}

// spark is a line of blocks for numbers, as high as they are beside the highest.
func spark(numbers []float64) string {
	const blocks = "▁▂▃▄▅▆▇█"
	line, most := []rune(strings.Repeat(" ", max(0, sparkLength-len(numbers)))), 0.0
	for _, n := range numbers {
		most = max(most, n)
	}
	for _, n := range numbers {
		level := 0
		if most > 0 && n > 0 {
			level = min(7, int(n/most*7+0.5))
		}
		line = append(line, []rune(blocks)[level])
	}
	return string(line)
}

// behindTime is how old the newest event is that is served, when there are newer ones; empty: none are, or
// there is none.
func behindTime(s engine.Status, now time.Time) string {
	if s.Behind == 0 || s.PositionTime.IsZero() {
		return ""
	}
	return shortTime(max(0, now.Sub(s.PositionTime)))
}

// shortTime is a time span in four characters or less.
func shortTime(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Second:
		return "<1s"
	case d < 100*time.Second:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < 100*time.Minute:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 100*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d < 1000*day:
		return fmt.Sprintf("%dd", d/day)
	}
	return fmt.Sprintf("%dy", d/(365*day)) // of a time.Duration, less than 300
}

// shortNumber is a number in five characters or less, for columns that do not jump.
func shortNumber(n float64) string {
	for _, unit := range []string{"", "k", "M", "G", "T"} {
		switch {
		case unit == "" && n < 10000:
			return fmt.Sprintf("%.0f", n)
		case n < 9.95:
			return fmt.Sprintf("%.1f%s", n, unit)
		case n < 9999.5:
			return fmt.Sprintf("%.0f%s", n, unit)
		}
		n /= 1000
	}
	return ">999T"
}

// shortBytes is likewise for bytes.
func shortBytes(n uint64) string {
	f := float64(n)
	for _, unit := range []string{"B", "K", "M", "G", "T"} {
		if f < 1023.5 {
			if unit != "B" && f < 9.95 {
				return fmt.Sprintf("%.1f%s", f, unit)
			}
			return fmt.Sprintf("%.0f%s", f, unit)
		}
		f /= 1024
	}
	return ">999T"
}
