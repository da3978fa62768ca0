package engine

import (
	"errors"
	"fmt"

	"gnomon/engine/guest"
	"gnomon/sdk/abi"
)

// plan says how a batch is cut into calls of the guest. Normally it is not; after
// a failure the batch is run again in smaller pieces, so that what fails is one
// event, whatever batch it came in.
type plan struct {
	through uint64 // the plan holds for events up to this sequence
	events  int    // at most so many in a call
}

// piece is a part of a batch for one call of the guest.
type piece struct {
	records []byte
	count   int
	first   uint64     // sequence
	last    abi.Record // aliases records
}

// piece takes the next piece off the front of records, within a limit, except that
// it holds at least one event. What upcasters made of one event stays together: records of
// one sequence are one event.
func (p plan) piece(records []byte, applied uint64, limit callLimit) (piece, error) {
	var out piece
	limited := applied < p.through
	sequence := uint64(0)
	for rest := records; len(rest) > 0; {
		e, after, err := abi.Next(rest)
		if err != nil {
			return out, fmt.Errorf("read batch: %w", err)
		}
		used := len(records) - len(after)
		if e.Sequence == sequence && used > limit.Bytes && out.count > 1 { // without this event
			limit.Events = out.count - 1
			return p.piece(records, applied, limit)
		}
		if e.Sequence != sequence && out.count > 0 && (used > limit.Bytes || e.Sequence > limit.Through || out.count == limit.Events || limited && (out.count == p.events || e.Sequence > p.through)) {
			break
		}
		if out.count == 0 {
			out.first = e.Sequence
		}
		if e.Sequence != sequence {
			out.count++
			sequence = e.Sequence
		}
		out.last, out.records, rest = e, records[:used], after
	}
	return out, nil
}

// goesOn decides what comes after a failed batch: smaller pieces, or an event that is passed
// over. It returns false when the projection halts.
func (r *Runner) goesOn(e *batchError) bool {
	if r.retry(e) {
		r.log.Debug("batch rolled back, running it again in smaller pieces", "error", e, "pieces", r.plan.events)
		return true
	}
	return r.judge(e)
}

// retry decides how a failed batch is run again. It returns false when the failure
// is that of one event: running it again would fail again.
func (r *Runner) retry(e *batchError) bool {
	var g *guest.Error
	switch {
	case errors.As(e.err, &g) && g.Kind == guest.SmallBuffer:
		// Records are cut to the guest's buffer from now on.
		if e.count == 1 {
			return false
		}
		r.bufferLimit = g.Have
	case errors.Is(e.err, errWindowFull):
		switch {
		case !e.alone: // it may fit a commit of its own
			r.plan = plan{through: e.last, events: e.count}
		case e.count > 1:
			r.plan = plan{through: e.last, events: e.count / 2}
		default:
			e.err = r.tooMuch("apply", "write less for one event")
			return false
		}
	case errors.As(e.err, &g) && e.count > 1:
		r.plan = plan{through: e.last, events: 1}
	default:
		return false
	}
	return true
}

// tooMuch is the error for a call that writes more than a commit can hold, with what is to be
// done about that.
func (r *Runner) tooMuch(call, instead string) error {
	limit, share := r.keyspace.Limit(), ""
	if n := r.spec.Partitions; n > 1 {
		limit, share = limit.Share(n), fmt.Sprintf(" for each of %d partitions", n)
	}
	return &guest.Error{Call: call, Kind: guest.OverLimit, Event: -1,
		Text: fmt.Sprintf("its writes do not fit one commit: the limit is %d keys or %d bytes%s; %s", limit.Writes, limit.Bytes, share, instead)}
}
