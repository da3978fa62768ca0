package importer

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/streams"
)

const (
	// window is how many events may be on their way to the server at once.
	window = 2048
	// pull is how many headers are asked for at once.
	pull = 5000
	// patience is how long the server may take for the next one.
	patience = 10 * time.Second
	// maxHeaders is what a stream takes for all headers of an event.
	maxHeaders = 1<<16 - 1 // bytes
)

// Stream appends to a JetStream stream. It implements Sink, for one goroutine.
type Stream struct {
	js       jetstream.JetStream
	name     string
	subjects []string
	known    map[[16]byte]struct{} // hashes of the ids that the stream holds or was sent
	pending  []jetstream.PubAckFuture
	counts   Counts
	maxBytes int64 // of an event with its headers
	maxBy    string
}

var _ Sink = (*Stream)(nil)

// OpenStream prepares appending to a stream. It reads the ids of the events that
// the stream holds, 16 bytes of memory and more for each: the server itself
// remembers them only for its duplicate window.
func OpenStream(ctx context.Context, js jetstream.JetStream, name string) (*Stream, error) {
	st, err := js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("%w: %s: declare it in the configuration, with its subjects", streams.ErrNoStream, name)
	}
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", name, err)
	}
	info := st.CachedInfo()
	s := &Stream{
		js: js, name: name, subjects: info.Config.Subjects,
		known: make(map[[16]byte]struct{}, info.State.Msgs), maxBytes: js.Conn().MaxPayload(), maxBy: "max_payload of the server",
	}
	if most := int64(info.Config.MaxMsgSize); most > 0 && most < s.maxBytes {
		s.maxBytes, s.maxBy = most, "max_msg_size of the stream"
	}
	if info.State.Msgs > 0 {
		err = s.readIDs(ctx)
	}
	return s, err
}

// readIDs reads the headers of everything in the stream, through requests of its
// own: the client keeps events to itself that look like a message of the server,
// which without their data is any with a status among the headers.
func (s *Stream) readIDs(ctx context.Context) error {
	c, err := s.js.CreateConsumer(ctx, s.name, jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, HeadersOnly: true, MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return fmt.Errorf("read ids of stream %s: %w", s.name, err)
	}
	name := c.CachedInfo().Name
	defer s.js.DeleteConsumer(context.WithoutCancel(ctx), s.name, name)
	inbox := s.js.Conn().NewInbox()
	sub, err := s.js.Conn().SubscribeSync(inbox)
	if err != nil {
		return fmt.Errorf("read ids of stream %s: %w", s.name, err)
	}
	defer sub.Unsubscribe()
	_ = sub.SetPendingLimits(-1, -1) // never more than one pull
	next := jetstream.DefaultAPIPrefix + "CONSUMER.MSG.NEXT." + s.name + "." + name
	for left := c.CachedInfo().NumPending; left > 0; {
		n := min(left, pull)
		if err := s.js.Conn().PublishRequest(next, inbox, fmt.Appendf(nil, `{"batch":%d,"no_wait":true}`, n)); err != nil {
			return fmt.Errorf("read ids of stream %s: %w", s.name, err)
		}
		more, err := s.takeIDs(ctx, sub, n)
		if err != nil {
			return fmt.Errorf("read ids of stream %s: %w", s.name, err)
		}
		if !more {
			return nil
		}
		left -= n
	}
	return nil
}

// takeIDs takes the ids of n events; more is false when the stream has fewer, since
// some were deleted meanwhile.
func (s *Stream) takeIDs(ctx context.Context, sub *nats.Subscription, n uint64) (more bool, _ error) {
	for range n {
		ctx, cancel := context.WithTimeout(ctx, patience)
		m, err := sub.NextMsgWithContext(ctx)
		cancel()
		if err != nil {
			return false, err
		}
		if m.Reply == "" { // the server's word, not an event
			if status := m.Header.Get("Status"); status != "404" && status != "408" {
				return false, fmt.Errorf("the server says %s %s", status, m.Header.Get("Description"))
			}
			return false, nil
		}
		if id := m.Header.Get(idHeader); id != "" {
			s.known[hashOf(id)] = struct{}{}
		}
	}
	return true, nil
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
	f, err := s.js.PublishMsgAsync(&nats.Msg{Subject: e.Subject, Header: e.published(), Data: e.Data}, jetstream.WithExpectStream(s.name))
	if err != nil {
		return fmt.Errorf("publish %s: %w", e.Subject, err)
	}
	s.known[h] = struct{}{}
	s.pending = append(s.pending, f)
	return nil
}

// check finds out what the server would refuse, or store elsewhere.
func (s *Stream) check(e Event) error {
	headers := int64(len("NATS/1.0\r\n") + len("\r\n") + len(jetstream.ExpectedStreamHeader+": \r\n") + len(s.name))
	for name, values := range e.published() {
		for _, value := range values {
			headers += int64(len(name) + len(": \r\n") + len(value))
		}
	}
	if headers > maxHeaders {
		return fmt.Errorf("event with %d bytes of headers: a stream takes %d", headers, maxHeaders)
	}
	if size := headers + int64(len(e.Data)); size > s.maxBytes {
		return fmt.Errorf("event of %d bytes with its headers: at most %d are taken (%s)", size, s.maxBytes, s.maxBy)
	}
	for _, filter := range s.subjects {
		if streams.MatchSubject(filter, []byte(e.Subject)) {
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
// has ended: they may be stored. When its time is up that is for a moment only, for the
// server may have refused some of them, and never says so of each.
func (s *Stream) Flush(ctx context.Context) error {
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			time.AfterFunc(time.Second, cancel)
		}
	})()
	if err := s.settle(flush, len(s.pending)); err != nil {
		return cmp.Or(ctx.Err(), err)
	}
	return nil
}

// Counts implements Sink.
func (s *Stream) Counts() Counts { return s.counts }
