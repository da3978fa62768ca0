package jsonfields

// Reader reads chosen fields of JSON objects in one pass, without decoding the rest.
type Reader struct {
	names  []string
	values []Value
	json   scanner
	text   []byte // unescaped texts of the last Read
}

// NewReader prepares to read the fields with the given names.
func NewReader(names ...string) *Reader {
	return &Reader{names: names, values: make([]Value, len(names))}
}

// Read returns the values of the fields, in the order of their names. Only the
// object's own fields count, not those of objects in it; of a field that occurs
// twice the last counts, as in encoding/json, but names must match exactly. The
// values are valid until the next Read, and as long as data is. Data that is not
// one valid JSON object is an error.
func (r *Reader) Read(data []byte) ([]Value, error) {
	for i := range r.values {
		r.values[i] = Value{}
	}
	r.text = r.text[:0]
	r.json.data, r.json.pos = data, 0
	if err := r.object(); err != nil {
		return nil, err
	}
	for i := range r.values {
		if r.values[i].kind == escapedKind {
			r.unescape(&r.values[i])
		}
	}
	return r.values, nil
}

// object reads the whole of the data as one object.
func (r *Reader) object() error {
	s := &r.json
	if s.next() != '{' {
		return s.errorf("a JSON object is expected")
	}
	s.pos++
	if s.next() == '}' {
		s.pos++
		return s.end()
	}
	for {
		i, err := r.name()
		if err != nil {
			return err
		}
		start := s.pos
		kind, err := s.value()
		if err != nil {
			return err
		}
		if i >= 0 {
			v := &r.values[i]
			v.kind, v.at, v.raw = kind, start, s.data[start:s.pos]
		}
		more, err := s.more('}')
		if err != nil {
			return err
		}
		if !more {
			return s.end()
		}
	}
}

// name takes the name of a field and its colon. It returns the name's place among
// those to read, or -1.
func (r *Reader) name() (int, error) {
	s := &r.json
	// As most JSON is written. Calls are what costs time in a module.
	if i := s.pos; i < len(s.data) && s.data[i] == '"' {
		end := plainEnd(s.data, i+1)
		if end+2 < len(s.data) && s.data[end] == '"' && s.data[end+1] == ':' && s.data[end+2] > ' ' {
			s.pos = end + 2
			return r.index(s.data[i+1 : end]), nil
		}
	}
	name, plain, err := s.name()
	if err != nil || plain {
		return r.index(name), err
	}
	start := len(r.text)
	r.text = appendUnescaped(r.text, name)
	name = r.text[start:]
	r.text = r.text[:start]
	return r.index(name), nil
}

func (r *Reader) index(name []byte) int {
	for i, n := range r.names {
		if n == string(name) {
			return i
		}
	}
	return -1
}

// unescape gives a value its text. A text that was given before stays valid when
// r.text grows: it keeps the old array.
func (r *Reader) unescape(v *Value) {
	start := len(r.text)
	r.text = appendUnescaped(r.text, v.raw[1:len(v.raw)-1])
	v.kind, v.text = String, r.text[start:len(r.text):len(r.text)]
}

// Kind is the kind of a JSON value.
type Kind byte

// The kinds of values. A field that is not there is Absent.
const (
	Absent Kind = iota
	Null
	Bool
	Number
	String
	Array
	Object
	escapedKind // a string with escapes, or bytes that are not ASCII, not yet unescaped
)

// Value is the value of a field.
type Value struct {
	kind Kind
	at   int // where raw begins in the data
	raw  []byte
	text []byte // of a string, when it differs from what raw holds between quotes
}

// Kind is the kind of the value.
func (v Value) Kind() Kind { return v.kind }

// Raw is the value's JSON as it stands in the data; empty when it is absent.
func (v Value) Raw() []byte { return v.raw }

// Text is what a string says, as UTF-8, or the digits of a number as they stand; ok
// is false for any other value.
func (v Value) Text() (text []byte, ok bool) {
	switch {
	case v.kind == Number:
		return v.raw, true
	case v.kind != String:
		return nil, false
	case v.text != nil:
		return v.text, true
	}
	return v.raw[1 : len(v.raw)-1], true
}

// Int is a number without fraction and exponent; ok is false for any other value,
// and for one beyond 18 digits.
func (v Value) Int() (n int64, ok bool) {
	digits := v.raw
	if v.kind != Number {
		return 0, false
	}
	if digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) > 18 {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if v.raw[0] == '-' {
		n = -n
	}
	return n, true
}
