package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gnomon/engine/state"
)

// trimEvery is how often what is published is removed when nothing else is committed.
const trimEvery = time.Second

// trimDue reports whether what does not wait any more is to be removed now, though there is
// nothing else to commit: most of the time it goes with the next commit.
func (s *session) trimDue() bool {
	s.dropSilent()
	return s.outbox.hasDone() && time.Since(s.cutTime) >= trimEvery && s.since == 0
}

// dropSilent gives up what a generation that is not read kept in case it takes over.
func (s *session) dropSilent() {
	if right := s.rights.Load(); right != nil && !right.live && !s.outbox.isEmpty() {
		s.outbox.drop(right.silent)
	}
}

// whileStopped calls what waits for the end of a stop, and removes meanwhile what is published: a target stream may pass it on
// and forget it, and then nothing else would say that it is. No session is open.
func (r *Runner) whileStopped(ctx context.Context, stopped func()) {
	trimming, cancel := context.WithCancel(ctx)
	var trims sync.WaitGroup
	trims.Go(func() {
		for r.await(trimming, r.outbox.hasDone) == nil {
			if !sleep(trimming, trimEvery) {
				return
			}
			if err := r.trim(); err != nil {
				r.log.Warn("what is published cannot be removed, it is tried again", "error", err)
				sleep(trimming, lastBackOff)
			}
		}
	})
	stopped()
	cancel()
	trims.Wait()
}

// sleep lets time pass, and returns false when ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// trim removes what does not wait any more, in a commit of its own at the same sequence.
// Nobody else may commit.
func (r *Runner) trim() error {
	if err := r.loadOutbox(); err != nil {
		return err
	}
	ck, err := r.keyspace.Latest()
	if errors.Is(err, state.ErrNoCheckpoint) || err == nil && !r.outbox.hasDone() {
		return nil
	}
	if err != nil {
		return err
	}
	job := commitJob{window: &window{}}
	job.trims, job.marks = r.outbox.trims()
	next := ck
	next.Version, next.After = ck.Version.Next(ck.Position.Sequence), ck.Version
	writes, _ := job.outbox(&next, ck.Outbox)
	next, err = r.keyspace.Commit(context.Background(), state.Commit{Checkpoint: next, Outbox: writes})
	if err != nil {
		r.outbox.forget()
		return fmt.Errorf("commit at %d: %w", ck.Position.Sequence, err)
	}
	r.recent.add(ck.Version, next.Version, nil, false)
	r.outbox.committed(nil, len(job.trims), next.Version)
	r.countCommit(next)
	return nil
}
