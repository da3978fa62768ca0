package store

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"gnomon/engine/state"
)

// view reads a keyspace at one version. It implements state.View.
type view struct {
	keyspace *Keyspace
	version  state.Version
	release  func()
}

// View implements state.Keyspace.
func (k *Keyspace) View(v state.Version) (state.View, error) {
	if err := k.hold(v); err != nil {
		return nil, err
	}
	return &view{keyspace: k, version: v, release: sync.OnceFunc(func() { k.unhold(v) })}, nil
}

// Version implements state.View.
func (v *view) Version() state.Version { return v.version }

// Close implements state.View.
func (v *view) Close() { v.release() }

// Letters implements state.View.
func (v *view) Letters() state.Rows { return rowsOf{v, letters} }

// Outbox implements state.View.
func (v *view) Outbox() state.Rows { return rowsOf{v, outbox} }

// Get implements state.View.
func (v *view) Get(key []byte) (value []byte, ok bool, err error) { return rowsOf{v, states}.Get(key) }

// Scan implements state.View.
func (v *view) Scan(prefix, after []byte, fn func(key, value []byte) bool) error {
	return rowsOf{v, states}.Scan(prefix, after, fn)
}

// rowsOf reads a space at a view's version. It implements state.Rows.
type rowsOf struct {
	*view
	space space
}

func (r rowsOf) Get(key []byte) (value []byte, ok bool, err error) {
	tx := r.keyspace.db.NewTransactionAt(uint64(r.version), false)
	defer tx.Discard()
	return r.space.get(tx, key)
}

// get returns a value, and whether the key is present.
func (t space) get(tx *badger.Txn, key []byte) (value []byte, ok bool, err error) {
	item, err := tx.Get(t.key(key))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read key %.80q: %w", key, err)
	}
	err = item.Value(func(row []byte) error {
		value, err = t.read(tx, []byte{}, key, row)
		return err
	})
	return value, err == nil, err
}

func (r rowsOf) Scan(prefix, after []byte, fn func(key, value []byte) bool) (err error) {
	defer recoverDamage(&err)
	tx := r.keyspace.db.NewTransactionAt(uint64(r.version), false)
	defer tx.Discard()
	rows, more, err := r.space.scan(tx, prefix, after, fn)
	if err != nil || more || len(prefix)+len(after) > 0 {
		return err
	}
	return r.complete(rows)
}

// complete holds the number of rows of a whole scan against the checkpoint: where
// a table is damaged, Badger's iterators may end early and say nothing.
func (r rowsOf) complete(rows int64) error {
	ck, err := r.keyspace.Checkpoint(r.version)
	if errors.Is(err, state.ErrNoCheckpoint) && rows == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	want, what := ck.Keys, "keys"
	switch r.space {
	case letters:
		want, what = ck.Aside.Letters, "events set aside"
	case outbox:
		want, what = ck.Outbox.Rows, "events to publish"
	}
	if rows != want {
		return fmt.Errorf("scan at %d found %d %s, the checkpoint counts %d: %w", r.version.Sequence(), rows, what, want, state.ErrCorrupt)
	}
	return nil
}

// scan passes on the rows with a prefix that come after a key; more is set when fn
// did not want all of them.
func (t space) scan(tx *badger.Txn, prefix, after []byte, fn func(key, value []byte) bool) (rows int64, more bool, err error) {
	o := badger.DefaultIteratorOptions
	o.PrefetchValues = false // they are inline
	o.Prefix = t.key(prefix)
	it := tx.NewIterator(o)
	defer it.Close()
	var value []byte
	for it.Seek(t.first(state.KeyRange{Prefix: prefix, After: after})); it.Valid(); it.Next() {
		item := it.Item()
		key := item.Key()[1:]
		err := item.Value(func(row []byte) (err error) {
			value, err = t.read(tx, value[:0], key, row)
			return err
		})
		if err != nil {
			return rows, false, err
		}
		rows++
		if !fn(key, value) {
			return rows, true, nil
		}
	}
	return rows, false, nil
}

// first is where a scan of a part of the keys begins.
func (t space) first(r state.KeyRange) []byte {
	if len(r.After) > 0 && bytes.Compare(r.After, r.Prefix) >= 0 {
		return append(t.key(r.After), 0)
	}
	return t.key(r.Prefix)
}

// recoverDamage makes an error of a panic: Badger panics on some damaged tables,
// in the goroutine that reads.
func recoverDamage(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("read table: %v: %w", r, state.ErrCorrupt)
	}
}
