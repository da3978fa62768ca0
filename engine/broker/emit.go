package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/streams"
)

const (
	// An atomic batch costs a server with files a folder and a sync, as much as so many
	// messages one by one. Fewer are sent in one only when they belong together.
	atomicWorth = 32
	// atomicBytes bounds the data of a batch of several groups.
	atomicBytes = 8 << 20
)

// Publish implements streams.Outlet. Of a group of more than 1000 messages, which is what a
// server takes in one batch, so many are stored all or none.
func (o *Outlet) Publish(ctx context.Context, stream string, messages []streams.Message) (stored int, last uint64, err error) {
	about := make([]string, 0, len(messages)+1)
	for _, m := range messages {
		about = append(about, m.Subject)
	}
	ctx, done := o.broker.Permitted(ctx, append(about, stream)...)
	defer done()
	if err := o.connected("publish to stream " + stream); err != nil {
		return 0, 0, err
	}
	atomic, err := o.takesAtomic(ctx, stream)
	if err != nil {
		return 0, 0, err
	}
	for stored < len(messages) {
		part, batch := messages[stored:], false
		if atomic {
			part, batch = nextPart(part)
		}
		publish := o.oneByOne
		if batch {
			publish = o.inOne
		}
		n, sequence, err := publish(ctx, stream, part)
		if n > 0 {
			stored, last = stored+n, sequence
		}
		if err != nil {
			return stored, last, err
		}
	}
	return stored, last, nil
}

// nextPart returns the first messages that can go in one batch, whole groups where that is
// possible, and whether they should.
func nextPart(messages []streams.Message) (part []streams.Message, batch bool) {
	n, bytes, grouped := 0, 0, false
	for n < len(messages) {
		group := nextGroup(messages[n:])
		size := 0
		for _, m := range group {
			size += len(m.Data) + len(m.Headers)
		}
		if n > 0 && (n+len(group) > atomicEvents || bytes+size > atomicBytes) {
			break
		}
		n, bytes, grouped = n+len(group), bytes+size, grouped || len(group) > 1
	}
	n = min(n, atomicEvents)
	return messages[:n], grouped || n >= atomicWorth
}

// nextGroup returns the first messages of one group.
func nextGroup(messages []streams.Message) []streams.Message {
	n := 1
	for n < len(messages) && messages[n].Group == messages[0].Group {
		n++
	}
	return messages[:n]
}

// inOne publishes messages in one batch. When the server refuses that, it publishes group by
// group, up to the one that is the reason.
func (o *Outlet) inOne(ctx context.Context, stream string, part []streams.Message) (stored int, last uint64, err error) {
	last, err = o.batch(ctx, stream, part)
	switch {
	case err == nil:
		return len(part), last, nil
	case isCode(err, atomicDisabled): // since it was asked
		o.note(stream, false)
		return o.oneByOne(ctx, stream, part)
	case o.refusal(err) == nil:
		return 0, 0, o.notPublished(ctx, stream, part, err)
	}
	if len(nextGroup(part)) < len(part) {
		return o.groups(ctx, stream, part)
	}
	// Some of the group are stored already, or it is more than this server takes in one.
	if isCode(err, atomicDuplicate) || isCode(err, atomicTooMany) {
		return o.oneByOne(ctx, stream, part)
	}
	return 0, 0, o.notPublished(ctx, stream, part, err)
}

// groups publishes each group in a batch of its own.
func (o *Outlet) groups(ctx context.Context, stream string, part []streams.Message) (stored int, last uint64, err error) {
	for stored < len(part) {
		n, sequence, err := o.inOne(ctx, stream, nextGroup(part[stored:]))
		if n > 0 {
			stored, last = stored+n, sequence
		}
		if err != nil {
			return stored, last, err
		}
	}
	return stored, last, nil
}

func isCode(err error, code jetstream.ErrorCode) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == code
}

func (o *Outlet) batch(ctx context.Context, stream string, part []streams.Message) (last uint64, err error) {
	messages := make([]*nats.Msg, len(part))
	for i, m := range part {
		if messages[i], err = o.message(stream, m); err != nil {
			return 0, err
		}
	}
	err = o.broker.ask(ctx, outletTimeout, func(ctx context.Context) (err error) {
		last, err = o.broker.publishAtomic(ctx, messages)
		return err
	})
	return last, err
}

// oneByOne publishes each message when the one before it is stored.
func (o *Outlet) oneByOne(ctx context.Context, stream string, part []streams.Message) (stored int, last uint64, err error) {
	for i := range part {
		sequence, err := o.one(ctx, stream, part[i])
		if err != nil {
			return stored, last, o.notPublished(ctx, stream, part[i:i+1], err)
		}
		stored, last = stored+1, sequence
	}
	return stored, last, nil
}

func (o *Outlet) one(ctx context.Context, stream string, m streams.Message) (sequence uint64, err error) {
	message, err := o.message(stream, m)
	if err != nil {
		return 0, err
	}
	err = o.broker.ask(ctx, outletTimeout, func(ctx context.Context) error {
		ack, err := o.broker.js.PublishMsg(ctx, message)
		if err == nil {
			sequence = ack.Sequence
		}
		return err
	})
	return sequence, err
}

// notPublished explains why messages were not published, or are not known to be.
func (o *Outlet) notPublished(ctx context.Context, stream string, part []streams.Message, err error) error {
	what := describe(stream, part)
	if why := o.refusal(err); why != nil {
		return fmt.Errorf("%s: %w", what, why)
	}
	// In a cluster nobody answers for a stream without a leader, as for one that is not there.
	if errors.Is(err, jetstream.ErrNoStreamResponse) && o.broker.Connected() {
		if _, gone := o.stream(ctx, stream); !errors.Is(gone, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("%s: %w: nobody answers for the stream: it has no leader just now, or no longer takes the subject", what, streams.ErrSourceDown)
		}
	}
	return o.failed(what, err)
}

// describe names messages for an error.
func describe(stream string, part []streams.Message) string {
	if len(part) == 1 {
		return fmt.Sprintf("publish %s to stream %s", part[0].Subject, stream)
	}
	return fmt.Sprintf("publish %d messages, from %s on, to stream %s", len(part), part[0].Subject, stream)
}
