package jsonfields

import (
	"strconv"
	"unicode/utf8"
)

// maxDepth is how deep arrays and objects may nest, as in encoding/json.
const maxDepth = 10_000

// SyntaxError says where data is not the JSON that was expected.
type SyntaxError struct {
	Offset int // in bytes, from 0
	Text   string
}

func (e *SyntaxError) Error() string {
	return "event data at byte " + strconv.Itoa(e.Offset) + ": " + e.Text
}

// scanner walks over JSON and checks it, without recursion: the stack of a module
// is small.
type scanner struct {
	data []byte
	pos  int
	open []byte // closing brackets of the arrays and objects that pos is in
}

func (s *scanner) errorf(text string) error {
	return &SyntaxError{Offset: s.pos, Text: text}
}

// next skips white space and returns the byte at pos, or 0 at the end.
func (s *scanner) next() byte {
	if s.pos < len(s.data) && s.data[s.pos] > ' ' {
		return s.data[s.pos]
	}
	return s.skip()
}

func (s *scanner) skip() byte {
	for ; s.pos < len(s.data); s.pos++ {
		switch c := s.data[s.pos]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// end checks that nothing but white space follows.
func (s *scanner) end() error {
	if s.next(); s.pos < len(s.data) {
		return s.errorf("more after the JSON value")
	}
	return nil
}

// name takes the name of a field and its colon, and stands at the value then.
func (s *scanner) name() (name []byte, plain bool, err error) {
	if s.next() != '"' {
		return nil, false, s.errorf("a field's name in quotes is expected")
	}
	start := s.pos
	if plain, err = s.text(); err != nil {
		return nil, false, err
	}
	name = s.data[start+1 : s.pos-1]
	if s.next() != ':' {
		return nil, false, s.errorf("':' is expected")
	}
	s.pos++
	s.next()
	return name, plain, nil
}

// more takes what follows a value in an array or object: a comma, up to what comes
// next, or its end.
func (s *scanner) more(closing byte) (bool, error) {
	switch c := s.next(); c {
	case ',':
		s.pos++
		s.next()
		return true, nil
	case closing:
		s.pos++
		return false, nil
	}
	return false, s.errorf("',' or '" + string(rune(closing)) + "' is expected")
}

// value takes a value at pos, whatever it holds.
func (s *scanner) value() (Kind, error) {
	if kind, ok := s.simple(); ok {
		return kind, nil
	}
	s.open = s.open[:0]
	kind, whole, err := s.begin()
	for err == nil && !whole {
		_, whole, err = s.begin()
		for err == nil && whole && len(s.open) > 0 {
			whole, err = s.after()
		}
	}
	return kind, err
}

// simple takes a value, if it is a plain string or a whole number, as most are.
// Calls are what costs time in a module.
func (s *scanner) simple() (kind Kind, ok bool) {
	i := s.pos
	if i >= len(s.data) {
		return Absent, false
	}
	switch c := s.data[i]; {
	case c == '"':
		end := plainEnd(s.data, i+1)
		if end < len(s.data) && s.data[end] == '"' {
			s.pos = end + 1
			return String, true
		}
	case '1' <= c && c <= '9':
		for i < len(s.data) && '0' <= s.data[i] && s.data[i] <= '9' {
			i++
		}
		if i < len(s.data) && (s.data[i] == ',' || s.data[i] == '}') {
			s.pos = i
			return Number, true
		}
	}
	return Absent, false
}

// begin takes a value, if it holds no other. Of one that does it takes what comes
// before the first value in it; whole is false then.
func (s *scanner) begin() (kind Kind, whole bool, err error) {
	switch c := s.next(); c {
	case '{':
		whole, err = s.enter('}')
		return Object, whole, err
	case '[':
		whole, err = s.enter(']')
		return Array, whole, err
	case '"':
		plain, err := s.text()
		if !plain {
			return escapedKind, true, err
		}
		return String, true, err
	case 't':
		return Bool, true, s.word("true")
	case 'f':
		return Bool, true, s.word("false")
	case 'n':
		return Null, true, s.word("null")
	default:
		return Number, true, s.number()
	}
}

// enter takes the bracket that opens an array or object, and the first name.
func (s *scanner) enter(closing byte) (empty bool, err error) {
	if len(s.open)+2 > maxDepth { // this one, and the object around all
		return false, s.errorf("arrays and objects nest too deep: the limit is " + strconv.Itoa(maxDepth))
	}
	s.pos++
	if s.next() == closing {
		s.pos++
		return true, nil
	}
	s.open = append(s.open, closing)
	if closing == '}' {
		_, _, err = s.name()
	}
	return false, err
}

// after takes what follows a value in an array or object. When that ends with it,
// the array or object is itself a value that is whole now.
func (s *scanner) after() (whole bool, err error) {
	closing := s.open[len(s.open)-1]
	more, err := s.more(closing)
	if err != nil {
		return false, err
	}
	if !more {
		s.open = s.open[:len(s.open)-1]
		return true, nil
	}
	if closing == '}' {
		_, _, err = s.name()
	}
	return false, err
}

// plainText are the bytes that stand for themselves in a string, ASCII only. A
// look-up is several times faster in a module than comparisons.
var plainText = func() (plain [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		plain[c] = c != '"' && c != '\\'
	}
	return plain
}()

// plainEnd is where the bytes that stand for themselves end, from i on.
func plainEnd(data []byte, i int) int {
	for i < len(data) && plainText[data[i]] {
		i++
	}
	return i
}

// text takes a string. It is plain when what stands between its quotes is what it
// says: ASCII without escapes.
func (s *scanner) text() (plain bool, err error) {
	plain = true
	data := s.data
	for i := s.pos + 1; i < len(data); i++ {
		c := data[i]
		if plainText[c] {
			continue
		}
		if c == '"' {
			s.pos = i + 1
			return plain, nil
		}
		plain = false
		switch {
		case c == '\\':
			n := escapeLen(data[i:])
			if n == 0 {
				s.pos = i
				return false, s.errorf("invalid escape in a string")
			}
			i += n - 1
		case c < ' ':
			s.pos = i
			return false, s.errorf("control character in a string")
		}
	}
	s.pos = len(data)
	return false, s.errorf("a string does not end")
}

// escapeLen is the length of the escape at the start of b, or 0 when it is none.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if hex4(b) >= 0 {
			return 6
		}
	}
	return 0
}

func (s *scanner) word(w string) error {
	if len(s.data)-s.pos < len(w) || string(s.data[s.pos:s.pos+len(w)]) != w {
		return s.errorf("a JSON value is expected")
	}
	s.pos += len(w)
	return nil
}

// number takes a number: -? (0 | 1-9 digits) fraction? exponent?
func (s *scanner) number() error {
	s.optional('-', '-')
	if !s.optional('0', '0') && s.digits() == 0 {
		return s.errorf("a JSON value is expected")
	}
	if s.optional('.', '.') && s.digits() == 0 {
		return s.errorf("a digit is expected")
	}
	if s.optional('e', 'E') {
		s.optional('+', '-')
		if s.digits() == 0 {
			return s.errorf("a digit is expected")
		}
	}
	return nil
}

// optional takes one of two bytes, if it is there.
func (s *scanner) optional(a, b byte) bool {
	if s.pos < len(s.data) && (s.data[s.pos] == a || s.data[s.pos] == b) {
		s.pos++
		return true
	}
	return false
}

// digits takes digits and counts them.
func (s *scanner) digits() int {
	i := s.pos
	for i < len(s.data) && '0' <= s.data[i] && s.data[i] <= '9' {
		i++
	}
	n := i - s.pos
	s.pos = i
	return n
}
