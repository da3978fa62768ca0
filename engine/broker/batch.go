package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/streams"
)

// Errors of batches.
var (
	// ErrNotAtomic says that a stream does not take batches.
	ErrNotAtomic = errors.New("stream takes no atomic batches")
	// ErrBadBatch says that events cannot be stored as one.
	ErrBadBatch = errors.New("events cannot be stored as one")
	// ErrKnownID says that an event of a batch has the id of one that is stored, while the
	// others are not stored with it. Nothing was stored.
	ErrKnownID = errors.New("id is one of an event that is stored")
)

// PublishBatch stores events of one stream as one: all of them, in consecutive sequences, or
// none. It returns the sequence of the first. The stream must take batches
// (allow_atomic), and nobody reads some of them without the others being stored.
//
// What the events expect is held against the stream as it was before the batch: an event
// may expect nothing of a subject that an event before it has, and only the first
// one a last sequence of the stream. Duplicate says that all of them were stored before; it
// is found out as Publish does, by the ids.
//
// It fails as Publish does, and with ErrNotAtomic, ErrBadBatch and ErrKnownID.
func (b *Broker) PublishBatch(ctx context.Context, stream string, events []Event) (first uint64, duplicate bool, err error) {
	events = slices.Clone(events)
	about := []string{stream}
	for i := range events {
		events[i].Stream = stream
		about = append(about, events[i].Subject)
	}
	ctx, done := b.Permitted(ctx, about...)
	defer done()
	if err := checkBatch(events); err != nil {
		return 0, false, err
	}
	if err := b.checkAtomic(ctx, stream, events); err != nil {
		return 0, false, err
	}
	err = b.retry(ctx, func() error {
		var api *jetstream.APIError
		first, err = b.sendBatch(ctx, events)
		switch {
		case err == nil:
			return nil
		case !errors.As(err, &api):
			return b.publishError(events[0], b.Explain(err))
		case api.ErrorCode == atomicBusy, api.ErrorCode == atomicIncomplete: // many at once; or another leader
			return errAgain
		case api.ErrorCode == atomicTooMany:
			return fmt.Errorf("publish a batch of %d events to %s: %w: %s", len(events), stream, ErrTooLarge, api.Description)
		case api.ErrorCode != atomicDuplicate && !refused(err):
			return fmt.Errorf("publish a batch to %s: %w", stream, b.publishError(events[0], err))
		}
		if first, duplicate, err = b.batchBefore(ctx, events); err != nil || duplicate {
			return err
		}
		return b.batchConflict(ctx, events, api.ErrorCode == atomicDuplicate)
	})
	return first, duplicate, err
}

// checkBatch refuses what no stream takes.
func checkBatch(events []Event) error {
	if len(events) == 0 || len(events) > atomicEvents {
		return fmt.Errorf("%w: a batch has 1 to %d events, not %d", ErrBadBatch, atomicEvents, len(events))
	}
	ids := map[string]int{}
	for i, e := range events {
		if j, twice := ids[e.ID]; twice && e.ID != "" {
			return fmt.Errorf("%w: events %d and %d have the same id %.80q", ErrBadBatch, j+1, i+1, e.ID)
		}
		ids[e.ID] = i
		if e.LastSeq != nil && i > 0 {
			return fmt.Errorf("%w: event %d expects a last sequence of the stream, which only the first can", ErrBadBatch, i+1)
		}
		if e.LastSubjectSeq == nil {
			continue
		}
		for j, before := range events[:i] {
			if streams.MatchSubject(e.of(e.Subject), []byte(before.Subject)) {
				return fmt.Errorf("%w: event %d expects a last sequence of %s, which event %d is of: let that one expect it", ErrBadBatch, i+1, e.of(e.Subject), j+1)
			}
		}
	}
	return nil
}

// checkAtomic refuses a batch for a stream that does not take it, which a server before 2.12 would
// store event by event, and one with events of other streams, which is only found to be incomplete.
func (b *Broker) checkAtomic(ctx context.Context, stream string, events []Event) error {
	st, err := b.js.Stream(ctx, stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("%w: %s", streams.ErrNoStream, stream)
	}
	if err != nil {
		return b.publishError(events[0], b.Explain(err))
	}
	c := st.CachedInfo().Config
	if !c.AllowAtomicPublish {
		return fmt.Errorf("%w: %s: set allow_atomic on it, which nats-server has since 2.12", ErrNotAtomic, stream)
	}
	for i, e := range events {
		if !slices.ContainsFunc(c.Subjects, func(filter string) bool { return streams.MatchSubject(filter, []byte(e.Subject)) }) {
			return fmt.Errorf("event %d of the batch, %s: %w: stream %s does not store this subject", i+1, e.Subject, streams.ErrNoStream, stream)
		}
		if err := b.checkExpectations(ctx, e); err != nil {
			return fmt.Errorf("event %d of the batch: %w", i+1, err)
		}
		if err := b.checkSize(e, c.MaxMsgSize); err != nil {
			return fmt.Errorf("event %d of the batch, %s: %w", i+1, e.Subject, err)
		}
	}
	return nil
}

// checkSize refuses an event in the middle of a batch of which the server would only say that the
// batch is not whole. MaxMsgSize is the limit of the stream; not above 0: none.
func (b *Broker) checkSize(e Event, maxMsgSize int32) error {
	const most = 1<<16 - 1                   // bytes of headers that a stream takes
	headers := len("NATS/1.0\r\n\r\n") + 128 // with those of a batch
	for name, values := range headersOf(e) {
		for _, v := range values {
			headers += len(name) + len(": \r\n") + len(v)
		}
	}
	size := int64(headers + len(e.Data))
	switch {
	case headers > most:
		return fmt.Errorf("%w: %d bytes of headers, a stream takes %d", ErrTooLarge, headers, most)
	case size > b.conn.MaxPayload():
		return fmt.Errorf("%w: %d bytes with its headers, at most %d are taken (max_payload of the server)", ErrTooLarge, size, b.conn.MaxPayload())
	case maxMsgSize > 0 && size > int64(maxMsgSize):
		return fmt.Errorf("%w: %d bytes with its headers, at most %d are taken (max_msg_size of the stream)", ErrTooLarge, size, maxMsgSize)
	}
	return nil
}

// sendBatch stores the events as one, and returns the sequence of the first.
func (b *Broker) sendBatch(ctx context.Context, events []Event) (first uint64, _ error) {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, answerTimeout)
		defer cancel()
	}
	messages := make([]*nats.Msg, len(events))
	for i, e := range events {
		messages[i] = &nats.Msg{Subject: e.Subject, Header: headersOf(e), Data: e.Data}
	}
	last, err := b.publishAtomic(ctx, messages)
	if err != nil {
		return 0, err
	}
	return last - uint64(len(events)) + 1, nil
}

// batchBefore finds a batch that was refused because it is there already: one of its events
// where its expectation says, or by its id, and the others around it, stored as one batch.
func (b *Broker) batchBefore(ctx context.Context, events []Event) (first uint64, is bool, _ error) {
	i := slices.IndexFunc(events, func(e Event) bool { return e.ID != "" && !e.none() })
	look := b.storedBefore
	if i < 0 {
		i, look = slices.IndexFunc(events, func(e Event) bool { return e.ID != "" }), b.known
	}
	if i < 0 {
		return 0, false, nil
	}
	at, is, err := look(ctx, events[i])
	if err != nil || !is || at <= uint64(i) {
		return 0, false, err
	}
	first = at - uint64(i)
	for j, e := range events {
		m, err := b.find(ctx, e, ask{Seq: first + uint64(j)})
		if err != nil || m == nil {
			return 0, false, err
		}
		// Numbers from 1 on, of which the last one commits, are one batch and all of it.
		h := nats.Header(m.Headers)
		last := h.Get("Nats-Batch-Commit") != ""
		if h.Get("Nats-Batch-Sequence") != strconv.Itoa(j+1) || last != (j == len(events)-1) || m.ID() != e.ID {
			return 0, false, nil
		}
	}
	return first, true, nil
}

// batchConflict tells what a batch was refused for. It returns errAgain when nothing
// stands in its way by now.
func (b *Broker) batchConflict(ctx context.Context, events []Event, knownID bool) error {
	for i, e := range events {
		err := b.conflict(ctx, e)
		var wrong *WrongSequenceError
		if errors.As(err, &wrong) {
			wrong.Event = i + 1
		}
		if !errors.Is(err, errAgain) {
			return err
		}
		if !knownID || e.ID == "" {
			continue
		}
		if at, is, err := b.known(ctx, e); err != nil || is {
			return errors.Join(err, fmt.Errorf("event %d of the batch, %s: %w: %.80q, at %d", i+1, e.Subject, ErrKnownID, e.ID, at))
		}
	}
	return errAgain
}
