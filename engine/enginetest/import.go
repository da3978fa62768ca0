package enginetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"gnomon/engine/state"
)

var _ state.Importer = (*Store)(nil)

// Import implements state.Importer.
func (s *Store) Import(_ context.Context, projection, generation string, in state.Import) (state.Checkpoint, error) {
	if err := in.Check(); err != nil {
		return state.Checkpoint{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := projection + "/" + generation
	k := s.keyspaces[name]
	switch {
	case in.Base != nil && k == nil:
		return state.Checkpoint{}, state.ErrNoKeyspace
	case in.Base == nil && k != nil:
		return state.Checkpoint{}, fmt.Errorf("%w: %s", state.ErrKeyspaceExists, name)
	case in.Base == nil:
		k = NewKeyspace()
	}
	if err := k.take(in); err != nil {
		return state.Checkpoint{}, err
	}
	if s.keyspaces == nil {
		s.keyspaces = map[string]*Keyspace{}
	}
	s.keyspaces[name] = k
	return k.Latest()
}

// taken is an import before it counts.
type taken struct {
	rows    map[string][]revision
	streams map[int][]byte // of memory snapshots, by step
}

func (k *Keyspace) take(in state.Import) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var latest state.Checkpoint
	if n := len(k.checkpoints); n > 0 {
		latest = k.checkpoints[n-1]
	}
	done, err := in.Begin(latest)
	if err != nil {
		return err
	}
	t := taken{map[string][]revision{}, map[int][]byte{}}
	tally := state.NewTally(in, done)
	for {
		step, r, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if step < done {
			continue
		}
		if err := k.takeRow(&t, tally, in, step, r); err != nil {
			return err
		}
	}
	if err := tally.Close(); err != nil {
		return err
	}
	return k.countLocked(in.Steps[done:], done, t, latest)
}

func (k *Keyspace) takeRow(t *taken, tally *state.Tally, in state.Import, step int, r state.Row) error {
	if r.Kind == state.OfMemory {
		t.streams[step] = append(t.streams[step], r.Value...)
		return tally.Add(step, r, nil, false)
	}
	row := rowKey(kindOf(r.Kind), string(r.Key))
	old, had := k.getLocked(row, ^state.Version(0))
	if all := t.rows[row]; len(all) > 0 {
		old, had = all[len(all)-1].value, all[len(all)-1].present
	}
	if err := tally.Add(step, r, old, had); err != nil {
		return err
	}
	t.rows[row] = append(t.rows[row], revision{in.Steps[step].Version, bytes.Clone(r.Value), !r.Deleted})
	return nil
}

// countLocked makes an import count.
func (k *Keyspace) countLocked(steps []state.Checkpoint, first int, t taken, last state.Checkpoint) error {
	var all []state.Checkpoint
	for i, ck := range steps {
		if len(ck.Memories) > 0 && ck.Memories[0].Version == ck.Version {
			k.memories[ck.Version] = cutStream(t.streams[first+i])
		} else if len(ck.Memories) > 0 && (len(last.Memories) == 0 || last.Memories[0].Version != ck.Memories[0].Version) {
			return fmt.Errorf("%w: the keyspace does not have the memory snapshot at version %d", state.ErrBase, ck.Memories[0].Version)
		}
		ck.Outbox = last.Outbox // it is no part of what is transferred
		all, last = append(all, ck), ck
	}
	for row, revisions := range t.rows {
		for _, r := range revisions {
			k.setLocked(row, r)
		}
	}
	k.checkpoints = append(k.checkpoints, all...)
	k.syncLocked()
	return nil
}

// cutStream makes blobs of the stream of a memory snapshot, which is sound.
func cutStream(b []byte) [][]byte {
	blobs := [][]byte{}
	for len(b) > 0 {
		n := int(binary.LittleEndian.Uint32(b))
		blobs, b = append(blobs, b[4:4+n:4+n]), b[4+n:]
	}
	return blobs
}
