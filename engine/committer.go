package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gnomon/engine/measure"
	"gnomon/engine/state"
)

// committer commits windows in a goroutine of its own, one at a time, so that the
// guest runs on meanwhile.
type committer struct {
	keyspace state.Keyspace
	newest   state.Version // of all commits
	outbox   state.Outbox  // as of that one
	quota    state.Quota
	recent   *recent
	jobs     chan commitJob    // closed by close
	done     chan commitResult // one for each job
}

// commitJob is a window with the position it belongs to.
type commitJob struct {
	window   *window
	position state.Position
	anchors  []state.Anchor
	memory   [][]byte // of the guest at this position, or nil
	keep     int      // memory snapshots
	damaged  []state.Version
	since    state.Version // that it takes the keyspace back to; 0: none
	letters  []state.Write
	aside    state.Aside
	schema   int
	runs     string            // identity of what applied the events
	read     uint64            // events in this keyspace, so far
	orders   uint64            // so far
	passed   []uint64          // sequences that were skipped
	trims    []state.OutboxRow // that are not waiting any more
	marks    []state.Mark
	lineage  string // of what the window emits
}

type commitResult struct {
	window     *window
	checkpoint state.Checkpoint
	view       state.View // of the state after the commit; closed by the receiver
	took       time.Duration
	rows       []state.OutboxRow // that it wrote
	trimmed    int               // and how many of those not waiting it removed
	err        error
}

// startCommitter starts committing on top of a checkpoint, which is the newest, or an
// older one that the first job goes back to. Of the context it takes the labels only.
func startCommitter(ctx context.Context, ks state.Keyspace, q state.Quota, recent *recent, last, newest state.Checkpoint) *committer {
	c := &committer{keyspace: ks, quota: q, recent: recent, newest: newest.Version, outbox: newest.Outbox, jobs: make(chan commitJob), done: make(chan commitResult, 1)}
	go measure.Labelled(ctx, func(context.Context) { c.run(last) }, measure.LabelStage, measure.StageCommit)
	return c
}

func (c *committer) run(last state.Checkpoint) {
	for job := range c.jobs {
		began := time.Now()
		r := c.commit(last, job)
		r.took = time.Since(began)
		if r.err == nil {
			last = r.checkpoint
		}
		c.done <- r
	}
	close(c.done)
}

func (c *committer) commit(last state.Checkpoint, job commitJob) commitResult {
	r := commitResult{window: job.window}
	before, err := c.keyspace.View(last.Version)
	if err != nil {
		r.err = &storeError{fmt.Errorf("read state at %d: %w", last.Position.Sequence, err)}
		return r
	}
	defer before.Close()
	next := last
	next.Version = c.newest.Next(job.position.Sequence)
	next.Position, next.Anchors, next.Aside, next.Schema = job.position, job.anchors, job.aside, job.schema
	next.After, next.Runs, next.Read, next.Passed, next.Orders = c.newest, job.runs, job.read, job.passed, job.orders
	if job.memory != nil {
		next.Memories, job.keep = job.replace(next.Memories)
	}
	if err := job.window.tally(&next, before); err != nil {
		r.err = &storeError{fmt.Errorf("tally commit at %d: %w", job.position.Sequence, err)}
		return r
	}
	if r.err = c.quota.Check(last, next); r.err != nil {
		return r
	}
	var outbox []state.Write
	outbox, r.rows = job.outbox(&next, c.outbox)
	// A commit is never given up half way: it does not heed the end of the engine.
	writes := job.window.writes()
	r.checkpoint, r.err = c.keyspace.Commit(context.Background(), state.Commit{
		Checkpoint: next, Writes: writes, Letters: job.letters, Outbox: outbox,
		Since: job.since, Memory: job.memory, KeepMemories: job.keep,
	})
	if r.err != nil {
		r.err = &storeError{fmt.Errorf("commit at %d: %w", job.position.Sequence, r.err)}
		return r
	}
	c.recent.add(c.newest, r.checkpoint.Version, writes, job.since != 0)
	c.newest, c.outbox, r.trimmed = r.checkpoint.Version, r.checkpoint.Outbox, len(job.trims)
	if r.view, err = c.keyspace.View(r.checkpoint.Version); err != nil {
		r.err = &storeError{fmt.Errorf("read state at %d: %w", job.position.Sequence, err)}
	}
	return r
}

// outbox is what a commit changes of the outbox, which was something before, and the rows
// that it adds.
func (j *commitJob) outbox(next *state.Checkpoint, before state.Outbox) (writes []state.Write, rows []state.OutboxRow) {
	next.Outbox = before
	for i := range j.trims {
		writes = append(writes, j.trims[i].Remove())
	}
	for _, e := range j.window.emits {
		r := state.OutboxRow{Number: next.Outbox.Next, Lineage: j.lineage, Emit: e}
		next.Outbox.Next++
		writes = append(writes, r.Write())
		rows = append(rows, r)
	}
	next.Outbox.Rows += int64(len(rows) - len(j.trims))
	next.Outbox.Marks = j.marks
	return writes, rows
}

// replace has a new memory snapshot take the place of damaged ones, and not of sound ones
// that are older: those come after them, where what is not kept is dropped.
func (j *commitJob) replace(all []state.Memory) (sorted []state.Memory, keep int) {
	var damaged []state.Memory
	for _, m := range all {
		if slices.Contains(j.damaged, m.Version) {
			damaged = append(damaged, m)
		} else {
			sorted = append(sorted, m)
		}
	}
	return append(sorted, damaged...), min(j.keep, 1+len(sorted))
}

// close ends the goroutine. No job may be under way.
func (c *committer) close() { close(c.jobs) }
