package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"gnomon/engine/state"
)

// Commit implements state.Keyspace.
func (k *Keyspace) Commit(_ context.Context, c state.Commit) (state.Checkpoint, error) {
	ck := c.Checkpoint
	if err := k.room(needs(c)); err != nil {
		return ck, err
	}
	var dropped []state.Memory
	if c.Memory != nil {
		m, at, err := k.writeMemory(ck.Version, c.Memory)
		if err != nil {
			return ck, fmt.Errorf("write memory snapshot: %w", err)
		}
		ck.Version, m.Version = at, at
		kept := max(c.KeepMemories, 1)
		all := append([]state.Memory{m}, ck.Memories...)
		ck.Memories, dropped = all[:min(kept, len(all))], all[min(kept, len(all)):]
	}
	if err := k.passLeftovers(ck.Version); err != nil {
		return ck, err
	}
	if err := k.commit(ck, c); err != nil {
		return ck, err
	}
	k.mu.Lock()
	k.latest = ck
	k.mu.Unlock()
	return ck, k.dropMemories(ck.Version, dropped)
}

func (k *Keyspace) commit(ck state.Checkpoint, c state.Commit) error {
	if c.Since != 0 {
		if err := k.takeBack(ck.Version, c); err != nil {
			return fmt.Errorf("take back what came after %d: %w", c.Since.Sequence(), err)
		}
		c.Writes = nil
	}
	if k.outgrows(c.Writes, c.Outbox) {
		if err := k.writeAhead(ck.Version, states, c.Writes); err != nil {
			return fmt.Errorf("write %d rows: %w", len(c.Writes), err)
		}
		if err := k.writeAhead(ck.Version, outbox, c.Outbox); err != nil {
			return fmt.Errorf("write %d events to publish: %w", len(c.Outbox), err)
		}
		c.Writes, c.Outbox = nil, nil
	}
	if err := k.writeAhead(ck.Version, letters, c.Letters); err != nil {
		return fmt.Errorf("write %d events set aside: %w", len(c.Letters), err)
	}
	tx := k.db.NewTransactionAt(uint64(ck.Version), true)
	defer tx.Discard()
	if err := fill(tx, ck, c, k.run()); err != nil {
		return err
	}
	return tx.CommitAt(uint64(ck.Version), nil)
}

// outgrows reports whether writes might not fit a transaction. A quarter of it is left
// for what comes with them: parts of large values, the checkpoint.
func (k *Keyspace) outgrows(all ...[]state.Write) bool {
	rows, bytes := k.db.MaxBatchCount()/4*3, k.db.MaxBatchSize()/4*3
	for _, writes := range all {
		for _, w := range writes {
			rows -= 1 + int64(chunks(len(w.Value))) + int64(chunks(w.OldSize))
			bytes -= int64(writeOverhead + len(w.Key) + len(w.Value))
		}
	}
	return rows < 0 || bytes < 0
}

// writeOverhead is at most what a row takes of a transaction beside key and value.
const writeOverhead = 64

func (k *Keyspace) run() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.identity.Run
}

// takeBack writes the values that rows changed since an older version had then, and
// over them the writes of a commit, ahead of it.
func (k *Keyspace) takeBack(at state.Version, c state.Commit) error {
	changed, err := k.rowsSince(c.Since)
	if err != nil {
		return err
	}
	changed = slices.DeleteFunc(changed, func(l leftover) bool { return l.key[0] == outbox.row || l.key[0] == outbox.chunk })
	batch := k.db.NewWriteBatchAt(uint64(at))
	defer batch.Cancel()
	if err := k.restore(batch, c.Since, changed); err != nil {
		return err
	}
	if err := batch.Flush(); err != nil {
		return err
	}
	return k.writeAhead(at, states, c.Writes)
}

// writeAhead writes rows ahead of the commit that makes them visible, so that they need
// not fit its transaction.
func (k *Keyspace) writeAhead(at state.Version, t space, writes []state.Write) error {
	if len(writes) == 0 {
		return nil
	}
	batch := k.db.NewWriteBatchAt(uint64(at))
	defer batch.Cancel()
	for _, w := range writes {
		if err := t.write(batch, w); err != nil {
			return err
		}
	}
	return batch.Flush()
}

func (t space) write(to rowWriter, w state.Write) error {
	if w.Delete {
		return t.delete(to, []byte(w.Key), w.OldSize)
	}
	return t.put(to, []byte(w.Key), w.Value, w.OldSize)
}

func fill(tx *badger.Txn, ck state.Checkpoint, c state.Commit, run int) error {
	for _, w := range c.Writes {
		if err := states.write(tx, w); err != nil {
			return err
		}
	}
	for _, w := range c.Outbox {
		if err := outbox.write(tx, w); err != nil {
			return err
		}
	}
	b, err := json.Marshal(checkpointRow{Checkpoint: ck, Run: run})
	if err != nil {
		return err
	}
	return tx.Set(checkpointKey, seal(checkpointKey, kindInline, b))
}

// writeMemory writes the rows of a memory snapshot, each in a commit of its own
// from version v on, and returns the manifest and the version to commit it at.
// Until then nothing refers to them.
func (k *Keyspace) writeMemory(v state.Version, blobs [][]byte) (m state.Memory, at state.Version, err error) {
	// The rows carry the version that they begin at, by which they are found.
	w := newMemoryWriter(k, v)
	for _, b := range blobs {
		w.write(binary.LittleEndian.AppendUint32(nil, uint32(len(b))))
		w.write(b)
		m.Bytes += int64(len(b))
	}
	w.flush()
	m.Blobs, m.First, m.Rows = len(blobs), v, w.rows
	m.SHA256 = hex.EncodeToString(w.sum.Sum(nil))
	return m, w.at, w.err
}

// memoryWriter cuts a stream of bytes into rows.
type memoryWriter struct {
	keyspace *Keyspace
	first    state.Version
	at       state.Version // of the next commit
	rows     int
	buf      []byte
	sum      hash.Hash
	err      error
}

func newMemoryWriter(k *Keyspace, first state.Version) *memoryWriter {
	return &memoryWriter{keyspace: k, first: first, at: first, sum: sha256.New()}
}

func (w *memoryWriter) write(b []byte) {
	w.sum.Write(b)
	for len(b) > 0 && w.err == nil {
		n := min(len(b), chunkSize-len(w.buf))
		w.buf = append(w.buf, b[:n]...)
		if b = b[n:]; len(w.buf) == chunkSize {
			w.flush()
		}
	}
}

func (w *memoryWriter) flush() {
	if len(w.buf) == 0 || w.err != nil {
		return
	}
	tx := w.keyspace.db.NewTransactionAt(uint64(w.at), true)
	defer tx.Discard()
	key := memoryKey(w.first, w.rows)
	if w.err = tx.Set(key, seal(key, kindInline, w.buf)); w.err == nil {
		w.err = tx.CommitAt(uint64(w.at), nil)
	}
	w.buf = w.buf[:0]
	w.rows++
	w.at++
}

// Memory implements state.Keyspace.
func (k *Keyspace) Memory(m state.Memory) (blobs [][]byte, err error) {
	defer recoverDamage(&err)
	tx := k.db.NewTransactionAt(uint64(m.Version), false)
	defer tx.Discard()
	var stream []byte
	for i := range m.Rows {
		if stream, err = appendRow(tx, stream, memoryKey(m.First, i)); err != nil {
			return nil, err
		}
	}
	if sum := sha256.Sum256(stream); hex.EncodeToString(sum[:]) != m.SHA256 {
		return nil, fmt.Errorf("memory snapshot at %d: SHA-256 does not match: %w", m.Version.Sequence(), state.ErrCorrupt)
	}
	blobs = make([][]byte, 0, m.Blobs)
	for len(stream) >= 4 {
		n := int(binary.LittleEndian.Uint32(stream))
		blobs = append(blobs, stream[4:4+n:4+n])
		stream = stream[4+n:]
	}
	return blobs, nil
}

// dropMemories deletes the rows of memory snapshots that no checkpoint from v on
// lists.
func (k *Keyspace) dropMemories(v state.Version, memories []state.Memory) error {
	for _, m := range memories {
		tx := k.db.NewTransactionAt(uint64(v), true)
		defer tx.Discard()
		for i := range m.Rows {
			if err := tx.Delete(memoryKey(m.First, i)); err != nil {
				return fmt.Errorf("drop memory snapshot at %d: %w", m.Version.Sequence(), err)
			}
		}
		if err := tx.CommitAt(uint64(v), nil); err != nil {
			return fmt.Errorf("drop memory snapshot at %d: %w", m.Version.Sequence(), err)
		}
	}
	return nil
}
