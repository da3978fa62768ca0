package engine

import (
	"slices"

	"gnomon/engine/state"
)

// window is what the overlay gathered between two cuts: the writes of one commit.
// While it is being committed its entries belong to the committing goroutine.
type window struct {
	entries []windowEntry
	emits   []state.Emit
}

type windowEntry struct {
	item    *item // only the overlay follows it
	key     string
	value   []byte
	present bool
	prior   prior // what the keyspace holds; looked up by the commit when unknown
	wrote   prior // what it holds after the commit
}

// cut moves what was changed since the last cut to a window. The items stay readable;
// what the guest changes from here on belongs to the next window.
func (o *overlay) cut(w *window) {
	w.entries = slices.Grow(w.entries, len(o.dirty))
	for _, it := range o.dirty {
		w.entries = append(w.entries, windowEntry{item: it, key: it.key, value: it.value, present: it.present, prior: it.prior})
		it.dirty, it.inFlight = false, true
	}
	w.emits = append(w.emits, o.emits...)
	clear(o.dirty)
	o.dirty, o.emits, o.bytes = o.dirty[:0], nil, 0
}

// landed tells the items of a window that it is committed.
func (w *window) landed() {
	for i := range w.entries {
		e := &w.entries[i]
		e.item.inFlight = false
		e.item.prior = e.wrote
	}
}

// rebase puts a view that shows what was committed below the overlay.
func (o *overlay) rebase(base state.View) {
	o.sorted.valid = false
	o.base = base
}

// tally fills in what each entry of a window replaces and leaves behind, and
// brings keys, bytes and digest of a checkpoint up to date with it. View shows the
// state before the window.
func (w *window) tally(c *state.Checkpoint, view state.View) error {
	for i := range w.entries {
		e := &w.entries[i]
		if e.prior.kind == priorUnknown {
			value, ok, err := view.Get([]byte(e.key))
			if err != nil {
				return err
			}
			e.prior = prior{kind: priorAbsent}
			if ok {
				e.prior = prior{kind: priorValue, size: len(value), value: value}
			}
		}
		e.take(c)
		e.leave(c)
	}
	return nil
}

// take takes what the entry replaces out of a checkpoint.
func (e *windowEntry) take(c *state.Checkpoint) {
	switch e.prior.kind {
	case priorAbsent:
		return
	case priorValue:
		c.Digest.Sub(state.Term([]byte(e.key), e.prior.value))
	case priorTerm:
		c.Digest.Sub(e.prior.term)
	}
	c.Keys--
	c.Bytes -= int64(len(e.key) + e.prior.size)
}

// leave adds what the entry writes to a checkpoint.
func (e *windowEntry) leave(c *state.Checkpoint) {
	if !e.present {
		e.wrote = prior{kind: priorAbsent}
		return
	}
	e.wrote = prior{kind: priorTerm, size: len(e.value), term: state.Term([]byte(e.key), e.value)}
	c.Digest.Add(e.wrote.term)
	c.Keys++
	c.Bytes += int64(len(e.key) + len(e.value))
}

// writes lists the changes for a keyspace, after tally. A key that was neither
// before nor is after is deleted all the same: an earlier run, cut short, may have
// committed it between two sequences that this window spans.
func (w *window) writes() []state.Write {
	writes := make([]state.Write, len(w.entries))
	for i, e := range w.entries {
		writes[i] = state.Write{Key: e.key, Value: e.value, Delete: !e.present, OldSize: e.prior.size}
	}
	return writes
}
