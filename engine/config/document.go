package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// document is a TOML file with the lines of its keys, which the decoder does not
// tell.
type document struct {
	name  string
	lines map[string]int // by path
}

// path names a key: table and key names, and for an element of an array of tables
// its name and its index, as in projection[1].
type path []string

func (p path) add(key string) path { return append(p[:len(p):len(p)], key) }

func (p path) element(i int) path {
	q := append(path{}, p...)
	q[len(q)-1] += "[" + strconv.Itoa(i) + "]"
	return q
}

func (p path) String() string { return strings.Join(p, ".") }

// key is the path as it is written in a file, without indexes.
func (p path) key() string {
	parts := make([]string, len(p))
	for i, s := range p {
		parts[i], _, _ = strings.Cut(s, "[")
	}
	return strings.Join(parts, ".")
}

// line returns the line of a key, or of the nearest table around it that has one.
func (d *document) line(p path) int {
	for ; len(p) > 0; p = p[:len(p)-1] {
		if n := d.lines[p.String()]; n > 0 {
			return n
		}
	}
	return 0
}

// mistake is an error about a key.
func (d *document) mistake(p path, format string, args ...any) error {
	return &Error{File: d.name, Line: d.line(p), Text: fmt.Sprintf(format, args...)}
}

// decodeError is the error for a file that is not TOML.
func (d *document) decodeError(err error) error {
	var pe toml.ParseError
	if errors.As(err, &pe) {
		text := pe.Message
		if text == "" {
			text = strings.TrimPrefix(err.Error(), "toml: ")
		}
		text, _, _ = strings.Cut(text, "\n")
		return &Error{File: d.name, Line: pe.Position.Line, Text: text}
	}
	return &Error{File: d.name, Text: err.Error()}
}

// newDocument finds the lines of keys. It reads the file line by line, so it misses
// keys inside inline tables; those have the line of the table.
func newDocument(name string, b []byte) *document {
	s := &scanner{document: &document{name: name, lines: map[string]int{}}, arrays: map[string]int{}}
	for i, line := range strings.Split(string(b), "\n") {
		s.scan(i+1, strings.TrimSpace(line))
	}
	return s.document
}

// scanner keeps track of the table that a line belongs to.
type scanner struct {
	*document
	table  path
	arrays map[string]int // elements seen of each array of tables
	quote  string         // the multi-line string that the line is inside of
}

func (s *scanner) scan(n int, line string) {
	if s.quote != "" {
		if strings.Contains(line, s.quote) {
			s.quote = ""
		}
		return
	}
	switch {
	case line == "" || line[0] == '#':
	case strings.HasPrefix(line, "[["):
		keys, _ := splitKey(line[2:], ']')
		s.table = s.resolve(keys)
		at := s.table.String()
		s.note(s.table, n)
		s.table = s.table.element(s.arrays[at])
		s.arrays[at]++
		s.lines[s.table.String()] = n
	case line[0] == '[':
		keys, _ := splitKey(line[1:], ']')
		s.table = s.resolve(keys)
		s.note(s.table, n)
	default:
		keys, value := splitKey(line, '=')
		p := s.table
		for _, k := range keys {
			p = p.add(k)
			s.note(p, n)
		}
		s.openQuote(value)
	}
}

func (s *scanner) note(p path, n int) {
	if _, known := s.lines[p.String()]; !known {
		s.lines[p.String()] = n
	}
}

// openQuote notes that a value begins a string of several lines.
func (s *scanner) openQuote(value string) {
	for _, q := range []string{`"""`, `'''`} {
		if strings.Count(value, q)%2 == 1 {
			s.quote = q
		}
	}
}

// resolve turns the keys of a table's header into a path: a name of an array of
// tables stands for its last element.
func (s *scanner) resolve(keys []string) path {
	var p path
	for i, k := range keys {
		p = p.add(k)
		if n := s.arrays[p.String()]; n > 0 && i < len(keys)-1 {
			p = p.element(n - 1)
		}
	}
	return p
}

// splitKey splits a dotted key, with or without quotes, up to a delimiter, and
// returns what follows that.
func splitKey(s string, end byte) (keys []string, rest string) {
	var key strings.Builder
	var quote byte
	for i := range len(s) {
		c := s[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			key.WriteByte(c)
		case c == '"' || c == '\'':
			quote = c
		case c == end:
			return append(keys, key.String()), s[i+1:]
		case c == '.':
			keys = append(keys, key.String())
			key.Reset()
		case c != ' ' && c != '\t':
			key.WriteByte(c)
		}
	}
	return append(keys, key.String()), ""
}
