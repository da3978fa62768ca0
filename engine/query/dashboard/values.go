package dashboard

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"gnomon/engine/query/wire"
)

// Bounds of what a page shows of a value.
const (
	treeNodes = 5000     // of a value on its own page
	rowNodes  = 200      // of one among others
	rowBytes  = 16 << 10 // of one among others; a longer one is cut
	cutBytes  = 512      // of what is left of it
	rowDump   = 128      // of one among others, in hex
	textBytes = 1 << 20  // of a value on its own page, as text: what a value may have
	dumpBytes = 64 << 10 // of it, in hex
	treeDepth = 64       // what is deeper is shown as text
)

// shown is a value as a page shows it: as a tree if it is JSON, as text if it is that, and
// otherwise in hex.
type shown struct {
	Absent bool
	Size   int
	Tree   *node
	Text   string
	Dump   string
	Cut    bool // it has more
}

// showRow shows a value among others.
func showRow(value []byte) shown {
	if len(value) > rowBytes {
		s := shown{Size: len(value), Cut: true}
		if part := value[:cutBytes]; isText(trimRune(part)) {
			s.Text = visible(string(trimRune(part)))
		} else {
			s.Dump = hex.Dump(part[:rowDump])
		}
		return s
	}
	s := show(value, rowNodes)
	if s.Dump != "" && len(value) > rowDump {
		s.Dump, s.Cut = hex.Dump(value[:rowDump]), true
	}
	return s
}

// showWhole shows a value on its own page.
func showWhole(value []byte) shown { return show(value, treeNodes) }

func show(value []byte, nodes int) shown {
	s := shown{Absent: value == nil, Size: len(value)}
	switch {
	case value == nil:
	case wire.IsJSON(value):
		if s.Tree = treeOf(value, nodes); s.Tree == nil { // it has too much for that
			s.Text, s.Cut = text(value, textBytes)
		}
	case isText(value):
		s.Text, s.Cut = text(value, textBytes)
	default:
		part := value[:min(len(value), dumpBytes)]
		s.Dump, s.Cut = hex.Dump(part), len(part) < len(value)
	}
	return s
}

func text(value []byte, most int) (string, bool) {
	if len(value) <= most {
		return visible(string(value)), false
	}
	return visible(string(trimRune(value[:most]))), true
}

// trimRune takes off the beginning of a character that was cut.
func trimRune(b []byte) []byte {
	for range utf8.UTFMax {
		if r, size := utf8.DecodeLastRune(b); r != utf8.RuneError || size != 1 {
			break
		}
		b = b[:len(b)-1]
	}
	return b
}

// isText reports whether a value is one, of characters that people read.
func isText(value []byte) bool {
	return utf8.Valid(value) && !strings.ContainsFunc(string(value), isBinary)
}

// isBinary reports whether a character is none of a text.
func isBinary(r rune) bool { return unicode.IsControl(r) && r != '\t' && r != '\n' && r != '\r' }

// node is a part of a JSON value.
type node struct {
	Name     string
	Named    bool
	Kind     string // object, array, string, number or word
	Text     string // of one without parts, and of one that is too deep, as JSON
	Children []*node
}

// Brackets are those of an object or an array.
func (n *node) Brackets() string {
	if n.Kind == "array" {
		return "[" + strconv.Itoa(len(n.Children)) + "]"
	}
	return "{" + strconv.Itoa(len(n.Children)) + "}"
}

// previewRunes is how many characters of a value are shown where it is closed.
const previewRunes = 100

// Preview is the beginning of a value, as JSON, in one line.
func (n *node) Preview() string {
	text := []rune(n.json())
	if len(text) <= previewRunes {
		return string(text)
	}
	return string(text[:previewRunes]) + " …"
}

// treeOf parses a JSON value; nil: it has more parts than that.
func treeOf(value []byte, nodes int) *node {
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	b := builder{decoder: d, left: nodes}
	n := b.value(0)
	if b.left < 0 {
		return nil
	}
	return n
}

// builder makes a tree of valid JSON.
type builder struct {
	decoder *json.Decoder
	left    int // nodes
}

func (b *builder) value(depth int) *node {
	if b.left--; b.left < 0 {
		return nil
	}
	if depth > treeDepth {
		var raw json.RawMessage
		_ = b.decoder.Decode(&raw) // it is valid
		return &node{Kind: "word", Text: visible(string(raw))}
	}
	token, err := b.decoder.Token()
	if err != nil {
		b.left = -1
		return nil
	}
	switch t := token.(type) {
	case json.Delim:
		n := &node{Kind: "array"}
		if t == '{' {
			n.Kind = "object"
		}
		b.children(n, depth)
		return n
	case string:
		return &node{Kind: "string", Text: quotedJSON(t)}
	case json.Number:
		return &node{Kind: "number", Text: t.String()}
	case bool:
		return &node{Kind: "word", Text: strconv.FormatBool(t)}
	}
	return &node{Kind: "word", Text: "null"}
}

func (b *builder) children(n *node, depth int) {
	for b.left >= 0 && b.decoder.More() {
		name := ""
		if n.Kind == "object" {
			token, _ := b.decoder.Token()
			name, _ = token.(string)
		}
		child := b.value(depth + 1)
		if child == nil {
			return
		}
		child.Name, child.Named = name, n.Kind == "object"
		n.Children = append(n.Children, child)
	}
	_, _ = b.decoder.Token() // the end of it
}

// quotedJSON writes a string as JSON does, without escapes for HTML.
func quotedJSON(s string) string {
	b, err := wire.Marshal(s)
	if err != nil {
		return strconv.Quote(s)
	}
	return visible(string(b)) // which is JSON all the same
}
