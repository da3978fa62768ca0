package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"gnomon/engine"
)

// memoryState is a projection's state without a store. It implements engine.State, and
// refuses what would not fit one commit; nothing is ever rolled back.
type memoryState struct {
	rows  map[string]*memoryRow
	order []string // keys of rows by their bytes, without those in fresh
	fresh []string // keys of rows that came since the last scan
	keys  int      // of rows that are present
	bytes int      // of these keys, and of their values

	limit   engine.TxLimit
	event   int // the one under way
	changes int // of it: keys, and events that it emits
	size    int // of these, in bytes
}

// memoryRow is a key's value. One that was deleted stays, for it has its place in order.
type memoryRow struct {
	value   []byte
	present bool
	changed int // the event that changed it last
	took    int // of the size of that event's changes
}

func newMemoryState(limit engine.TxLimit) *memoryState {
	return &memoryState{rows: map[string]*memoryRow{}, limit: limit}
}

// begin begins another event.
func (s *memoryState) begin() {
	s.event++
	s.changes, s.size = 0, 0
}

// Get implements engine.State.
func (s *memoryState) Get(key []byte) ([]byte, bool, error) {
	row := s.rows[string(key)]
	if row == nil || !row.present {
		return nil, false, nil
	}
	return row.value, true, nil
}

// Put implements engine.State.
func (s *memoryState) Put(key, value []byte) error {
	row := s.row(key)
	if !row.present {
		s.keys++
		s.bytes += len(key) + len(row.value)
	}
	s.bytes += len(value) - len(row.value)
	row.value, row.present = append(row.value[:0], value...), true
	return s.change(row, len(key)+len(value))
}

// Delete implements engine.State.
func (s *memoryState) Delete(key []byte) error {
	row := s.row(key)
	if row.present {
		s.keys--
		s.bytes -= len(key) + len(row.value)
	}
	row.value, row.present = nil, false
	return s.change(row, len(key))
}

// Emit implements engine.State. What is emitted is counted and forgotten.
func (s *memoryState) Emit(e engine.Emit) error {
	s.changes++
	s.size += len(e.Subject) + len(e.Headers) + len(e.Data)
	return s.fits()
}

func (s *memoryState) row(key []byte) *memoryRow {
	row := s.rows[string(key)]
	if row == nil {
		row = &memoryRow{}
		s.rows[string(key)] = row
		s.fresh = append(s.fresh, string(key))
	}
	return row
}

// change counts a change of the event under way; of a key the last one counts.
func (s *memoryState) change(row *memoryRow, size int) error {
	if row.changed != s.event {
		row.changed, row.took = s.event, 0
		s.changes++
	}
	s.size += size - row.took
	row.took = size
	return s.fits()
}

func (s *memoryState) fits() error {
	if s.changes <= s.limit.Writes && s.size <= s.limit.Bytes {
		return nil
	}
	return &engine.GuestError{Call: "apply", Kind: engine.GuestOverLimit, Event: -1,
		Text: fmt.Sprintf("its writes do not fit one commit: the limit is %d keys or %d bytes; write less for one event", s.limit.Writes, s.limit.Bytes)}
}

// Scan implements engine.State.
func (s *memoryState) Scan(prefix, after []byte, fn func(key, value []byte) bool) error {
	s.sort()
	from := prefix
	if bytes.Compare(after, from) > 0 {
		from = after
	}
	at, _ := slices.BinarySearch(s.order, string(from))
	for _, key := range s.order[at:] {
		if !strings.HasPrefix(key, string(prefix)) {
			break
		}
		row := s.rows[key]
		if row.present && (len(after) == 0 || key > string(after)) && !fn([]byte(key), row.value) {
			break
		}
	}
	return nil
}

// sort gives fresh keys their place, and forgets those that were deleted when they have
// become the larger part.
func (s *memoryState) sort() {
	if len(s.fresh) > 0 {
		slices.Sort(s.fresh)
		s.order = merge(s.order, s.fresh)
		s.fresh = s.fresh[:0]
	}
	if len(s.order) > 2*s.keys+64 {
		s.order = slices.DeleteFunc(s.order, func(key string) bool {
			gone := !s.rows[key].present
			if gone {
				delete(s.rows, key)
			}
			return gone
		})
	}
}

// merge adds sorted keys to others, none of which is among both.
func merge(all, more []string) []string {
	i, j := len(all)-1, len(more)-1
	all = append(all, more...)
	for k := len(all) - 1; j >= 0; k-- {
		if i >= 0 && all[i] > more[j] {
			all[k] = all[i]
			i--
		} else {
			all[k] = more[j]
			j--
		}
	}
	return all
}
