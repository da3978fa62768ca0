package store

import (
	"bytes"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"gnomon/engine/state"
)

// spaceOf is where rows of a kind are kept.
func spaceOf(kind state.RowKind) (space, error) {
	switch kind {
	case state.OfState:
		return states, nil
	case state.OfLetters:
		return letters, nil
	}
	return space{}, fmt.Errorf("rows of kind %d have no changes", kind)
}

// Changes implements state.Keyspace. It reads the tables that were written since, and
// no others. Badger keeps the markers of deletions above the oldest version that is
// readable, so that none is missed.
func (k *Keyspace) Changes(kind state.RowKind, after, at state.Version, within state.KeyRange, fn func(state.Row) bool) error {
	t, err := spaceOf(kind)
	if err != nil {
		return err
	}
	for _, v := range []state.Version{after, at} {
		if v == 0 {
			continue // before the first commit
		}
		if err := k.hold(v); err != nil {
			return err
		}
		defer k.unhold(v)
	}
	return k.changes(t, after, at, within, func(r state.Row) bool { r.Kind = kind; return fn(r) })
}

func (k *Keyspace) changes(t space, after, at state.Version, within state.KeyRange, fn func(state.Row) bool) (err error) {
	if after >= at {
		return nil
	}
	defer recoverDamage(&err)
	tx := k.db.NewTransactionAt(uint64(at), false)
	defer tx.Discard()
	o := badger.DefaultIteratorOptions
	o.AllVersions, o.PrefetchValues = true, false // of deletions no other way tells
	o.SinceTs, o.Prefix = uint64(after), t.key(within.Prefix)
	it := tx.NewIterator(o)
	defer it.Close()
	var last, value []byte
	for it.Seek(t.first(within)); it.Valid(); it.Next() {
		item := it.Item()
		if last != nil && bytes.Equal(item.Key(), last) {
			continue // an older version
		}
		last = append(last[:0], item.Key()...)
		r := state.Row{Key: last[1:], Deleted: item.IsDeletedOrExpired()}
		if !r.Deleted {
			err := item.Value(func(row []byte) (err error) {
				value, err = t.read(tx, value[:0], r.Key, row)
				return err
			})
			if err != nil {
				return err
			}
			r.Value = value
		}
		if !fn(r) {
			return nil
		}
	}
	return nil
}

// Revisions implements state.Keyspace.
func (k *Keyspace) Revisions(key []byte, after, at state.Version, fn func(state.Version) bool) (err error) {
	defer recoverDamage(&err)
	tx := k.db.NewTransactionAt(uint64(at), false)
	defer tx.Discard()
	o := badger.DefaultIteratorOptions
	o.AllVersions, o.PrefetchValues, o.SinceTs = true, false, uint64(after)
	it := tx.NewKeyIterator(states.key(key), o)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		v := state.Version(it.Item().Version())
		if v <= after || !fn(v) {
			break
		}
	}
	return nil
}
