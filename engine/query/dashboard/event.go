package dashboard

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"gnomon/engine/query/wire"
)

const (
	linePreview   = 120     // of an event's data, in its row
	unfoldedBytes = 8 << 10 // of it unfolded
	unfoldedDump  = 512     // of it when it is no text
)

// shownEvent is an event as text.
type shownEvent struct {
	wire.Event
	Kind      string   // JSON, text, or bytes
	Preview   string   // one line
	Text      string   // its data: indented, as it is, or dumped
	Hidden    int      // bytes of it that are not shown
	Names     []string // of its headers, sorted
	Reflected []string // projections that have applied it
}

// showEvent makes text of an event.
func showEvent(e wire.Event) shownEvent {
	s := shownEvent{Event: e, Names: slices.Sorted(maps.Keys(e.Headers))}
	s.Kind, s.Text, s.Hidden = decoded(e.Data)
	s.Preview = preview(e.Data)
	return s
}

// decoded is data as text, what it is, and how many of its bytes are not in the text.
func decoded(data []byte) (kind, text string, hidden int) {
	switch {
	case wire.IsJSON(data):
		var out bytes.Buffer
		if len(data) <= unfoldedBytes && json.Indent(&out, data, "", "  ") == nil {
			return "JSON", visible(out.String()), 0
		}
		shown := clip(data, unfoldedBytes)
		return "JSON", visible(shown), len(data) - len(shown)
	case utf8.Valid(data):
		shown := clip(data, unfoldedBytes)
		return "text", visible(shown), len(data) - len(shown)
	}
	n := min(len(data), unfoldedDump)
	return "bytes", hex.Dump(data[:n]), len(data) - n
}

// clip is the beginning of a text, in whole characters.
func clip(text []byte, most int) string {
	if len(text) <= most {
		return string(text)
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return string(text[:most])
}

// preview is the beginning of data on one line.
func preview(data []byte) string {
	if !utf8.Valid(data) {
		n := min(len(data), linePreview/3)
		return strings.TrimSpace(hexPairs(data[:n])) + ellipsis(n < len(data))
	}
	var out strings.Builder
	n := 0
	for _, r := range string(data) {
		if n++; n > linePreview {
			break
		}
		if unicode.IsSpace(r) || !unicode.IsPrint(r) {
			r = ' '
		}
		out.WriteRune(r)
	}
	return out.String() + ellipsis(n > linePreview)
}

func hexPairs(b []byte) string {
	var out strings.Builder
	for _, x := range b {
		out.WriteString(hex.EncodeToString([]byte{x}) + " ")
	}
	return out.String()
}

func ellipsis(cut bool) string {
	if cut {
		return "…"
	}
	return ""
}
