package engine

import (
	"errors"
	"time"

	"gnomon/engine/state"
)

// HistoryPolicy says how much of a projection's past stays readable, beside what is
// needed to go on. The zero one keeps nothing.
type HistoryPolicy struct {
	All    bool          // from the beginning of a generation on
	Events uint64        // what the last so many sequences of the stream were made to
	Age    time.Duration // what was stored within so long

	// Every bounds the sequences between two commits of what is kept, so that a replay of
	// what came between is short; 0: they are as far apart as the window makes them.
	Every uint64
}

// keepsNothing reports whether the past is not readable.
func (h HistoryPolicy) keepsNothing() bool { return !h.All && h.Events == 0 && h.Age == 0 }

// covers reports whether a position that is applied now will be kept when the stream, which
// ends at last, has been read.
func (h HistoryPolicy) covers(p state.Position, last uint64, now time.Time) bool {
	return h.All || h.Events > 0 && last-min(last, p.Sequence) <= h.Events || h.Age > 0 && now.Sub(p.Time) <= h.Age
}

// historyDue reports whether a window of what is kept should not become larger.
func (s *session) historyDue() bool { return s.historyOpen(0) }

// historyOverdue reports whether it may not, not even for the rest of an atomic batch.
func (s *session) historyOverdue() bool { return s.historyOpen(atomicEvents) }

func (s *session) historyOpen(more uint64) bool {
	h := s.spec.History
	return h.Every > 0 && s.applied.Sequence-min(s.applied.Sequence, s.cutAt) >= h.Every+more && h.covers(s.applied, s.knownEnd(), time.Now())
}

// keepHistory has a keyspace keep what the policy of its projection asks for. Without its
// spec it is not known, and nothing is given up.
func (p *projection) keepHistory(ks state.Keyspace, spec *Spec) {
	if ks == nil {
		return
	}
	if spec == nil {
		ks.Keep(1)
		return
	}
	from, err := spec.History.from(ks, p.engine.calendar.now())
	if err != nil { // such as damage, which whoever reads it is told
		from = 1
	}
	ks.Keep(from)
}

// from is the version from which on a policy keeps everything: of the newest commit that is
// older than all that may be asked for, and of the memory that a replay from there needs.
func (h HistoryPolicy) from(ks state.Keyspace, now time.Time) (state.Version, error) {
	switch {
	case h.All:
		return 1, nil
	case h.keepsNothing():
		return state.MaxVersion, nil
	}
	latest, err := ks.Latest()
	switch {
	case errors.Is(err, state.ErrNoCheckpoint):
		return 1, nil
	case err != nil:
		return 0, err
	}
	ck := latest
	switch {
	case h.Events > 0 && latest.Position.Sequence <= h.Events:
		return 1, nil
	case h.Events > 0:
		ck, err = ks.Checkpoint(state.LastAt(latest.Position.Sequence - h.Events))
	default:
		ck, err = checkpointBefore(ks, latest, now.Add(-h.Age))
	}
	if errors.Is(err, state.ErrNoCheckpoint) {
		return 1, nil
	}
	return ck.Needed(), err
}

// checkpointBefore finds the newest checkpoint whose last event was stored at or before a
// time. Times grow with the sequences: it takes some dozens of reads at most.
func checkpointBefore(ks state.Keyspace, latest state.Checkpoint, t time.Time) (state.Checkpoint, error) {
	if !latest.Position.Time.After(t) {
		return latest, nil
	}
	var found state.Checkpoint
	low, high := ks.Oldest()-1, latest.Version // that of high is after t
	for low+1 < high {
		mid := low + (high-low)/2
		ck, err := ks.Checkpoint(mid)
		switch {
		case errors.Is(err, state.ErrNoCheckpoint):
			low = mid
		case err != nil:
			return ck, err
		case ck.Position.Time.After(t):
			high = ck.Version
		default:
			found, low = ck, mid
		}
	}
	if found.Version == 0 {
		return found, state.ErrNoCheckpoint
	}
	return found, nil
}

// checkpointAfter finds the oldest checkpoint above a version, up to the newest.
func checkpointAfter(ks state.Keyspace, v state.Version, newest state.Checkpoint) (state.Checkpoint, error) {
	low, found := v, newest
	for low+1 < found.Version {
		mid := low + (found.Version-low)/2
		ck, err := ks.Checkpoint(mid)
		switch {
		case err != nil && !errors.Is(err, state.ErrNoCheckpoint):
			return ck, err
		case err == nil && ck.Version > v:
			found = ck
		default:
			low = mid
		}
	}
	return found, nil
}
