package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"gnomon/engine/catalog"
	"gnomon/engine/state"
	"gnomon/engine/streams"
)

// openSession restores an instance and the state it goes on from.
func (r *Runner) openSession(ctx context.Context) (*session, error) {
	r.current.Store(r.spec)
	if err := r.beginEmission(ctx); err != nil {
		return nil, err
	}
	ck, err := r.recover(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.loadOutbox(); err != nil {
		return nil, &storeError{err}
	}
	ps, err := openPartitions(ctx, r.spec, r.generation)
	if err != nil {
		return nil, err
	}
	r.measured().opened()
	s := &session{Runner: r, partitions: ps, chain: newChain(r.spec.Upcasters, r.generation), newest: ck, runs: r.spec.Generation(), orders: ck.Orders}
	if err := s.restore(ctx, &ck); err != nil {
		return nil, errors.Join(err, ps.close(ctx))
	}
	base, err := r.keyspace.View(ck.Version)
	if err != nil {
		return nil, errors.Join(&storeError{fmt.Errorf("read state at %d: %w", ck.Position.Sequence, err)}, ps.close(ctx))
	}
	ps.see(base, r.keyspace.Limit(), r.spec.Cache)
	if ck.Version != s.newest.Version {
		s.since = ck.Version
		ps.setLimit(state.TxLimit{Writes: math.MaxInt, Bytes: math.MaxInt})
	}
	s.applied, s.anchors, s.read = ck.Position, ck.Anchors, ck.Read
	if err := s.loadAside(ck.Aside.Skipped); err != nil {
		return nil, errors.Join(&storeError{err}, ps.close(ctx))
	}
	s.beginTrace(r.tracer)
	s.committer = startCommitter(ctx, r.keyspace, r.spec.Quota, &r.recent, ck, s.newest)
	s.applied.Module = r.spec.Module.Digest()
	s.cutAt, s.cutTime = ck.Position.Sequence, time.Now()
	s.memoryAt.time = s.cutTime
	r.progress(s.applied.Sequence)
	return s, nil
}

// recover returns the checkpoint to go on from, and makes the first one of a new
// keyspace.
func (r *Runner) recover(ctx context.Context) (state.Checkpoint, error) {
	ck, err := r.keyspace.Latest()
	if err == nil {
		r.publish(ck)
		return ck, nil
	}
	if !errors.Is(err, state.ErrNoCheckpoint) {
		return ck, &storeError{fmt.Errorf("open keyspace: %w", err)}
	}
	p, err := r.origin(ctx)
	if err != nil {
		return ck, &sourceError{err}
	}
	anchors, err := r.anchorsAt(ctx, p.Sequence)
	if err != nil {
		return ck, &sourceError{err}
	}
	c := state.Commit{Checkpoint: state.Checkpoint{Version: state.VersionAt(p.Sequence).Next(0), Position: p, Anchors: anchors, Schema: r.spec.Schema, Began: &state.Began{Created: p.Created, Sequence: p.Sequence}, Runs: r.spec.Generation()}, KeepMemories: r.spec.MemorySnapshots.Keep}
	if r.spec.Module.Traits().Memory {
		if c.Memory, err = r.freshMemory(ctx); err != nil {
			return ck, err
		}
	}
	if ck, err = r.keyspace.Commit(ctx, c); err != nil {
		return ck, &storeError{fmt.Errorf("commit first checkpoint: %w", err)}
	}
	r.publish(ck)
	return ck, nil
}

// origin is the position before the first event: that of the projection's first
// generation, unless stream or start are others now, or the stream ends before it. After a
// rebuild it is before what is left of the stream.
func (r *Runner) origin(ctx context.Context) (state.Position, error) {
	p, held, err := origin(ctx, r.source, r.spec.Stream, r.spec.Start)
	if err != nil {
		return p, err
	}
	now := catalog.Origin{Stream: p.Stream, Created: p.Created, Start: r.spec.Start.String(), Sequence: p.Sequence}
	first := now
	err = r.catalog.Update(r.spec.Name, func(rec *catalog.Record) error {
		if o := rec.Origin; o != nil && o.Stream == now.Stream && o.Created.Equal(now.Created) && o.Start == now.Start && o.Sequence <= now.Sequence {
			first = *o
		}
		rec.Origin = &first
		p.Sequence = first.Sequence
		if rec.Rebuilds > 0 {
			p.Sequence = max(first.Sequence, held-1)
		}
		return nil
	})
	return p, err
}

// anchorsAt is the anchor of an event, if the stream holds it. A projection that begins
// after it will notice when the stream is another, or when it lost what comes next, though
// it has read nothing yet.
func (r *Runner) anchorsAt(ctx context.Context, sequence uint64) ([]state.Anchor, error) {
	if sequence == 0 {
		return nil, nil
	}
	e, err := r.source.Event(ctx, r.spec.Stream, sequence)
	if errors.Is(err, streams.ErrNoEvent) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []state.Anchor{state.AnchorOf(e)}, nil
}

// freshMemory is the memory of an instance that has seen no event, so that there
// always is a snapshot to go back to.
func (r *Runner) freshMemory(ctx context.Context) ([][]byte, error) {
	instance, err := r.spec.newInstance(ctx, r.generation)
	if err != nil {
		return nil, err
	}
	defer instance.Close(ctx)
	blobs, err := instance.Snapshot(ctx)
	if err != nil {
		return nil, fmt.Errorf("snapshot fresh memory: %w", err)
	}
	if blobs == nil {
		blobs = [][]byte{}
	}
	return blobs, nil
}

// restore gives the instance of a module with memory the newest stored snapshot
// that is whole, and moves the checkpoint back to it: the events after it are
// applied again, on the state as it was then.
func (s *session) restore(ctx context.Context, ck *state.Checkpoint) error {
	if !s.spec.Module.Traits().Memory {
		return nil
	}
	var damaged error
	for _, m := range ck.Memories {
		blobs, err := s.keyspace.Memory(m)
		if errors.Is(err, state.ErrCorrupt) {
			damaged = err
			s.damaged = append(s.damaged, m.Version)
			s.log.Warn("memory snapshot is damaged, trying an older one", "sequence", m.Version.Sequence(), "error", err)
			continue
		}
		if err != nil {
			return &storeError{fmt.Errorf("read memory at %d: %w", m.Version.Sequence(), err)}
		}
		at, err := s.keyspace.Checkpoint(m.Version)
		if errors.Is(err, state.ErrNoCheckpoint) {
			return fmt.Errorf("memory snapshot at %d has no checkpoint: %w", m.Version.Sequence(), state.ErrCorrupt)
		}
		if err != nil {
			return &storeError{fmt.Errorf("read checkpoint at %d: %w", m.Version.Sequence(), err)}
		}
		if err := s.partitions[0].instance.Restore(ctx, blobs); err != nil {
			return fmt.Errorf("restore memory at %d: %w", m.Version.Sequence(), err)
		}
		// It lists what was kept then. Of that the older ones are dropped by now, and with
		// them the state that they belong to.
		at.Memories = ck.Memories
		*ck = at
		return nil
	}
	return fmt.Errorf("no memory snapshot of %d can be read: %w", len(ck.Memories), errors.Join(state.ErrCorrupt, damaged))
}

// repeats reports whether events are applied that were applied and committed before.
func (s *session) repeats() bool {
	return s.since != 0 && s.applied.Sequence < s.newest.Position.Sequence
}
