package state

import (
	"bytes"
	"errors"
	"iter"
)

// Pair is a key of one of two states, or of both, with its values.
type Pair struct {
	Key, A, B []byte
	InA, InB  bool
}

// Same reports whether both states have the key, with one value.
func (p Pair) Same() bool { return p.InA && p.InB && bytes.Equal(p.A, p.B) }

// CompareRows merges two states: it calls fn for every key with a prefix that either has,
// in order, until it returns false. One row of each is in memory at a time. What fn is
// handed is good until it returns.
func CompareRows(a, b Rows, prefix []byte, fn func(Pair) bool) error {
	x, y := newCursor(a, prefix), newCursor(b, prefix)
	defer x.stop()
	defer y.stop()
	x.advance()
	y.advance()
	for x.ok || y.ok {
		// The keys after the end of a scan that failed are not missing.
		if err := errors.Join(x.err, y.err); err != nil {
			return err
		}
		p := pairOf(x, y)
		if !fn(p) {
			return nil
		}
		if p.InA {
			x.advance()
		}
		if p.InB {
			y.advance()
		}
	}
	return errors.Join(x.err, y.err)
}

// pairOf takes the lesser key of two scans, or the one that both have.
func pairOf(x, y *cursor) Pair {
	switch order := bytes.Compare(x.key, y.key); {
	case !y.ok || x.ok && order < 0:
		return Pair{Key: x.key, A: x.value, InA: true}
	case !x.ok || order > 0:
		return Pair{Key: y.key, B: y.value, InB: true}
	}
	return Pair{Key: x.key, A: x.value, B: y.value, InA: true, InB: true}
}

// cursor is a scan that is read row by row. Key and value are good until it advances.
type cursor struct {
	key, value []byte
	ok         bool // there is a row
	err        error
	next       func() (key, value []byte, ok bool)
	stop       func()
}

func newCursor(r Rows, prefix []byte) *cursor {
	c := new(cursor)
	c.next, c.stop = iter.Pull2(func(yield func(key, value []byte) bool) {
		c.err = r.Scan(prefix, nil, yield)
	})
	return c
}

func (c *cursor) advance() { c.key, c.value, c.ok = c.next() }
