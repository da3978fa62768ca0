package engine

import (
	"errors"
	"fmt"

	"gnomon/engine/state"
)

// errWindowFull says that a batch's writes do not fit the commit they belong to.
var errWindowFull = errors.New("commit is full")

// overlay is a projection's state as its guest sees it: what was written since
// the last commit, over a view of the keyspace, with a bounded cache of what was
// read or written before. It implements State and belongs to the runner's
// goroutine.
type overlay struct {
	base  state.View
	items map[string]*item
	last  *item         // that was found last: guests read a key and then write it
	limit state.TxLimit // of one commit

	dirty []*item      // changed since the last cut
	emits []state.Emit // since the last cut
	bytes int          // of dirty and emits

	// undo restores the overlay to where the batch under way began.
	undo   []undo
	batch  uint64 // number of the batch under way, from 1
	before struct{ dirty, emits, bytes int }

	size      int // of all items, in bytes
	sizeLimit int // above it, clean items are evicted

	sorted sortedItems
}

// item is one key of the overlay.
type item struct {
	key     string
	value   []byte
	present bool

	dirty    bool   // changed since the last cut
	inFlight bool   // in a window that is being committed
	used     bool   // since the last eviction
	batch    uint64 // the last batch that saved it for undo, and so owns value

	prior prior // what the keyspace holds, as far as it is known
}

// prior is what a commit replaces. The digest and the counts need it.
type prior struct {
	kind  priorKind
	size  int          // of the value
	value []byte       // kind priorValue
	term  state.Digest // kind priorTerm
}

type priorKind byte

const (
	priorUnknown priorKind = iota
	priorAbsent
	priorValue // in value
	priorTerm  // in term
)

type undo struct {
	item    *item
	value   []byte
	present bool
	dirty   bool
	created bool // the batch made the item, without looking the key up
}

const (
	itemOverhead  = 200 // about what an item takes of memory beside its key and value, in bytes
	writeOverhead = 32  // and at most what it takes of a transaction
)

func (it *item) weight() int { return itemOverhead + len(it.key) + len(it.value) }

func newOverlay(base state.View, limit state.TxLimit, sizeLimit int) *overlay {
	return &overlay{base: base, items: map[string]*item{}, limit: limit, sizeLimit: sizeLimit}
}

// begin marks the start of a batch, to which rollback returns.
func (o *overlay) begin() {
	o.batch++
	clear(o.undo)
	o.undo = o.undo[:0]
	o.before.dirty, o.before.emits, o.before.bytes = len(o.dirty), len(o.emits), o.bytes
}

// rollback undoes every change since begin.
func (o *overlay) rollback() {
	o.last = nil
	for _, u := range o.undo {
		it := u.item
		if u.created {
			delete(o.items, it.key)
			o.size -= it.weight()
			continue
		}
		o.size += len(u.value) - len(it.value)
		it.value, it.present, it.dirty = u.value, u.present, u.dirty
	}
	clear(o.undo)
	o.undo = o.undo[:0]
	clear(o.dirty[o.before.dirty:])
	o.dirty = o.dirty[:o.before.dirty]
	o.emits = o.emits[:o.before.emits]
	o.bytes = o.before.bytes
	o.sorted.valid = false
}

// Get implements State.
func (o *overlay) Get(key []byte) ([]byte, bool, error) {
	if it := o.find(key); it != nil {
		it.used = true
		return it.value, it.present, nil
	}
	value, ok, err := o.base.Get(key)
	if err != nil {
		return nil, false, &storeError{fmt.Errorf("read state: %w", err)}
	}
	it := &item{key: string(key), value: value, present: ok, used: true, prior: prior{kind: priorAbsent}}
	if ok {
		it.prior = prior{kind: priorValue, size: len(value), value: value}
	}
	o.add(it)
	return value, ok, nil
}

// find returns the item of a key, or nil.
func (o *overlay) find(key []byte) *item {
	if o.last == nil || o.last.key != string(key) {
		o.last = o.items[string(key)]
	}
	return o.last
}

// Put implements State.
func (o *overlay) Put(key, value []byte) error { return o.change(key, value, true) }

// Delete implements State.
func (o *overlay) Delete(key []byte) error { return o.change(key, nil, false) }

func (o *overlay) change(key, value []byte, present bool) error {
	it := o.find(key)
	if it == nil {
		// What it replaces is looked up by the commit, off the guest's path.
		it = &item{key: string(key)}
		o.undo = append(o.undo, undo{item: it, created: true})
		it.batch = o.batch
		o.add(it)
	}
	if it.batch != o.batch {
		// Whoever else holds the value keeps it: undo, a window, prior.
		o.undo = append(o.undo, undo{item: it, value: it.value, present: it.present, dirty: it.dirty})
		it.batch = o.batch
		o.replace(it, append([]byte(nil), value...))
	} else {
		o.replace(it, append(it.value[:0], value...))
	}
	it.present, it.used = present, true
	return o.fits()
}

// replace gives an item a value and makes it dirty.
func (o *overlay) replace(it *item, value []byte) {
	o.size += len(value) - len(it.value)
	if it.dirty {
		o.bytes += len(value) - len(it.value)
	} else {
		o.bytes += writeOverhead + len(it.key) + len(value)
		o.dirty = append(o.dirty, it)
		it.dirty = true
		o.sorted.insert(it)
	}
	it.value = value
}

// Emit implements State.
func (o *overlay) Emit(e state.Emit) error {
	o.emits = append(o.emits, e)
	o.bytes += weightOf(&e)
	return o.fits()
}

// dress gives what the batch under way emitted its final form, and takes out what is not to
// be published.
func (o *overlay) dress(fn func(e *state.Emit) (keep bool, err error)) error {
	kept := o.emits[:o.before.emits]
	for _, e := range o.emits[o.before.emits:] {
		o.bytes -= weightOf(&e)
		keep, err := fn(&e)
		if err != nil {
			return err
		}
		if keep {
			o.bytes += weightOf(&e)
			kept = append(kept, e)
		}
	}
	clear(o.emits[len(kept):])
	o.emits = kept
	return o.fits()
}

func (o *overlay) fits() error {
	if len(o.dirty)+len(o.emits) > o.limit.Writes || o.bytes > o.limit.Bytes {
		return errWindowFull
	}
	return nil
}

// fill is how full the next commit is: 1 is all that a transaction can hold.
func (o *overlay) fill() float64 {
	rows := float64(len(o.dirty)+len(o.emits)) / float64(o.limit.Writes)
	return max(rows, float64(o.bytes)/float64(o.limit.Bytes))
}

// isEmpty reports whether there is nothing to commit.
func (o *overlay) isEmpty() bool { return len(o.dirty) == 0 && len(o.emits) == 0 }

func (o *overlay) add(it *item) {
	o.items[it.key] = it
	if o.size += it.weight(); o.size > o.sizeLimit {
		o.evict()
	}
}

// evict drops clean items that were not used since the last time, until a tenth
// of the cache is free. The random order in which Go walks a map makes it fair.
func (o *overlay) evict() {
	o.last = nil
	for range 2 { // the second round finds what the first one marked unused
		for key, it := range o.items {
			if o.size <= o.sizeLimit-o.sizeLimit/10 {
				return
			}
			switch {
			case it.dirty || it.inFlight || it.batch == o.batch:
			case it.used:
				it.used = false
			default:
				delete(o.items, key)
				o.size -= it.weight()
			}
		}
	}
}
