package testdriver

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"gnomon/engine/guest"
	"gnomon/engine/state"
)

// State is a projection's state in memory, which changes call by call. It implements
// guest.State, and refuses what would not fit one commit.
type State struct {
	rows  map[string]*row
	order []string // keys of rows by their bytes, without those in fresh
	fresh []string // keys of rows that came since the last scan
	keys  int      // of rows that are present
	bytes int      // of these keys, and of their values

	limit   state.TxLimit
	call    int // the one under way
	changes int // of it: keys, and events that it emits
	size    int // of these, in bytes

	undo   []undo
	writes []write // of the call, in order
	emits  []state.Emit
	digest uint64 // of all rows, whatever the order in which they were written
}

// row is a key's value. One that was deleted stays, for it has its place in order.
type row struct {
	key     string
	value   []byte // never changed in place
	present bool
	changed int // the call that changed it last
	took    int // of the size of that call's changes
}

// undo is what a key had before the call.
type undo struct {
	row     *row
	value   []byte
	present bool
}

// write is a change of a key, in the order of changes.
type write struct {
	key     string
	value   []byte
	present bool
}

// NewState makes an empty state. The limit is that of one call.
func NewState(limit state.TxLimit) *State {
	return &State{rows: map[string]*row{}, limit: limit}
}

// Begin begins a call.
func (s *State) Begin() {
	s.call++
	s.changes, s.size = 0, 0
	s.undo, s.writes, s.emits = s.undo[:0], s.writes[:0], nil
}

// Commit ends a call, whose writes stay.
func (s *State) Commit() {
	for _, u := range s.undo {
		s.digest ^= rowDigest(u.row.key, u.value, u.present) ^ rowDigest(u.row.key, u.row.value, u.row.present)
	}
	s.undo = s.undo[:0]
}

// RollBack ends a call, and takes back what it wrote and emitted.
func (s *State) RollBack() {
	for _, u := range s.undo {
		s.set(u.row, u.value, u.present)
	}
	s.undo, s.writes, s.emits = s.undo[:0], s.writes[:0], nil
}

// Keys is how many keys there are.
func (s *State) Keys() int { return s.keys }

// Bytes is what keys and values amount to.
func (s *State) Bytes() int { return s.bytes }

// All is a copy of all keys and values.
func (s *State) All() map[string]string {
	all := make(map[string]string, s.keys)
	for key, r := range s.rows {
		if r.present {
			all[key] = string(r.value)
		}
	}
	return all
}

// clone is a copy that can be changed by itself. No call is under way.
func (s *State) clone() *State {
	c := NewState(s.limit)
	for key, r := range s.rows {
		if r.present {
			copied := &row{key: key}
			c.rows[key] = copied
			c.fresh = append(c.fresh, key)
			c.set(copied, r.value, true)
		}
	}
	c.digest = s.digest
	return c
}

var digestSeed = maphash.MakeSeed()

func rowDigest(key string, value []byte, present bool) uint64 {
	if !present {
		return 0
	}
	var h maphash.Hash
	h.SetSeed(digestSeed)
	maphash.WriteComparable(&h, len(key))
	h.WriteString(key)
	h.Write(value)
	return h.Sum64()
}

// Get implements guest.State.
func (s *State) Get(key []byte) ([]byte, bool, error) {
	r := s.rows[string(key)]
	if r == nil || !r.present {
		return nil, false, nil
	}
	return r.value, true, nil
}

// Put implements guest.State.
func (s *State) Put(key, value []byte) error {
	return s.change(key, bytes.Clone(value), true, len(key)+len(value))
}

// Delete implements guest.State.
func (s *State) Delete(key []byte) error { return s.change(key, nil, false, len(key)) }

// Emit implements guest.State.
func (s *State) Emit(e state.Emit) error {
	s.emits = append(s.emits, e)
	s.changes++
	s.size += len(e.Subject) + len(e.Headers) + len(e.Data)
	return s.fits()
}

// change counts a change of the call under way; of a key the last one counts.
func (s *State) change(key, value []byte, present bool, size int) error {
	r := s.rows[string(key)]
	if r == nil {
		r = &row{key: string(key)}
		s.rows[r.key] = r
		s.fresh = append(s.fresh, r.key)
	}
	if r.changed != s.call {
		s.undo = append(s.undo, undo{r, r.value, r.present})
		r.changed, r.took = s.call, 0
		s.changes++
	}
	s.writes = append(s.writes, write{r.key, value, present})
	s.set(r, value, present)
	s.size += size - r.took
	r.took = size
	return s.fits()
}

// set changes a row, and counts what there is.
func (s *State) set(r *row, value []byte, present bool) {
	if r.present {
		s.keys--
		s.bytes -= len(r.key) + len(r.value)
	}
	if present {
		s.keys++
		s.bytes += len(r.key) + len(value)
	}
	r.value, r.present = value, present
}

func (s *State) fits() error {
	if s.changes <= s.limit.Writes && s.size <= s.limit.Bytes {
		return nil
	}
	return &guest.Error{Call: "apply", Kind: guest.OverLimit, Event: -1,
		Text: fmt.Sprintf("its writes do not fit one commit: the limit is %d keys or %d bytes; write less for one event", s.limit.Writes, s.limit.Bytes)}
}

// Scan implements guest.State.
func (s *State) Scan(prefix, after []byte, fn func(key, value []byte) bool) error {
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
		r := s.rows[key]
		if r.present && (len(after) == 0 || key > string(after)) && !fn([]byte(key), r.value) {
			break
		}
	}
	return nil
}

// sort gives fresh keys their place, and forgets those that were deleted, by calls before
// this one, when they have become the larger part.
func (s *State) sort() {
	if len(s.fresh) > 0 {
		slices.Sort(s.fresh)
		s.order = merge(s.order, s.fresh)
		s.fresh = s.fresh[:0]
	}
	if len(s.order) > 2*(s.keys+len(s.undo))+64 {
		s.order = slices.DeleteFunc(s.order, func(key string) bool {
			r := s.rows[key]
			gone := !r.present && r.changed != s.call
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
