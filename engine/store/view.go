package store

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"gnomon/engine"
)

// view reads a keyspace at one version. It implements engine.View.
type view struct {
	keyspace *Keyspace
	version  engine.Version
	release  func()
}

// View implements engine.Keyspace.
func (k *Keyspace) View(v engine.Version) (engine.View, error) {
	if err := k.hold(v); err != nil {
		return nil, err
	}
	return &view{keyspace: k, version: v, release: sync.OnceFunc(func() { k.unhold(v) })}, nil
}

// Version implements engine.View.
func (v *view) Version() engine.Version { return v.version }

// Close implements engine.View.
func (v *view) Close() { v.release() }

// Get implements engine.View.
func (v *view) Get(key []byte) (value []byte, ok bool, err error) {
	tx := v.keyspace.db.NewTransactionAt(uint64(v.version), false)
	defer tx.Discard()
	item, err := tx.Get(stateKey(key))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read key %.80q: %w", key, err)
	}
	err = item.Value(func(row []byte) error {
		value, err = readValue(tx, []byte{}, key, row)
		return err
	})
	return value, err == nil, err
}

// Scan implements engine.View.
func (v *view) Scan(prefix, after []byte, fn func(key, value []byte) bool) (err error) {
	defer recoverDamage(&err)
	tx := v.keyspace.db.NewTransactionAt(uint64(v.version), false)
	defer tx.Discard()
	rows, more, err := scan(tx, prefix, after, fn)
	if err != nil || more || len(prefix)+len(after) > 0 {
		return err
	}
	return v.complete(rows)
}

// complete holds the number of rows of a whole scan against the checkpoint: where
// a table is damaged, Badger's iterators may end early and say nothing.
func (v *view) complete(rows int64) error {
	ck, err := v.keyspace.Checkpoint(v.version)
	if errors.Is(err, engine.ErrNoCheckpoint) && rows == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if rows != ck.Keys {
		return fmt.Errorf("scan at %d found %d keys, the checkpoint counts %d: %w", v.version.Sequence(), rows, ck.Keys, engine.ErrCorrupt)
	}
	return nil
}

// scan passes on the rows with a prefix that come after a key; more is set when fn
// did not want all of them.
func scan(tx *badger.Txn, prefix, after []byte, fn func(key, value []byte) bool) (rows int64, more bool, err error) {
	o := badger.DefaultIteratorOptions
	o.PrefetchValues = false // they are inline
	o.Prefix = stateKey(prefix)
	it := tx.NewIterator(o)
	defer it.Close()
	from := o.Prefix
	if bytes.Compare(after, prefix) >= 0 && len(after) > 0 {
		from = append(stateKey(after), 0)
	}
	var value []byte
	for it.Seek(from); it.Valid(); it.Next() {
		item := it.Item()
		key := item.Key()[1:]
		err := item.Value(func(row []byte) (err error) {
			value, err = readValue(tx, value[:0], key, row)
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

// recoverDamage makes an error of a panic: Badger panics on some damaged tables,
// in the goroutine that reads.
func recoverDamage(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("read table: %v: %w", r, engine.ErrCorrupt)
	}
}
