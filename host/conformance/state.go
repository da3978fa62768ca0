package conformance

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"gnomon/engine/state"
)

// State is a projection's state in memory, for one call after the other: what a call
// wrote is kept by Commit, and forgotten by RollBack. It implements guest.State.
type State struct {
	// OnePage makes every page of a scan one entry long, as a host may.
	OnePage bool

	rows   map[string]string
	sorted []string           // keys of rows; nil when they must be sorted anew
	undo   map[string]*string // what the call under way changed; nil: was absent
	emits  []state.Emit       // of the call under way
}

// NewState makes a state that holds rows.
func NewState(rows map[string]string) *State {
	s := &State{rows: map[string]string{}, undo: map[string]*string{}}
	maps.Copy(s.rows, rows)
	return s
}

// Rows returns a copy of what is there.
func (s *State) Rows() map[string]string { return maps.Clone(s.rows) }

// Commit keeps what was written since the last one, and returns what was emitted.
func (s *State) Commit() []state.Emit {
	emits := s.emits
	s.emits = nil
	clear(s.undo)
	return emits
}

// RollBack takes back what was written and emitted since the last Commit.
func (s *State) RollBack() {
	for k, v := range s.undo {
		if v == nil {
			delete(s.rows, k)
		} else {
			s.rows[k] = *v
		}
		s.sorted = nil
	}
	s.emits = nil
	clear(s.undo)
}

func (s *State) change(key string) {
	if _, noted := s.undo[key]; noted {
		return
	}
	if old, ok := s.rows[key]; ok {
		s.undo[key] = &old
	} else {
		s.undo[key] = nil
	}
}

// Get implements guest.State.
func (s *State) Get(key []byte) ([]byte, bool, error) {
	v, ok := s.rows[string(key)]
	return []byte(v), ok, nil
}

// Put implements guest.State.
func (s *State) Put(key, value []byte) error {
	k := string(key)
	s.change(k)
	if _, ok := s.rows[k]; !ok {
		s.sorted = nil
	}
	s.rows[k] = string(value)
	return nil
}

// Delete implements guest.State.
func (s *State) Delete(key []byte) error {
	k := string(key)
	s.change(k)
	delete(s.rows, k)
	s.sorted = nil
	return nil
}

// Emit implements guest.State.
func (s *State) Emit(e state.Emit) error {
	e.Headers, e.Data = bytes.Clone(e.Headers), bytes.Clone(e.Data)
	s.emits = append(s.emits, e)
	return nil
}

// Scan implements guest.State.
func (s *State) Scan(prefix, after []byte, fn func(key, value []byte) bool) error {
	if s.sorted == nil {
		s.sorted = slices.Sorted(maps.Keys(s.rows))
	}
	at, _ := slices.BinarySearch(s.sorted, max(string(prefix), string(after)))
	for _, k := range s.sorted[at:] {
		if !strings.HasPrefix(k, string(prefix)) {
			break
		}
		if len(after) > 0 && k <= string(after) {
			continue
		}
		if !fn([]byte(k), []byte(s.rows[k])) || s.OnePage {
			break
		}
	}
	return nil
}
