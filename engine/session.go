package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gnomon/engine/state"
	"gnomon/engine/streams"
)

// session is the life of a projection's instances: from a checkpoint on it follows
// the stream, applies batches to the overlays, and has windows of them committed. It
// belongs to the runner's goroutine.
type session struct {
	*Runner
	partitions partitions
	chain      *chain // of upcasters

	committer *committer
	trace     SessionTracer // nil: nobody is told
	inFlight  bool          // a window is being committed
	broken    bool          // a commit failed, or cannot be made: what was applied must not be committed
	spoiled   bool          // a call of the instance failed, which leaves its memory half changed

	// A guest with memory begins at its newest memory snapshot and applies again what
	// came after that, up to what was committed before. Nothing is committed until it
	// is there, and then all of it at once, on top of the state at the snapshot.
	since  state.Version    // of the snapshot; 0 once that commit is made, and without memory
	newest state.Checkpoint // that was committed before

	damaged []state.Version // memory snapshots that could not be read

	// applied is how far the overlay reflects the stream; its anchors are those of
	// the events that were read.
	applied  state.Position
	anchors  []state.Anchor
	place    place  // of the event at the applied position
	atomic   []byte // id of the atomic batch that it is of
	late     bool   // a commit waits for the end of an atomic batch
	lateFrom uint64 // sequence, since when
	readFrom uint64 // where the reader began: what is missing before is none of its business
	aside    aside
	batch    *streams.Batch // that is being applied; nil between two of them
	read     uint64         // events in this keyspace, without those of batch
	runs     string         // identity of the spec
	orders   uint64         // that were carried out so far
	cutAt    uint64         // sequence of the last cut
	cutTime  time.Time      // of the last cut
	took     time.Duration  // by the last commit
	unread   uint64         // events that the stream held beyond the last batch
	memoryAt struct {       // the last snapshot of the guest's memory
		events uint64
		time   time.Time
	}
	fill     float64       // of the window, after the last batch
	thirst   uint64        // fuel of an event, lately
	pace     time.Duration // of an event, lately
	lastCall time.Duration // how long it took
	growth   float64       // by a batch, the largest of the last ones
	events   uint64        // applied in this session
	written  int           // bytes, since the last memory snapshot
	picked   []byte        // buffer of pick
}

// repeatBytes bounds what is written between two memory snapshots, all of which is
// held in memory when it is applied again.
const repeatBytes = 64 << 20

// batchError is the failure of one call of the guest. Everything before it is
// applied; the batch itself is rolled back and the instance must not be used.
type batchError struct {
	err         error
	first, last uint64       // sequences
	count       int          // events
	event       state.Anchor // of the last
	fuel        uint64       // that the call used
	alone       bool         // there was nothing else in its window
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

// close commits what was applied, unless a commit failed, and releases the
// instance. Memory of the guest is stored only when it is sound. What is ended in the midst
// of an atomic batch is applied again; what fails there is committed up to the failure.
func (s *session) close(ctx context.Context) error {
	half := ctx.Err() != nil && s.place == within
	ctx = context.WithoutCancel(ctx)
	defer s.endTrace()
	err := s.settle()
	memory := !s.spoiled && s.spec.Module.Traits().Memory && s.events > s.memoryAt.events
	if !s.broken && !half && !s.repeats() && (s.applied.Sequence > s.cutAt || memory) {
		if err = s.cut(ctx, memory); err == nil {
			err = s.settle()
		}
	}
	s.committer.close()
	if cerr := errors.Join(s.partitions.close(ctx), s.chain.close(ctx)); err == nil {
		err = cerr
	}
	return err
}

// commitsNothing reports whether what is applied is for a reading of the past alone.
func (s *session) commitsNothing() bool { return s.committer == nil }

// settle waits for the window that is being committed.
func (s *session) settle() error {
	if !s.inFlight {
		return nil
	}
	return s.landed(<-s.committer.done)
}

// landing yields the result of the commit under way; nil: there is none.
func (s *session) landing() <-chan commitResult {
	if !s.inFlight {
		return nil
	}
	return s.committer.done
}

// landed takes in the result of a commit.
func (s *session) landed(r commitResult) error {
	s.inFlight = false
	s.traceCommitted(&r)
	if r.err != nil {
		s.broken = true
		s.outbox.forget()
		// It may be committed all the same, and what was there before no longer be kept.
		if ck, err := s.keyspace.Latest(); err == nil {
			s.publish(ck)
		}
		return r.err
	}
	s.took = r.took
	s.outbox.committed(r.rows, r.trimmed, r.checkpoint.Version)
	fresh := s.isFresh(r.checkpoint.Position)
	s.countCommit(r.checkpoint) // before the version that was read so far is let go
	s.measured().committed(r.took, fresh, r.checkpoint.Position.Time)
	s.partitions.committed(r.window, r.view)
	s.passVerdicts(r.checkpoint)
	return nil
}

// cut has everything that was applied committed. No commit may be under way.
func (s *session) cut(ctx context.Context, memory bool) error {
	return s.cutKeeping(ctx, memory, s.spec.MemorySnapshots.Keep)
}

// commitAlone commits what cannot be had again by applying events: with the memory, to
// which no older one is an alternative, or not at all.
func (s *session) commitAlone(ctx context.Context) error {
	if err := s.cutKeeping(ctx, s.spec.Module.Traits().Memory, 1); err != nil {
		s.broken = true
		return err
	}
	return s.settle()
}

func (s *session) cutKeeping(ctx context.Context, memory bool, keep int) error {
	job := commitJob{position: s.applied, anchors: s.anchors, keep: keep, damaged: s.damaged, since: s.since, schema: s.spec.Schema, runs: s.runs, read: s.readSoFar(), orders: s.orders}
	job.trims, job.marks = s.outbox.trims()
	job.lineage = s.lineage()
	if memory {
		blobs, err := s.partitions[0].instance.Snapshot(ctx)
		if err != nil {
			s.spoiled = true
			return fmt.Errorf("snapshot memory at %d: %w", s.applied.Sequence, err)
		}
		job.memory = append([][]byte{}, blobs...)
		s.memoryAt.events, s.memoryAt.time, s.written = s.events, time.Now(), 0
	}
	s.since, s.late = 0, false
	s.partitions.setLimit(s.keyspace.Limit())
	s.written += s.partitions.dirtyBytes()
	var err error
	if job.window, err = s.partitions.cut(); err == nil {
		err = s.cutAside(&job)
	}
	if err != nil {
		s.broken = true
		return err
	}
	s.traceCut()
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
