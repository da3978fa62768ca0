package store

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"gnomon/engine/state"
)

// leftover is a row above the last checkpoint: of a commit that did not survive a
// crash of the machine as a whole, or that was never finished. Nobody sees it
// before the position has passed it.
type leftover struct {
	key     string
	version state.Version
}

// findLeftovers lists the rows above the last checkpoint, in the order of their
// versions. Checkpoints are not among them, for they name the run that wrote them
// and every commit writes one; nor are the rows of memory snapshots, which are
// found only through a checkpoint that lists them.
func (k *Keyspace) findLeftovers() (err error) {
	k.left, err = k.rowsSince(k.latest.Version)
	return err
}

// rowsSince lists the rows that were changed after a version.
func (k *Keyspace) rowsSince(v state.Version) (rows []leftover, err error) {
	if k.db.MaxVersion() <= uint64(v) {
		return nil, nil
	}
	defer recoverDamage(&err)
	tx := k.db.NewTransactionAt(math.MaxUint64, false)
	defer tx.Discard()
	o := badger.DefaultIteratorOptions
	o.AllVersions, o.PrefetchValues, o.SinceTs = true, false, uint64(v)
	it := tx.NewIterator(o)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		switch item.Key()[0] {
		case checkpointKey[0], memoryPrefix:
		default:
			rows = append(rows, leftover{key: string(item.Key()), version: state.Version(item.Version())})
		}
	}
	slices.SortFunc(rows, func(a, b leftover) int { return cmp.Compare(a.version, b.version) })
	return rows, nil
}

// passLeftovers takes back what was left at the versions up to that of the next
// commit: it writes, at that version, the values of the last checkpoint over them.
// That the events are applied again does not make it needless: a stream that
// went down with the machine may have lost them, and go on with others.
func (k *Keyspace) passLeftovers(to state.Version) error {
	k.mu.Lock()
	last := k.latest.Version
	k.mu.Unlock()
	return k.passLeftoversOf(last, to)
}

// passLeftoversOf does so with the values that there are at a version.
func (k *Keyspace) passLeftoversOf(last, to state.Version) error {
	n := 0
	for n < len(k.left) && k.left[n].version <= to {
		n++
	}
	if n == 0 {
		return nil
	}
	batch := k.db.NewWriteBatchAt(uint64(to))
	defer batch.Cancel()
	if err := k.restore(batch, last, k.left[:n]); err != nil {
		return fmt.Errorf("take back what was left up to %d: %w", to.Sequence(), err)
	}
	if err := batch.Flush(); err != nil {
		return fmt.Errorf("take back what was left up to %d: %w", to.Sequence(), err)
	}
	k.left = k.left[n:]
	return nil
}

// restore writes the rows as they were at a version.
func (k *Keyspace) restore(batch *badger.WriteBatch, at state.Version, left []leftover) error {
	tx := k.db.NewTransactionAt(uint64(at), false)
	defer tx.Discard()
	done := map[string]bool{}
	for _, l := range left {
		if done[l.key] {
			continue
		}
		done[l.key] = true
		row, err := rowAt(tx, l.key)
		if err != nil {
			return err
		}
		if row == nil {
			err = batch.Delete([]byte(l.key))
		} else {
			err = batch.Set([]byte(l.key), row)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// rowAt returns a row as it is stored; nil when there is none.
func rowAt(tx *badger.Txn, key string) ([]byte, error) {
	item, err := tx.Get([]byte(key))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return item.ValueCopy(nil)
}
