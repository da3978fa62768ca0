package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"gnomon/sdk/abi"
)

// session is the life of a projection's instances: from a checkpoint on it follows
// the stream, applies batches to the overlays, and has windows of them committed. It
// belongs to the runner's goroutine.
type session struct {
	*Runner
	partitions partitions

	committer *committer
	inFlight  bool // a window is being committed
	broken    bool // a commit failed, or cannot be made: what was applied must not be committed

	// A guest with memory begins at its newest memory snapshot and applies again what
	// came after that, up to what was committed before. Nothing is committed until it
	// is there, and then all of it at once, on top of the state at the snapshot.
	since  Version    // of the snapshot; 0 once that commit is made, and without memory
	newest Checkpoint // that was committed before

	// applied is how far the overlay reflects the stream; its anchors are those of
	// the events that were read.
	applied  Position
	anchors  []Anchor
	aside    aside
	obeying  bool          // an order is being carried out
	cutAt    uint64        // sequence of the last cut
	cutTime  time.Time     // of the last cut
	took     time.Duration // by the last commit
	unread   uint64        // events that the stream held beyond the last batch
	memoryAt struct {      // the last snapshot of the guest's memory
		events uint64
		time   time.Time
	}
	fill    float64       // of the window, after the last batch
	thirst  uint64        // fuel of an event, lately
	pace    time.Duration // of an event, lately
	growth  float64       // by a batch, the largest of the last ones
	events  uint64        // applied in this session
	written int           // bytes, since the last memory snapshot
	picked  []byte        // buffer of pick
}

// repeatBytes bounds what is written between two memory snapshots, all of which is
// held in memory when it is applied again.
const repeatBytes = 64 << 20

// batchError is the failure of one call of the guest. Everything before it is
// applied; the batch itself is rolled back and the instance must not be used.
type batchError struct {
	err         error
	first, last uint64 // sequences
	count       int    // events
	fuel        uint64 // that the call used
	alone       bool   // there was nothing else in its window
}

func (e *batchError) Error() string {
	if e.count == 1 {
		return fmt.Sprintf("event %d: %v", e.first, e.err)
	}
	return fmt.Sprintf("events %d to %d: %v", e.first, e.last, e.err)
}

func (e *batchError) Unwrap() error { return e.err }

// sourceError is an error of the source, after which it is tried again.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

// openSession restores an instance and the state it goes on from.
func (r *Runner) openSession(ctx context.Context) (*session, error) {
	ck, err := r.recover(ctx)
	if err != nil {
		return nil, err
	}
	ps, err := openPartitions(ctx, r.spec)
	if err != nil {
		return nil, err
	}
	s := &session{Runner: r, partitions: ps, newest: ck}
	if err := s.restore(ctx, &ck); err != nil {
		return nil, errors.Join(err, ps.close(ctx))
	}
	base, err := r.keyspace.View(ck.Version)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read state at %d: %w", ck.Position.Sequence, err), ps.close(ctx))
	}
	ps.see(base, r.keyspace.Limit(), r.spec.Cache)
	if ck.Version != s.newest.Version {
		s.since = ck.Version
		ps.setLimit(TxLimit{Writes: math.MaxInt, Bytes: math.MaxInt})
	}
	s.applied, s.anchors = ck.Position, ck.Anchors
	if err := s.loadAside(ck.Aside.Skipped); err != nil {
		return nil, errors.Join(err, ps.close(ctx))
	}
	s.committer = startCommitter(ctx, r.keyspace, r.spec.Quota, ck, s.newest.Version)
	s.applied.Module = r.spec.Module.Digest()
	s.cutAt, s.cutTime = ck.Position.Sequence, time.Now()
	s.memoryAt.time = s.cutTime
	r.progress(s.applied.Sequence)
	return s, nil
}

// recover returns the checkpoint to go on from, and makes the first one of a new
// keyspace.
func (r *Runner) recover(ctx context.Context) (Checkpoint, error) {
	ck, err := r.keyspace.Latest()
	if err == nil {
		r.publish(ck)
		return ck, nil
	}
	if !errors.Is(err, ErrNoCheckpoint) {
		return ck, fmt.Errorf("open keyspace: %w", err)
	}
	p, err := r.origin(ctx)
	if err != nil {
		return ck, &sourceError{err}
	}
	c := Commit{Checkpoint: Checkpoint{Version: VersionAt(p.Sequence).Next(0), Position: p}, KeepMemories: r.spec.MemorySnapshots.Keep}
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
// generation, unless stream or start are others now.
func (r *Runner) origin(ctx context.Context) (Position, error) {
	p, err := origin(ctx, r.source, r.spec.Stream, r.spec.Start)
	if err != nil {
		return p, err
	}
	now := Origin{Stream: p.Stream, Created: p.Created, Start: r.spec.Start.String(), Sequence: p.Sequence}
	first := now
	err = r.catalog.Update(r.spec.Name, func(rec *CatalogRecord) error {
		if o := rec.Origin; o != nil && o.Stream == now.Stream && o.Created.Equal(now.Created) && o.Start == now.Start {
			first = *o
		}
		rec.Origin = &first
		return nil
	})
	p.Sequence = first.Sequence
	return p, err
}

// freshMemory is the memory of an instance that has seen no event, so that there
// always is a snapshot to go back to.
func (r *Runner) freshMemory(ctx context.Context) ([][]byte, error) {
	instance, err := r.spec.newInstance(ctx)
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
func (s *session) restore(ctx context.Context, ck *Checkpoint) error {
	if !s.spec.Module.Traits().Memory {
		return nil
	}
	var damaged error
	for _, m := range ck.Memories {
		blobs, err := s.keyspace.Memory(m)
		if err != nil {
			damaged = err
			s.log.Warn("memory snapshot cannot be read, trying an older one", "seq", m.Version.Sequence(), "error", err)
			continue
		}
		at, err := s.keyspace.Checkpoint(m.Version)
		if err != nil {
			return fmt.Errorf("read checkpoint at %d: %w", m.Version.Sequence(), err)
		}
		if err := s.partitions[0].instance.Restore(ctx, blobs); err != nil {
			return fmt.Errorf("restore memory at %d: %w", m.Version.Sequence(), err)
		}
		*ck = at
		return nil
	}
	return fmt.Errorf("no memory snapshot of %d can be read: %w", len(ck.Memories), errors.Join(ErrCorrupt, damaged))
}

// repeats reports whether events are applied that were applied and committed before.
func (s *session) repeats() bool {
	return s.since != 0 && s.applied.Sequence < s.newest.Position.Sequence
}

// close commits what was applied, unless a commit failed, and releases the
// instance. Memory of the guest is stored only when it is sound.
func (s *session) close(ctx context.Context, sound bool) error {
	ctx = context.WithoutCancel(ctx)
	err := s.settle()
	memory := sound && s.spec.Module.Traits().Memory && s.events > s.memoryAt.events
	if !s.broken && !s.repeats() && (s.applied.Sequence > s.cutAt || memory) {
		if err = s.cut(ctx, memory); err == nil {
			err = s.settle()
		}
	}
	s.committer.close()
	if cerr := s.partitions.close(ctx); err == nil {
		err = cerr
	}
	return err
}

// settle waits for the window that is being committed.
func (s *session) settle() error {
	if !s.inFlight {
		return nil
	}
	return s.landed(<-s.committer.done)
}

// landed takes in the result of a commit.
func (s *session) landed(r commitResult) error {
	s.inFlight = false
	if r.err != nil {
		s.broken = true
		return r.err
	}
	s.took = r.took
	s.partitions.committed(r.window, r.view)
	s.passVerdicts(r.checkpoint.Position.Sequence)
	s.countCommit(r.checkpoint)
	return nil
}

// cut has everything that was applied committed. No commit may be under way.
func (s *session) cut(ctx context.Context, memory bool) error {
	job := commitJob{position: s.applied, anchors: s.anchors, keep: s.spec.MemorySnapshots.Keep, since: s.since}
	if s.obeying {
		job.keep = 1 // no older memory: a replay would not know what was ordered
	}
	s.since = 0
	s.partitions.setLimit(s.keyspace.Limit())
	if memory {
		blobs, err := s.partitions[0].instance.Snapshot(ctx)
		if err != nil {
			return fmt.Errorf("snapshot memory at %d: %w", s.applied.Sequence, err)
		}
		job.memory = append([][]byte{}, blobs...)
		s.memoryAt.events, s.memoryAt.time, s.written = s.events, time.Now(), 0
	}
	s.written += s.partitions.dirtyBytes()
	var err error
	if job.window, err = s.partitions.cut(); err == nil {
		job.letters, job.aside, err = s.cutAside()
	}
	if err != nil {
		s.broken = true
		return err
	}
	s.inFlight, s.fill = true, 0
	s.cutAt, s.cutTime = s.applied.Sequence, time.Now()
	s.committer.jobs <- job
	return nil
}

// memoryDue tells whether the policy asks for a snapshot of the guest's memory.
func (s *session) memoryDue() bool {
	if !s.spec.Module.Traits().Memory {
		return false
	}
	p := s.spec.MemorySnapshots
	fresh := s.events - s.memoryAt.events
	return fresh > 0 && (fresh >= p.Events || s.written >= repeatBytes || time.Since(s.memoryAt.time) >= p.Every)
}

// apply applies a batch, in as many calls as the guest and the plan ask for.
func (s *session) apply(ctx context.Context, b *Batch) error {
	records, err := s.pick(b.Records)
	if err != nil {
		return err
	}
	for len(records) > 0 {
		p, ok := s.whole(b, records)
		if !ok {
			if p, err = s.plan.piece(records, s.applied.Sequence, s.callLimit()); err != nil {
				return err
			}
		}
		if err := s.applyPiece(ctx, p); err != nil {
			return err
		}
		records = records[len(p.records):]
		if len(records) == 0 {
			break
		}
		s.anchors = withAnchor(s.anchors, AnchorOf(p.last))
		if err := s.between(ctx); err != nil {
			return err
		}
	}
	if s.aside.full != nil {
		return s.aside.full
	}
	if last, ok := b.Last(); ok { // of all that was read, picked or not
		s.anchors = withAnchor(s.anchors, AnchorOf(last))
		s.applied.Time = storedAt(last)
	}
	s.advance(b.Through)
	s.unread = b.Pending
	return s.makeRoom(ctx)
}

// between commits what is due between two calls for one batch, and ends it with ctx:
// a batch may take a slow guest long.
func (s *session) between(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if s.inFlight {
		select {
		case r := <-s.committer.done:
			if err := s.landed(r); err != nil {
				return err
			}
		default:
		}
	}
	s.unread = max(s.unread, 1) // the rest of the batch
	if err := s.commitIfDue(ctx); err != nil {
		return err
	}
	return s.makeRoom(ctx)
}

// whole is a batch as one piece, when nothing asks for less: then its records need
// not be looked at.
func (s *session) whole(b *Batch, records []byte) (p piece, ok bool) {
	limit := s.callLimit()
	if len(records) != len(b.Records) || b.Count > limit.Events || len(records) > limit.Bytes || s.applied.Sequence < s.plan.through {
		return p, false
	}
	first, _, err := abi.Next(records)
	last, ok := b.Last()
	return piece{records: records, count: b.Count, first: first.Sequence, last: last}, ok && err == nil
}

// callTime is about how long one call of the guest may take, if it holds more than one
// event: neither the collector nor an order to stop can interrupt the code of a guest.
const callTime = 5 * time.Millisecond

// callLimit bounds what one call of the guest gets.
func (s *session) callLimit() ReadLimit {
	l := s.spec.Batch
	if s.pace > 0 {
		l.Events = min(l.Events, max(1, int(callTime/s.pace)))
	}
	if s.thirst > 0 && s.spec.Fuel > 0 { // with as much again for those that need more
		l.Events = min(l.Events, max(1, int(s.spec.Fuel/2/s.thirst)))
	}
	if s.bufferLimit > 0 {
		l.Bytes = min(l.Bytes, s.bufferLimit)
	}
	return l
}

// advance moves the applied position forward.
func (s *session) advance(through uint64) {
	s.applied.Sequence = max(s.applied.Sequence, through)
	s.progress(s.applied.Sequence)
}

func (s *session) applyPiece(ctx context.Context, p piece) error {
	alone := s.partitions.isEmpty()
	s.calls(p.first, p.last.Sequence)
	began := time.Now()
	err := s.partitions.apply(ctx, p.records)
	took := time.Since(began)
	used := s.partitions.fuel()
	s.countBatch(p.count, took, err != nil, used, s.partitions.memoryBytes())
	if err != nil {
		return &batchError{err: err, first: p.first, last: p.last.Sequence, count: p.count, fuel: used, alone: alone}
	}
	s.pace = (3*s.pace + took/time.Duration(p.count)) / 4
	s.thirst = (3*s.thirst + used/uint64(p.count)) / 4
	s.events += uint64(p.count)
	s.applied.Time = storedAt(p.last)
	s.advance(p.last.Sequence)
	return nil
}

// makeRoom cuts the window when the next batch might not fit into it: when it makes
// the window grow by twice what one of the last batches did. A batch that outgrows it
// all the same is rolled back and gets a window of its own.
func (s *session) makeRoom(ctx context.Context) error {
	fill := s.partitions.fill()
	s.growth = max(fill-s.fill, 0.9*s.growth)
	s.fill = fill
	if fill < 1-max(0.1, 2*s.growth) || s.repeats() {
		return nil
	}
	if err := s.settle(); err != nil {
		return err
	}
	return s.cut(ctx, s.memoryDue())
}

// pick returns the records that are the projection's own, with their declared
// keys, without those that are set aside. Mostly that is the batch itself.
func (s *session) pick(records []byte) ([]byte, error) {
	if s.spec.Filter == nil && s.spec.KeyOf == nil && !s.asideActive() {
		return records, nil
	}
	s.picked = s.picked[:0]
	for len(records) > 0 && s.aside.full == nil {
		e, rest, err := abi.Next(records)
		if err != nil {
			return nil, err
		}
		records = rest
		if s.spec.Filter != nil && !s.spec.Filter(e.Subject) {
			continue
		}
		if s.spec.KeyOf != nil {
			e.Key = s.spec.KeyOf(e)
		}
		if !s.setAside(&e) {
			s.picked = e.Append(s.picked)
		}
	}
	return s.picked, nil
}
