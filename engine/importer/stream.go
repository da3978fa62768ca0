package importer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine"
)

// window is how many events may be on their way to the server at once.
const window = 2048

// Stream appends to a JetStream stream. It implements Sink, for one goroutine.
type Stream struct {
	js       jetstream.JetStream
	name     string
	subjects []string
	known    map[[16]byte]struct{} // hashes of the ids that the stream holds or was sent
	pending  []jetstream.PubAckFuture
	counts   Counts
	maxBytes int64
}

var _ Sink = (*Stream)(nil)

// OpenStream prepares appending to a stream. It reads the ids of the events that
// the stream holds, 16 bytes of memory and more for each: the server itself
// remembers them only for its duplicate window.
func OpenStream(ctx context.Context, js jetstream.JetStream, name string) (*Stream, error) {
	st, err := js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("stream %s does not exist: declare it in the configuration, with its subjects", name)
	}
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", name, err)
	}
	info := st.CachedInfo()
	s := &Stream{
		js: js, name: name, subjects: info.Config.Subjects,
		known: make(map[[16]byte]struct{}, info.State.Msgs), maxBytes: js.Conn().MaxPayload(),
	}
	if info.State.Msgs > 0 {
		err = s.readIDs(ctx)
	}
	return s, err
}

// readIDs reads the headers of everything in the stream.
func (s *Stream) readIDs(ctx context.Context) error {
	c, err := s.js.CreateConsumer(ctx, s.name, jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, HeadersOnly: true, MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return fmt.Errorf("read ids of stream %s: %w", s.name, err)
	}
	defer s.js.DeleteConsumer(context.WithoutCancel(ctx), s.name, c.CachedInfo().Name)
	left := c.CachedInfo().NumPending
	done := make(chan struct{})
	consume, err := c.Consume(func(m jetstream.Msg) {
		if left == 0 {
			return
		}
		if id := m.Headers().Get(idHeader); id != "" {
			s.known[hashOf(id)] = struct{}{}
		}
		if left--; left == 0 {
			close(done)
		}
	}, jetstream.PullMaxMessages(5000))
	if err != nil {
		return fmt.Errorf("read ids of stream %s: %w", s.name, err)
	}
	defer func() { consume.Stop(); <-consume.Closed() }()
	if left == 0 {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("read ids of stream %s: %w", s.name, ctx.Err())
	case <-consume.Closed():
		return fmt.Errorf("read ids of stream %s: the consumer ended early", s.name)
	}
}

func hashOf(id string) [16]byte {
	sum := sha256.Sum256([]byte(id))
	return [16]byte(sum[:16])
}

// Append implements Sink.
func (s *Stream) Append(ctx context.Context, e Event) error {
	if err := s.check(e); err != nil {
		return badEvent{err}
	}
	h := hashOf(e.ID)
	if _, there := s.known[h]; there {
		s.counts.Duplicates++
		return nil
	}
	if len(s.pending) == window {
		if err := s.settle(ctx, window/2); err != nil {
			return err
		}
	}
	f, err := s.js.PublishMsgAsync(&nats.Msg{Subject: e.Subject, Header: e.Headers(), Data: e.Data}, jetstream.WithExpectStream(s.name))
	if err != nil {
		return fmt.Errorf("publish %s: %w", e.Subject, err)
	}
	s.known[h] = struct{}{}
	s.pending = append(s.pending, f)
	return nil
}

// check finds out what the server would refuse, or store elsewhere.
func (s *Stream) check(e Event) error {
	size := int64(len(e.Data))
	for name, values := range e.Headers() {
		size += int64(len(name) + len(values[0]) + 4)
	}
	if size > s.maxBytes {
		return fmt.Errorf("event of %d bytes with its headers: the server takes %d (max_payload)", size, s.maxBytes)
	}
	for _, filter := range s.subjects {
		if engine.MatchSubject(filter, []byte(e.Subject)) {
			return nil
		}
	}
	return fmt.Errorf("subject %q is not one of stream %s, which has %q", e.Subject, s.name, s.subjects)
}

// settle waits for the acknowledgements of the first n events on their way.
func (s *Stream) settle(ctx context.Context, n int) error {
	for i, f := range s.pending[:n] {
		select {
		case ack := <-f.Ok():
			s.count(ack)
		case err := <-f.Err():
			s.pending = s.pending[i+1:]
			return fmt.Errorf("publish %s: %w", f.Msg().Subject, err)
		case <-ctx.Done():
			s.pending = s.pending[i:]
			return ctx.Err()
		}
	}
	s.pending = append(s.pending[:0], s.pending[n:]...)
	return nil
}

func (s *Stream) count(ack *jetstream.PubAck) {
	if ack.Duplicate {
		s.counts.Duplicates++
		return
	}
	s.counts.Imported++
	s.counts.Last = max(s.counts.Last, ack.Sequence)
}

// Flush implements Sink. Events that are on their way are waited for also when ctx
// has ended: they may be stored.
func (s *Stream) Flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return s.settle(ctx, len(s.pending))
}

// Counts implements Sink.
func (s *Stream) Counts() Counts { return s.counts }
