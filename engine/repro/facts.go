package repro

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"unicode/utf8"

	"gnomon/engine/state"
)

// Text is bytes that are a string in JSON when they are UTF-8, and {"b64":"…"}
// otherwise.
type Text []byte

type base64JSON struct {
	B64 []byte `json:"b64"`
}

// MarshalJSON implements json.Marshaler.
func (t Text) MarshalJSON() ([]byte, error) {
	if utf8.Valid(t) {
		return json.Marshal(string(t))
	}
	return json.Marshal(base64JSON{t})
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *Text) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err == nil {
		*t = Text(s)
		return nil
	}
	var f base64JSON
	err := json.Unmarshal(b, &f)
	*t = f.B64
	return err
}

// Fact is what is known of a key, or of a range of keys. Exactly one of Get and From is
// set.
type Fact struct {
	// Get is a key that was looked up, and Value what it has; nil: it is absent.
	Get   *Text `json:"get,omitempty"`
	Value *Text `json:"value,omitempty"`
	// From is the beginning of a range whose rows are all in Rows, by key, and To its
	// end, which is not in it any more; nil: the range has no end.
	From *Text `json:"from,omitempty"`
	To   *Text `json:"to,omitempty"`
	Rows []Row `json:"rows,omitempty"`
}

// Row is a key with its value.
type Row struct {
	Key   Text `json:"key"`
	Value Text `json:"value"`
}

func text(b []byte) *Text {
	t := Text(append([]byte{}, b...))
	return &t
}

// Recorder reads rows and notes what was read. It implements state.Rows.
type Recorder struct {
	rows state.Rows

	mu    sync.Mutex
	facts []Fact
	known map[string]bool // keys in facts that were looked up
}

// NewRecorder makes a recorder of what is read of rows.
func NewRecorder(rows state.Rows) *Recorder {
	return &Recorder{rows: rows, known: map[string]bool{}}
}

// Facts returns what was read, in the order in which it was.
func (r *Recorder) Facts() []Fact {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.facts)
}

// Get implements state.Rows.
func (r *Recorder) Get(key []byte) ([]byte, bool, error) {
	value, ok, err := r.rows.Get(key)
	if err != nil {
		return nil, false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.known[string(key)] {
		r.known[string(key)] = true
		f := Fact{Get: text(key)}
		if ok {
			f.Value = text(value)
		}
		r.facts = append(r.facts, f)
	}
	return value, ok, nil
}

// Scan implements state.Rows.
func (r *Recorder) Scan(prefix, after []byte, fn func(key, value []byte) bool) error {
	s := spanOf(prefix, after)
	if s.empty() {
		return nil
	}
	f := Fact{From: text(s.from)}
	if s.to != nil {
		f.To = text(s.to)
	}
	err := r.rows.Scan(prefix, after, func(key, value []byte) bool {
		f.Rows = append(f.Rows, Row{*text(key), *text(value)})
		more := fn(key, value)
		if !more {
			f.To = text(next(key)) // nothing is known of what follows
		}
		return more
	})
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.facts = append(r.facts, f)
	return nil
}

// span is a range of keys.
type span struct{ from, to []byte } // to is not in it; nil: there is no end

// spanOf is the range that a scan is about.
func spanOf(prefix, after []byte) span {
	s := span{from: prefix, to: prefixEnd(prefix)}
	if len(after) > 0 {
		if n := next(after); bytes.Compare(n, s.from) > 0 {
			s.from = n
		}
	}
	return s
}

func (s span) empty() bool { return s.to != nil && bytes.Compare(s.from, s.to) >= 0 }

// next is the least key that is greater than another.
func next(key []byte) []byte { return append(bytes.Clone(key), 0) }

// prefixEnd is the least key that is greater than all with a prefix; nil: there is none.
func prefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			end := bytes.Clone(prefix[:i+1])
			end[i]++
			return end
		}
	}
	return nil
}

// ErrUnknown says that something is read of which a bundle knows nothing: the module
// behaves otherwise than the one that was recorded. It is wrapped with what that is.
var ErrUnknown = errors.New("the bundle does not have what the module reads")

// Replay answers reads by facts. It implements state.Rows.
type Replay struct {
	gets   map[string]Fact
	ranges []Fact
}

// NewReplay makes a replay of facts.
func NewReplay(facts []Fact) *Replay {
	r := &Replay{gets: map[string]Fact{}}
	for _, f := range facts {
		if f.Get != nil {
			r.gets[string(*f.Get)] = f
		} else {
			r.ranges = append(r.ranges, f)
		}
	}
	return r
}

// Get implements state.Rows.
func (r *Replay) Get(key []byte) ([]byte, bool, error) {
	if f, ok := r.gets[string(key)]; ok {
		if f.Value == nil {
			return nil, false, nil
		}
		return bytes.Clone(*f.Value), true, nil
	}
	f := r.covering(key)
	if f == nil {
		return nil, false, fmt.Errorf("%w: key %.200q", ErrUnknown, key)
	}
	for _, row := range f.Rows {
		if bytes.Equal(row.Key, key) {
			return bytes.Clone(row.Value), true, nil
		}
	}
	return nil, false, nil
}

// covering returns a fact whose range has a key, the longest there is, or nil.
func (r *Replay) covering(key []byte) (best *Fact) {
	for i := range r.ranges {
		f := &r.ranges[i]
		if bytes.Compare(*f.From, key) > 0 || f.To != nil && bytes.Compare(*f.To, key) <= 0 {
			continue
		}
		if best == nil || best.To != nil && (f.To == nil || bytes.Compare(*f.To, *best.To) > 0) {
			best = f
		}
	}
	return best
}

// Scan implements state.Rows. Ranges that follow each other are one, as those of a
// guest that reads page by page.
func (r *Replay) Scan(prefix, after []byte, fn func(key, value []byte) bool) error {
	s := spanOf(prefix, after)
	for !s.empty() {
		f := r.covering(s.from)
		if f == nil {
			return fmt.Errorf("%w: keys from %.200q on", ErrUnknown, s.from)
		}
		for _, row := range f.Rows {
			if bytes.Compare(row.Key, s.from) < 0 {
				continue
			}
			if s.to != nil && bytes.Compare(row.Key, s.to) >= 0 {
				return nil
			}
			if !fn(row.Key, row.Value) {
				return nil
			}
		}
		if f.To == nil {
			return nil
		}
		s.from = *f.To
	}
	return nil
}
