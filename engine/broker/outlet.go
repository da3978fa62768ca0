package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// outletTimeout bounds one request of an Outlet. What was published and not answered until
// then is in doubt.
const outletTimeout = 5 * time.Second

// outletOverhead is more than an Outlet and the protocol add to the headers and data of a
// message: its ID, the stream's name, its place in a batch.
const outletOverhead = 1 << 10

// Outlet publishes emitted events to JetStream. It implements streams.Outlet.
//
// Groups of messages go to a stream with allow_atomic in atomic batches. To any other one by
// one, each when the one before it has been acknowledged: so order is kept wherever it stops.
type Outlet struct {
	broker *Broker

	mu     sync.Mutex
	atomic map[string]bool // whether a stream takes atomic batches, as far as it was asked
}

var _ streams.Outlet = (*Outlet)(nil)

// Outlet returns what publishes emitted events over the broker's connection.
func (b *Broker) Outlet() *Outlet { return &Outlet{broker: b, atomic: map[string]bool{}} }

// MaxBytes implements streams.Outlet. It is max_payload of the server, less 1 KiB for what
// is added to each message.
func (o *Outlet) MaxBytes() int {
	return max(int(o.broker.conn.MaxPayload())-outletOverhead, 0)
}

// StreamFor implements streams.Outlet.
func (o *Outlet) StreamFor(ctx context.Context, subject string) (streams.Info, error) {
	what := "find the stream of " + subject
	ctx, done := o.broker.Permitted(ctx, "NAMES", subject) // $JS.API.STREAM.NAMES
	defer done()
	if err := o.connected(what); err != nil {
		return streams.Info{}, err
	}
	var name string
	err := o.broker.ask(ctx, outletTimeout, func(ctx context.Context) (err error) {
		name, err = o.broker.js.StreamNameBySubject(ctx, subject)
		return err
	})
	if err != nil {
		return streams.Info{}, o.failed(what, err)
	}
	s, err := o.stream(ctx, name)
	if err != nil {
		return streams.Info{}, o.failed(what, err)
	}
	info := s.CachedInfo()
	st := info.State
	if st.Msgs == 0 { // a new stream says 0
		st.FirstSeq = st.LastSeq + 1
	}
	return streams.Info{
		Name: name, Subjects: info.Config.Subjects, Created: info.Created,
		First: st.FirstSeq, Last: st.LastSeq, Events: st.Msgs, LastTime: st.LastTime,
		Transformed: info.Config.SubjectTransform != nil,
	}, nil
}

// stream asks for a stream, and notes what it takes. It has the word of the stream's leader.
func (o *Outlet) stream(ctx context.Context, name string) (s jetstream.Stream, err error) {
	ctx, done := o.broker.Permitted(ctx, name)
	defer done()
	err = o.broker.ask(ctx, outletTimeout, func(ctx context.Context) error {
		s, err = o.broker.js.Stream(ctx, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	c := &s.CachedInfo().Config
	c.AllowDirect = false // so that the client asks no replica
	if c.NoAck {
		return nil, fmt.Errorf("%w: stream %s acknowledges nothing (no_ack), so nobody knows what it has stored: switch that off", streams.ErrRefused, name)
	}
	o.note(name, c.AllowAtomicPublish)
	return s, nil
}

func (o *Outlet) note(stream string, atomic bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.atomic[stream] = atomic
}

// takesAtomic reports whether a stream takes atomic batches. A server that does not know them
// does not know the setting either.
func (o *Outlet) takesAtomic(ctx context.Context, stream string) (bool, error) {
	o.mu.Lock()
	atomic, known := o.atomic[stream]
	o.mu.Unlock()
	if known {
		return atomic, nil
	}
	s, err := o.stream(ctx, stream)
	if err != nil {
		return false, o.failed("ask for stream "+stream, err)
	}
	return s.CachedInfo().Config.AllowAtomicPublish, nil
}

// connected refuses to begin a request that the client would keep for later.
func (o *Outlet) connected(what string) error {
	if o.broker.Connected() {
		return nil
	}
	return o.failed(what, nats.ErrDisconnected)
}

// failed wraps an error of a request, as one of the engine's where it is one.
func (o *Outlet) failed(what string, err error) error {
	err = o.broker.Explain(err)
	switch {
	case errors.Is(err, streams.ErrForbidden):
		return fmt.Errorf("%s: %w", what, err)
	case errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, jetstream.ErrNoStreamResponse) && !errors.Is(err, nats.ErrDisconnected):
		return fmt.Errorf("%s: %w: create it, or declare it with its subjects in the configuration", what, streams.ErrNoStream)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout), errors.Is(err, nats.ErrNoResponders),
		errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrDisconnected):
		return fmt.Errorf("%s: %w: %w", what, streams.ErrSourceDown, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// refusal explains why messages are not stored; nil when nobody knows whether they are.
func (o *Outlet) refusal(err error) error {
	var api *jetstream.APIError
	switch {
	case errors.Is(err, streams.ErrRefused):
		return err
	case errors.Is(err, nats.ErrMaxPayload): // which is another one since the last connection
		return fmt.Errorf("%w: it is larger than the server takes (max_payload, %d bytes)", streams.ErrRefused, o.broker.conn.MaxPayload())
	case !errors.As(err, &api) || errors.Is(err, jetstream.ErrStreamNotFound) || api.ErrorCode == codeConflict:
		return nil
	case api.ErrorCode == streamNotMatch:
		return fmt.Errorf("%w: another stream stores its subject", streams.ErrRefused)
	case api.ErrorCode == atomicIncomplete:
		return fmt.Errorf("%w: the stream did not get all of them: another one may store the subjects of some", streams.ErrRefused)
	}
	return fmt.Errorf("%w: %s (code %d)", streams.ErrRefused, api.Description, api.ErrorCode)
}

// message is a message as it goes to a stream.
func (o *Outlet) message(stream string, m streams.Message) (*nats.Msg, error) {
	if n, limit := len(m.Headers)+len(m.Data), o.MaxBytes(); n > limit {
		return nil, fmt.Errorf("%w: it has %d bytes and headers, the server takes %d (max_payload, less %d)", streams.ErrRefused, n, limit, outletOverhead)
	}
	header := nats.Header{}
	for rest := m.Headers; len(rest) > 0; {
		name, value, after, err := abi.NextHeader(rest)
		if err != nil {
			return nil, fmt.Errorf("%w: headers of %s: %w", streams.ErrRefused, m.ID, err)
		}
		header[string(name)] = append(header[string(name)], string(value))
		rest = after
	}
	header[jetstream.MsgIDHeader] = []string{m.ID}
	header[jetstream.ExpectedStreamHeader] = []string{stream}
	return &nats.Msg{Subject: m.Subject, Header: header, Data: m.Data}, nil
}
