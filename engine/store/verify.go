package store

import (
	"fmt"

	"gnomon/engine/state"
)

// Verify reads everything that a keyspace holds at its last checkpoint and
// compares it with what the checkpoint says. It fails with state.ErrCorrupt,
// wrapped with what differs.
func Verify(ks state.Keyspace) (state.Checkpoint, error) {
	ck, err := ks.Latest()
	if err != nil {
		return ck, err
	}
	if k, ok := ks.(interface{ verifyTables() error }); ok {
		if err := k.verifyTables(); err != nil {
			return ck, err
		}
	}
	v, err := ks.View(ck.Version)
	if err != nil {
		return ck, err
	}
	defer v.Close()
	var found state.Checkpoint
	err = v.Scan(nil, nil, func(key, value []byte) bool {
		found.Keys++
		found.Bytes += int64(len(key) + len(value))
		found.Digest.Add(state.Term(key, value))
		return true
	})
	if err != nil {
		return ck, err
	}
	if found.Keys != ck.Keys || found.Bytes != ck.Bytes || found.Digest != ck.Digest {
		return ck, fmt.Errorf("state at %d has %d keys, %d bytes, digest %s; the checkpoint says %d, %d, %s: %w",
			ck.Position.Sequence, found.Keys, found.Bytes, found.Digest, ck.Keys, ck.Bytes, ck.Digest, state.ErrCorrupt)
	}
	if err := state.ReadLetters(v, 0, func(state.Letter) bool { return true }); err != nil {
		return ck, err
	}
	if err := state.ReadOutbox(v, func(state.OutboxRow) bool { return true }); err != nil {
		return ck, err
	}
	for _, m := range ck.Memories {
		if _, err := ks.Memory(m); err != nil {
			return ck, err
		}
	}
	return ck, nil
}

// verifyTables has Badger check the checksums of its tables, and makes an error of
// its panics: damage that came after they were opened may not show yet.
func (k *Keyspace) verifyTables() (err error) {
	defer recoverDamage(&err)
	if err := k.db.VerifyChecksum(); err != nil {
		return fmt.Errorf("tables of %s: %s: %w", k.dbDir(), oneLine(err), state.ErrCorrupt)
	}
	return nil
}
