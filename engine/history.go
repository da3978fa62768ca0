package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gnomon/engine/state"
	"gnomon/engine/streams"
)

// HistoryError says that a stream is not, or no longer, the one that a position
// was taken in. Nothing was applied.
type HistoryError struct {
	Code string // stable: "stream-recreated", "tail-lost", "history-changed", "events-lost"
	Text string // both facts
	Hint string // the ways out, of a projection NAME
	of   history
}

func (e *HistoryError) Error() string { return e.Text }

// hint is the ways out of a projection, as commands to be copied.
func (e *HistoryError) hint(name string) string { return strings.ReplaceAll(e.Hint, "NAME", name) }

// isPast reports whether the stream is the one that was read again, or is another one in
// another way: then there is something else to do, or to say.
func (e *HistoryError) isPast(ctx context.Context, src streams.Source) bool {
	_, err := e.of.verify(ctx, src)
	var now *HistoryError
	return err == nil || errors.As(err, &now) && now.Code != e.Code
}

// history is what is known of the part of a stream that was read.
type history struct {
	position state.Position
	anchors  []state.Anchor // newest first
	fresh    bool           // nothing was read yet: the first event may have any sequence
}

// verify compares what was read with what the stream holds now. It returns a
// *HistoryError when going on would skip or repeat something. JetStream itself
// delivers the next event that it has, and says nothing.
func (h history) verify(ctx context.Context, src streams.Source) (streams.Info, error) {
	info, err := src.Stream(ctx, h.position.Stream)
	if err != nil {
		return info, err
	}
	if err := h.compare(info); err != nil {
		return info, err
	}
	return info, h.compareAnchors(ctx, src, info)
}

// The ways out of a history that is another one.
const (
	toRebuild = "build it from what the stream holds now: engine rebuild NAME"
	toAccept  = "go on with what the stream holds now, and keep the state: engine accept NAME --reason TEXT"
)

// compare holds the position against what the stream says of itself.
func (h history) compare(info streams.Info) error {
	p := h.position
	switch {
	case !info.Created.Equal(p.Created):
		hint := "restore the stream that was read, then it goes on by itself; or " + toRebuild
		if info.Last >= p.Sequence { // otherwise accept is refused
			hint += "; or " + toAccept
		}
		return &HistoryError{
			of:   h,
			Code: "stream-recreated",
			Text: fmt.Sprintf("stream %s was created at %s, but the position %d was taken in one created at %s", p.Stream, stamp(info.Created), p.Sequence, stamp(p.Created)),
			Hint: hint,
		}
	case info.Last < p.Sequence:
		return &HistoryError{
			of:   h,
			Code: "tail-lost",
			Text: fmt.Sprintf("stream %s ends at sequence %d, but events up to %d were applied: it lost its tail, as after a restore or a power cut", p.Stream, info.Last, p.Sequence),
			Hint: "restore the stream's newer copy, then it goes on by itself; or " + toRebuild,
		}
	case !h.fresh && info.First > p.Sequence+1:
		return &HistoryError{
			of:   h,
			Code: "events-lost",
			Text: fmt.Sprintf("stream %s begins at sequence %d, but %d is the next to apply: %d sequences were removed before they were read", p.Stream, info.First, p.Sequence+1, info.First-p.Sequence-1),
			Hint: "restore the stream from a backup, then it goes on by itself; or " + toRebuild + "; or " + toAccept + "; then raise the stream's limits (max_age, max_bytes)",
		}
	}
	return nil
}

// compareAnchors looks up the newest anchor that the stream still holds: events
// may be deleted one by one without harm.
func (h history) compareAnchors(ctx context.Context, src streams.Source, info streams.Info) error {
	for _, a := range h.anchors {
		if a.Sequence < info.First {
			return nil // older ones are gone too, and they were read
		}
		e, err := src.Event(ctx, h.position.Stream, a.Sequence)
		if errors.Is(err, streams.ErrNoEvent) {
			continue
		}
		if err != nil {
			return err
		}
		found := state.AnchorOf(e)
		if a.Same(found) {
			return nil
		}
		return &HistoryError{
			of:   h,
			Code: "history-changed",
			Text: fmt.Sprintf("stream %s holds another event at sequence %d than was applied: %s stored at %s, applied was %s stored at %s", h.position.Stream, a.Sequence, found.Subject, stamp(found.Time), a.Subject, stamp(a.Time)),
			Hint: "the stream was restored from an older copy, or lost its tail and reused its numbers: restore the copy that was read, then it goes on by itself; or " + toRebuild + "; or " + toAccept,
		}
	}
	return nil
}

// verifyPast holds a checkpoint of the past against what the stream holds now. Events that were
// read and are gone since are no difference.
func verifyPast(ctx context.Context, src streams.Source, c state.Checkpoint) error {
	_, err := history{position: c.Position, anchors: c.Anchors, fresh: true}.verify(ctx, src)
	return err
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// origin finds the position before the first event that a new projection is to apply,
// and the first event that the stream holds.
func origin(ctx context.Context, src streams.Source, stream string, start Start) (p state.Position, held uint64, err error) {
	info, err := src.Stream(ctx, stream)
	if err != nil {
		return p, 0, err
	}
	p = state.Position{Stream: stream, Created: info.Created}
	switch {
	case start.New:
		p.Sequence = info.Last
	case !start.Time.IsZero():
		first, err := src.SequenceAt(ctx, stream, start.Time)
		if err != nil {
			return p, 0, err
		}
		p.Sequence = first - 1
	case start.Sequence > 1:
		p.Sequence = start.Sequence - 1
	}
	if p.Sequence > info.Last {
		return p, 0, fmt.Errorf("%w: start = %d, but stream %s ends at %d", errBeyondEnd, start.Sequence, stream, info.Last)
	}
	return p, max(info.First, 1), nil
}

// errBeyondEnd says that a projection is to start at an event that does not exist
// yet; it waits for it.
var errBeyondEnd = errors.New("the first event to apply is not stored yet")
