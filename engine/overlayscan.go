package engine

import (
	"fmt"
	"slices"
	"strings"
)

// Scan implements State: it merges what is not committed yet into what is.
func (o *overlay) Scan(prefix, after []byte, fn func(key, value []byte) bool) error {
	m := merge{rows: o.sorted.between(o, string(prefix), string(after)), fn: fn, more: true}
	if err := o.base.Scan(prefix, after, m.committed); err != nil {
		return &storeError{fmt.Errorf("read state: %w", err)}
	}
	m.upTo("", true)
	return nil
}

// merge passes the rows of two sorted sources to fn, the overlay's first where
// both have a key.
type merge struct {
	rows []*item
	fn   func(key, value []byte) bool
	more bool // fn wants more
}

// committed takes a row of the keyspace.
func (m *merge) committed(key, value []byte) bool {
	m.upTo(string(key), false)
	if !m.more {
		return false
	}
	if len(m.rows) > 0 && m.rows[0].key == string(key) {
		m.next()
		return m.more
	}
	m.more = m.fn(key, value)
	return m.more
}

// upTo passes on the overlay's rows before key, or all of them.
func (m *merge) upTo(key string, all bool) {
	for m.more && len(m.rows) > 0 && (all || m.rows[0].key < key) {
		m.next()
	}
}

func (m *merge) next() {
	it := m.rows[0]
	m.rows = m.rows[1:]
	if it.present {
		m.more = m.fn([]byte(it.key), it.value)
	}
}

// sortedItems are the items that the base view does not show as they are, by
// key. They are built at the first scan and kept up to date as long as the
// projection scans between its writes.
type sortedItems struct {
	items []*item
	valid bool
}

func byKey(it *item, key string) int { return strings.Compare(it.key, key) }

// between returns the items that have the prefix and come after a key.
func (s *sortedItems) between(o *overlay, prefix, after string) []*item {
	if !s.valid {
		s.build(o)
	}
	return itemsBetween(s.items, prefix, after)
}

// findItem returns the item of a key among sorted ones, or nil.
func findItem(sorted []*item, key string) *item {
	if i, found := slices.BinarySearchFunc(sorted, key, byKey); found {
		return sorted[i]
	}
	return nil
}

// itemsBetween returns those of sorted items that have the prefix and come after a key.
func itemsBetween(sorted []*item, prefix, after string) []*item {
	from, _ := slices.BinarySearchFunc(sorted, max(prefix, after), byKey)
	rows := sorted[from:]
	if len(rows) > 0 && after != "" && rows[0].key == after {
		rows = rows[1:]
	}
	end := 0
	for end < len(rows) && strings.HasPrefix(rows[end].key, prefix) {
		end++
	}
	return rows[:end]
}

func (s *sortedItems) build(o *overlay) {
	s.items = s.items[:0]
	for _, it := range o.items {
		if it.dirty || it.inFlight {
			s.items = append(s.items, it)
		}
	}
	slices.SortFunc(s.items, func(a, b *item) int { return strings.Compare(a.key, b.key) })
	s.valid = true
}

// insert adds an item that became dirty.
func (s *sortedItems) insert(it *item) {
	if !s.valid {
		return
	}
	if at, found := slices.BinarySearchFunc(s.items, it.key, byKey); !found {
		s.items = slices.Insert(s.items, at, it)
	}
}
