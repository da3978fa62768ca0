package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// requestTimeout bounds one request to the server.
const requestTimeout = 5 * time.Second

// Source reads streams of one JetStream. It implements streams.Source.
type Source struct {
	js jetstream.JetStream
	// explain adds to an error what the connection knows about it.
	explain func(error) error
	// permitted makes contexts whose time is up when the server refuses a request that is
	// about a stream.
	permitted func(ctx context.Context, about ...string) (context.Context, context.CancelFunc)
}

var _ streams.Source = (*Source)(nil)

// New makes a source.
func New(js jetstream.JetStream, explain func(error) error) *Source {
	return &Source{js: js, explain: explain, permitted: func(ctx context.Context, _ ...string) (context.Context, context.CancelFunc) {
		return context.WithCancel(ctx)
	}}
}

// Permitted has the source end requests as soon as the server refuses them: broker.Permitted
// makes contexts of that kind. Without it they wait for an answer until their time is up.
func (s *Source) Permitted(make func(ctx context.Context, about ...string) (context.Context, context.CancelFunc)) {
	s.permitted = make
}

// limited is a context for one request about a stream, or some.
func (s *Source) limited(ctx context.Context, stream string) (context.Context, context.CancelFunc) {
	ctx, done := s.permitted(ctx, stream)
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	return ctx, func() { cancel(); done() }
}

// ErrUnusable says that a stream is not a log that a projection can be built, and
// rebuilt, from. It is wrapped with the reason and the way out.
var ErrUnusable = errors.New("stream cannot be projected")

// Stream implements streams.Source. It also fails with ErrUnusable.
func (s *Source) Stream(ctx context.Context, name string) (streams.Info, error) {
	ctx, cancel := s.limited(ctx, name)
	defer cancel()
	stream, err := s.stream(ctx, name)
	if err != nil {
		return streams.Info{}, err
	}
	return describe(stream.CachedInfo()), nil
}

// stream asks for a stream, and refuses one that is unusable.
func (s *Source) stream(ctx context.Context, name string) (jetstream.Stream, error) {
	stream, err := s.leader(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := Usable(stream.CachedInfo().Config); err != nil {
		return nil, err
	}
	return stream, nil
}

// leader asks for a stream, which may be unusable. Its events are got from its leader: other
// replicas may lack an event that was read before, and answer with headers that are not its
// own.
func (s *Source) leader(ctx context.Context, name string) (jetstream.Stream, error) {
	stream, err := s.js.Stream(ctx, name)
	if err != nil {
		return nil, s.failed(fmt.Sprintf("ask for stream %s", name), err)
	}
	stream.CachedInfo().Config.AllowDirect = false
	return stream, nil
}

func describe(info *jetstream.StreamInfo) streams.Info {
	st := info.State
	if st.Msgs == 0 { // a new stream says 0
		st.FirstSeq, st.FirstTime = st.LastSeq+1, time.Time{}
	}
	var mirror string
	if m := info.Config.Mirror; m != nil {
		mirror = m.Name
	}
	var sources []string
	for _, s := range info.Config.Sources {
		sources = append(sources, s.Name)
	}
	return streams.Info{
		Name: info.Config.Name, Subjects: info.Config.Subjects, Created: info.Created,
		First: st.FirstSeq, Last: st.LastSeq, Events: st.Msgs, FirstTime: st.FirstTime, LastTime: st.LastTime,
		Mirror: mirror, Sources: sources, Transformed: info.Config.SubjectTransform != nil,
	}
}

// Usable fails with ErrUnusable for streams that lose events by design.
func Usable(c jetstream.StreamConfig) error {
	switch {
	case c.Retention == jetstream.WorkQueuePolicy:
		return fmt.Errorf("%w: %s has work-queue retention, which deletes an event once it is acknowledged; source it into a stream with retention limits and project that one", ErrUnusable, c.Name)
	case c.Retention == jetstream.InterestPolicy:
		return fmt.Errorf("%w: %s has interest retention, which keeps only what a consumer still waits for; use a stream with retention limits", ErrUnusable, c.Name)
	case c.MaxMsgsPerSubject > 0:
		return fmt.Errorf("%w: %s keeps only %d event(s) for each subject (max_msgs_per_subject), so it is not a log; set that to -1", ErrUnusable, c.Name, c.MaxMsgsPerSubject)
	}
	return nil
}

// Event implements streams.Source.
func (s *Source) Event(ctx context.Context, stream string, sequence uint64) (abi.Record, error) {
	ctx, cancel := s.limited(ctx, stream)
	defer cancel()
	st, err := s.stream(ctx, stream)
	if err != nil {
		return abi.Record{}, err
	}
	m, err := st.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return abi.Record{}, fmt.Errorf("%w: %d in stream %s", streams.ErrNoEvent, sequence, stream)
	}
	if err != nil {
		return abi.Record{}, s.failed(fmt.Sprintf("get event %d of stream %s", sequence, stream), err)
	}
	return record(m), nil
}

func record(m *jetstream.RawStreamMsg) abi.Record {
	return abi.Record{
		Sequence: m.Sequence, TimeNs: m.Time.UnixNano(), Subject: []byte(m.Subject),
		Headers: appendHeaders(nil, m.Header), Data: m.Data,
	}
}

// next returns the first event that a stream holds at or after a sequence; nil when
// there is none.
func (s *Source) next(ctx context.Context, stream jetstream.Stream, sequence uint64) (*jetstream.RawStreamMsg, error) {
	m, err := stream.GetMsg(ctx, sequence, jetstream.WithGetMsgSubject(">"))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, s.failed(fmt.Sprintf("get the event after %d of stream %s", sequence-1, stream.CachedInfo().Config.Name), err)
	}
	return m, nil
}

// SequenceAt implements streams.Source.
func (s *Source) SequenceAt(ctx context.Context, stream string, t time.Time) (uint64, error) {
	info, err := s.Stream(ctx, stream)
	if err != nil {
		return 0, err
	}
	if info.Events == 0 || t.After(info.LastTime) {
		return info.Last + 1, nil
	}
	ctx, cancel := s.limited(ctx, stream)
	defer cancel()
	c, err := s.js.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &t,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return 0, s.failed(fmt.Sprintf("find %s in stream %s", t.Format(time.RFC3339), stream), err)
	}
	defer s.js.DeleteConsumer(context.WithoutCancel(ctx), stream, c.CachedInfo().Name)
	if c.CachedInfo().NumPending == 0 { // what was stored since then is deleted
		return info.Last + 1, nil
	}
	m, err := c.Next(jetstream.FetchMaxWait(requestTimeout))
	if err != nil {
		return 0, s.failed(fmt.Sprintf("find %s in stream %s", t.Format(time.RFC3339), stream), err)
	}
	meta, err := m.Metadata()
	if err != nil {
		return 0, fmt.Errorf("find %s in stream %s: %w", t.Format(time.RFC3339), stream, err)
	}
	return meta.Sequence.Stream, nil
}

// failed wraps an error of a request, as one of the engine's where it is one.
func (s *Source) failed(what string, err error) error {
	err = s.explain(err)
	switch {
	case errors.Is(err, streams.ErrForbidden):
		return fmt.Errorf("%s: %w", what, err)
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Errorf("%s: %w: create it, or declare it with its subjects in the configuration", what, streams.ErrNoStream)
	case errors.Is(err, jetstream.ErrInvalidStreamName): // none can be called so
		return fmt.Errorf("%s: %w", what, streams.ErrNoStream)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return fmt.Errorf("%s: the server has JetStream switched off: %w", what, err)
	case errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("%s: %w: JetStream is switched off there, or not ready yet: %w", what, streams.ErrSourceDown, err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout),
		errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrDisconnected):
		return fmt.Errorf("%s: %w: %w", what, streams.ErrSourceDown, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
