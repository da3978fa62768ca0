package dashboard

import (
	"html/template"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// functions are those of the templates.
var functions = template.FuncMap{
	"millis":  millis,
	"asset":   asset,
	"path":    url.PathEscape, // a part of a path
	"count":   count,
	"bytes":   size,
	"span":    span,
	"moment":  moment,
	"short":   short,
	"visible": visible,
	"event":   eventAddress,

	"word":       quoted,
	"rate":       rate,
	"ms":         func(ms int64) string { return span(time.Duration(ms) * time.Millisecond) },
	"left":       left,
	"took":       took,
	"ago":        ago,
	"curvelabel": func(c curve, label string) any { return labelledCurve{c, label} },
}

// labelledCurve is a curve with what it is of.
type labelledCurve struct {
	curve
	Label string
}

// rate writes a number per second: exact where it is small.
func rate(n float64) string {
	if n > 0 && n < 10 {
		return strconv.FormatFloat(n, 'f', 1, 64)
	}
	return count(n)
}

// took writes how long something takes that is quick: 1.2 µs, 340 ns.
func took(d time.Duration) string {
	switch {
	case d < time.Microsecond:
		return strconv.FormatInt(int64(d), 10) + " ns"
	case d < time.Millisecond:
		return strconv.FormatFloat(float64(d)/float64(time.Microsecond), 'f', 1, 64) + " µs"
	case d < time.Second:
		return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 1, 64) + " ms"
	}
	return span(d)
}

// ago writes how long ago a moment was.
func ago(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return span(max(time.Since(t), 0)) + " ago"
}

// left writes how long something still takes; empty: that is not known.
func left(ms int64) string {
	if ms == 0 {
		return ""
	}
	return span(time.Duration(ms) * time.Millisecond)
}

// count writes a number with thin spaces between thousands: 19 547.
func count(n any) string {
	var text string
	switch n := n.(type) {
	case uint64:
		text = strconv.FormatUint(n, 10)
	case int64:
		text = strconv.FormatInt(n, 10)
	case int:
		text = strconv.Itoa(n)
	case float64:
		text = strconv.FormatFloat(n, 'f', 0, 64)
	}
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign, text = "−", text[1:]
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + " " + text[i:]
	}
	return sign + text
}

// size writes bytes in binary units, as the CLI does: 1.5 MiB.
func size(n any) string {
	switch n := n.(type) {
	case uint64:
		return humanize.IBytes(n)
	case int64:
		return humanize.IBytes(uint64(max(n, 0)))
	case int:
		return humanize.IBytes(uint64(max(n, 0)))
	}
	return ""
}

// span writes a duration as a person says it: 850ms, 12s, 3m 20s, 5h 3m, 2d 4h.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "−" + span(-d)
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < time.Minute:
		return strconv.FormatInt(int64(d/time.Second), 10) + " s"
	case d < time.Hour:
		return two(d, time.Minute, "m", time.Second, "s")
	case d < 24*time.Hour:
		return two(d, time.Hour, "h", time.Minute, "m")
	}
	return two(d, 24*time.Hour, "d", time.Hour, "h")
}

func two(d, big time.Duration, bigName string, small time.Duration, smallName string) string {
	text := strconv.FormatInt(int64(d/big), 10) + " " + bigName
	if rest := d % big / small; rest > 0 {
		text += " " + strconv.FormatInt(int64(rest), 10) + " " + smallName
	}
	return text
}

// moment writes a time in UTC, to the second.
func moment(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// short is the beginning of a digest.
func short(digest string) string { return digest[:min(12, len(digest))] }
