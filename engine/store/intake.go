package store

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/dgraph-io/badger/v4"

	"gnomon/engine/state"
)

// intake writes the rows of an import ahead of their checkpoints.
type intake struct {
	keyspace  *Keyspace
	in        state.Import
	tally     *state.Tally
	step      int              // under way
	done      int              // steps that the keyspace had made before
	before    state.Version    // of the state that the step goes on from
	last      state.Checkpoint // of the keyspace, and then of each step
	tx        *badger.Txn      // reads the state before
	batch     *badger.WriteBatch
	memory    *memoryWriter
	unwatched int                // bytes of rows to write before it looks for room again
	made      []state.Checkpoint // as they are to be committed
}

// take writes the rows of an import, and when all of them are there and are what they
// should be, the checkpoints.
func (k *Keyspace) take(ctx context.Context, in state.Import) error {
	latest, err := k.Latest()
	if err != nil && !errors.Is(err, state.ErrNoCheckpoint) {
		return err
	}
	done, err := in.Begin(latest)
	if err != nil {
		return err
	}
	t := &intake{keyspace: k, in: in, tally: state.NewTally(in, done), step: done, done: done, last: latest}
	defer t.release()
	if err := t.rows(ctx); err != nil {
		return err
	}
	if err := t.tally.Close(); err != nil {
		return err
	}
	for _, ck := range t.made {
		if err := k.commitStep(ck); err != nil {
			return fmt.Errorf("commit at %d: %w", ck.Position.Sequence, err)
		}
	}
	return nil
}

// commitStep makes the rows visible that were written ahead.
func (k *Keyspace) commitStep(ck state.Checkpoint) error {
	tx := k.db.NewTransactionAt(uint64(ck.Version), true)
	defer tx.Discard()
	if err := fill(tx, ck, state.Commit{}, k.run()); err != nil {
		return err
	}
	if err := tx.CommitAt(uint64(ck.Version), nil); err != nil {
		return err
	}
	k.mu.Lock()
	var dropped []state.Memory
	for _, m := range k.latest.Memories {
		if len(ck.Memories) == 0 || m.Version != ck.Memories[0].Version {
			dropped = append(dropped, m)
		}
	}
	k.latest = ck
	k.mu.Unlock()
	return k.dropMemories(ck.Version, dropped)
}

// rows writes all rows.
func (t *intake) rows(ctx context.Context) (err error) {
	defer recoverDamage(&err)
	if t.step < len(t.in.Steps) {
		if err := t.begin(); err != nil {
			return err
		}
	}
	for n := 0; ; n++ {
		if n%1000 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		step, r, err := t.in.Next()
		if errors.Is(err, io.EOF) {
			return t.finish()
		}
		if err != nil {
			return err
		}
		if step < t.done {
			continue
		}
		if err := t.row(step, r); err != nil {
			return err
		}
	}
}

func (t *intake) row(step int, r state.Row) error {
	if err := t.lookForRoom(len(r.Key) + len(r.Value)); err != nil {
		return err
	}
	for t.step < min(step, len(t.in.Steps)-1) {
		if err := t.next(); err != nil {
			return err
		}
	}
	if r.Kind == state.OfMemory {
		if err := t.tally.Add(step, r, nil, false); err != nil {
			return err
		}
		return t.remember(r.Value)
	}
	s, err := spaceOf(r.Kind)
	if err != nil {
		return err
	}
	old, had, err := t.old(s, r.Key)
	if err != nil {
		return err
	}
	if err := t.tally.Add(step, r, old, had); err != nil {
		return err
	}
	return s.write(t.batch, state.Write{Key: string(r.Key), Value: r.Value, Delete: r.Deleted, OldSize: len(old)})
}

// lookForRoom looks now and then whether the disk has room for more: where it has not,
// Badger ends the process.
func (t *intake) lookForRoom(bytes int) error {
	if t.unwatched -= bytes; t.unwatched > 0 {
		return nil
	}
	t.unwatched = 1 << 20
	return t.keyspace.room(keyspaceRoom)
}

// old is the value that a row replaces.
func (t *intake) old(s space, key []byte) (value []byte, had bool, err error) {
	if t.before == 0 {
		return nil, false, nil
	}
	return s.get(t.tx, key)
}

// begin begins the step under way. What was left at the versions up to its own becomes
// again what it was before the step.
func (t *intake) begin() error {
	t.before = t.last.Version
	to := t.in.Steps[t.step].Version
	if err := t.keyspace.passLeftoversOf(t.before, to); err != nil {
		return err
	}
	t.tx = t.keyspace.db.NewTransactionAt(uint64(t.before), false)
	t.batch = t.keyspace.db.NewWriteBatchAt(uint64(to))
	t.batch.SetMaxPendingTxns(2) // of thousands of rows each
	return nil
}

// next ends the step under way and begins the one after it.
func (t *intake) next() error {
	if err := t.end(); err != nil {
		return err
	}
	t.step++
	return t.begin()
}

// finish ends the step under way and those that have no rows.
func (t *intake) finish() error {
	if t.step >= len(t.in.Steps) {
		return nil
	}
	for t.step < len(t.in.Steps)-1 {
		if err := t.next(); err != nil {
			return err
		}
	}
	return t.end()
}

// end has the rows of the step under way written.
func (t *intake) end() error {
	err := t.batch.Flush()
	t.release()
	if err != nil {
		return err
	}
	ck := t.in.Steps[t.step]
	ck.Outbox = t.last.Outbox // it is no part of what is transferred
	if ck.Memories, err = t.memories(ck); err != nil {
		return err
	}
	t.last, t.made = ck, append(t.made, ck)
	return nil
}

func (t *intake) release() {
	if t.batch != nil {
		t.batch.Cancel()
		t.tx.Discard()
		t.batch, t.tx = nil, nil
	}
}

// remember writes a part of the step's memory snapshot, from the version on that lets it
// end at the version of the step.
func (t *intake) remember(part []byte) error {
	if t.memory == nil {
		ck := t.in.Steps[t.step]
		first, err := firstOf(ck.Memories[0], t.before)
		if err != nil {
			return err
		}
		t.memory = newMemoryWriter(t.keyspace, first)
	}
	t.memory.write(part)
	if to := t.in.Steps[t.step].Version; t.memory.err == nil && t.memory.at > to {
		return fmt.Errorf("%w: the memory snapshot at version %d is larger than it is said to be", state.ErrContent, to)
	}
	return t.memory.err
}

// firstOf is the version of the first row of a memory snapshot that is listed by the
// checkpoint at its own version.
func firstOf(m state.Memory, before state.Version) (state.Version, error) {
	stream := m.Bytes + 4*int64(m.Blobs)
	rows := (stream + chunkSize - 1) / chunkSize
	if m.Bytes < 0 || m.Blobs < 0 || stream < 0 || rows >= int64(m.Version-before) {
		return 0, fmt.Errorf("%w: a memory snapshot of %d bytes does not fit between version %d and %d", state.ErrContent, stream, before, m.Version)
	}
	return m.Version - state.Version(rows), nil
}

// memories are the memory snapshots that a step's checkpoint lists, as they are here.
func (t *intake) memories(ck state.Checkpoint) ([]state.Memory, error) {
	if len(ck.Memories) == 0 {
		return nil, nil
	}
	want := ck.Memories[0]
	if want.Version != ck.Version {
		for _, m := range t.last.Memories {
			if m.Version == want.Version {
				return []state.Memory{m}, nil
			}
		}
		return nil, fmt.Errorf("%w: the keyspace does not have the memory snapshot at version %d", state.ErrBase, want.Version)
	}
	if t.memory == nil {
		if err := t.remember(nil); err != nil { // it has no rows
			return nil, err
		}
	}
	w := t.memory
	t.memory = nil
	w.flush()
	want.First, want.Rows = w.first, w.rows
	if w.err == nil && w.at != ck.Version {
		w.err = fmt.Errorf("%w: the memory snapshot at version %d has %d rows that end at %d", state.ErrContent, ck.Version, w.rows, w.at)
	}
	return []state.Memory{want}, w.err
}
