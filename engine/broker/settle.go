package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/streams"
)

// listAtOnce is how many messages a listing asks the server for at a time. They come without
// their data.
const listAtOnce = 500

// Stored implements streams.Outlet. In a cluster it has the word of the stream's leader: a
// replica may lack what was acknowledged.
func (o *Outlet) Stored(ctx context.Context, stream string, subjects []string, after uint64, fn func(id string, sequence uint64) bool) error {
	what := "list what stream " + stream + " has stored"
	ctx, done := o.broker.Permitted(ctx, stream)
	defer done()
	if err := o.connected(what); err != nil {
		return err
	}
	s, err := o.stream(ctx, stream)
	if err != nil {
		return o.failed(what, err)
	}
	info := s.CachedInfo()
	l := listing{broker: o.broker, stream: s, at: after, end: info.State.LastSeq, subjects: subjects, fn: fn}
	if info.Config.SubjectTransform != nil { // what was published has other subjects there
		l.subjects = []string{">"}
	}
	if info.State.Msgs == 0 {
		return nil
	}
	// Consumers of a work queue compete for its messages. It is short as a rule.
	if info.Config.Retention != jetstream.WorkQueuePolicy {
		if err := l.consume(ctx); err != nil {
			return o.failed(what, err)
		}
	}
	if err := l.get(ctx); err != nil {
		return o.failed(what, err)
	}
	return nil
}

// listing is one listing of a stream, up to where that ended when the listing began.
type listing struct {
	broker   *Broker
	stream   jetstream.Stream
	subjects []string
	fn       func(id string, sequence uint64) bool

	at, end uint64 // what comes after at and not after end is to be listed
}

// take hands a message on.
func (l *listing) take(sequence uint64, subject string, header nats.Header) {
	l.at = sequence
	if sequence > l.end {
		return
	}
	wanted := slices.ContainsFunc(l.subjects, func(filter string) bool { return streams.MatchSubject(filter, []byte(subject)) })
	if id := header.Get(jetstream.MsgIDHeader); id != "" && wanted && !l.fn(id, sequence) {
		l.at = l.end
	}
}

// filter is what the server is to leave out. It takes no filters that overlap, and is slow
// with many: then nothing.
func (l *listing) filter() string {
	if len(l.subjects) == 1 {
		return l.subjects[0]
	}
	return ">"
}

// consume lists by a consumer of its own, which is fast, as far as that has the messages: it
// may be with a replica.
func (l *listing) consume(ctx context.Context) (err error) {
	name := l.stream.CachedInfo().Config.Name
	var c jetstream.Consumer
	err = l.broker.ask(ctx, outletTimeout, func(ctx context.Context) error {
		c, err = l.broker.js.CreateConsumer(ctx, name, jetstream.ConsumerConfig{
			DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: l.at + 1, FilterSubject: l.filter(), HeadersOnly: true,
			AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Minute,
		})
		return err
	})
	if err != nil {
		return err
	}
	defer func() {
		_ = l.broker.ask(context.WithoutCancel(ctx), outletTimeout, func(ctx context.Context) error {
			return l.broker.js.DeleteConsumer(ctx, name, c.CachedInfo().Name) // or the server does, a minute later
		})
	}()
	pending, delivered := c.CachedInfo().NumPending, uint64(0)
	for pending > 0 && l.at < l.end {
		var n uint64
		err := l.broker.ask(ctx, outletTimeout, func(ctx context.Context) error {
			n, err = l.fetch(ctx, c, min(pending, listAtOnce), &delivered)
			return err
		})
		if err != nil {
			return err
		}
		if n == 0 { // they were removed meanwhile, or the consumer was
			return nil
		}
		pending -= n
	}
	return nil
}

// fetch takes the next n messages, or as many as come. Delivered counts them.
func (l *listing) fetch(ctx context.Context, c jetstream.Consumer, n uint64, delivered *uint64) (taken uint64, err error) {
	messages, err := c.Fetch(int(n), jetstream.FetchContext(ctx))
	if err != nil {
		return 0, err
	}
	for m := range messages.Messages() {
		meta, err := m.Metadata()
		if err != nil {
			return taken, err
		}
		taken++
		if *delivered++; meta.Sequence.Consumer != *delivered {
			return taken, fmt.Errorf("%w: a message was lost on its way from the server", streams.ErrSourceDown)
		}
		if l.at < l.end {
			l.take(meta.Sequence.Stream, m.Subject(), m.Headers())
		}
	}
	if messages.Error() != nil { // get goes on where this ends
		return 0, nil
	}
	return taken, nil
}

// get lists by asking the stream's leader for one message after the other.
func (l *listing) get(ctx context.Context) error {
	for l.at < l.end {
		m, err := l.next(ctx)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		l.take(m.Sequence, m.Subject, m.Header)
	}
	return nil
}

func (l *listing) next(ctx context.Context) (m *jetstream.RawStreamMsg, err error) {
	err = l.broker.ask(ctx, outletTimeout, func(ctx context.Context) error {
		m, err = l.stream.GetMsg(ctx, l.at+1, jetstream.WithGetMsgSubject(l.filter()))
		return err
	})
	return m, err
}
