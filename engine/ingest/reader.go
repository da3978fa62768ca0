package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine"
	"gnomon/sdk/abi"
)

const (
	// pullEvents is how many events are asked for ahead: measured as the best for a
	// consumer without acknowledgements.
	pullEvents = 5000
	// pullBytes bounds what they may weigh in this process. It exceeds the largest
	// message that a server takes by default.
	pullBytes = 16 << 20
	// heartbeat is how often the server is to say that it is there; two missed ones
	// lose the reader.
	heartbeat = 5 * time.Second
	// inactive is how long the server keeps the consumer of an engine that is gone.
	inactive = 5 * time.Minute
)

// reader pulls events through an ephemeral consumer without acknowledgements and
// lays them out as they come. It implements engine.Reader.
type reader struct {
	source   *Source
	stream   string
	consumer jetstream.Consumer
	consume  jetstream.ConsumeContext
	limit    engine.ReadLimit
	ready    chan struct{} // of capacity 1

	mu       sync.Mutex
	room     sync.Cond     // there is room in filling, or the reader has ended
	filling  *engine.Batch // by the consumer's goroutine
	taken    *engine.Batch // the runner's until its next Take
	headers  []byte        // buffer
	received uint64        // consumer sequence of the last event
	err      error         // why the reader ended
	closed   bool
}

// Read implements engine.Source. It refuses to begin after the stream's next event:
// the server would wait in silence.
func (s *Source) Read(ctx context.Context, stream string, from uint64, limit engine.ReadLimit) (engine.Reader, error) {
	info, err := s.Stream(ctx, stream)
	if err != nil {
		return nil, err
	}
	if from > info.Last+1 {
		return nil, fmt.Errorf("stream %s ends at %d, reading cannot begin at %d", stream, info.Last, from)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	c, err := s.js.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(from, 1),
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: inactive,
		Description: "gnomon", Metadata: map[string]string{"gnomon.from": fmt.Sprint(from)},
	})
	if err != nil {
		return nil, s.failed(fmt.Sprintf("create consumer of stream %s", stream), err)
	}
	r := &reader{
		source: s, stream: stream, consumer: c, limit: limit, ready: make(chan struct{}, 1),
		filling: &engine.Batch{}, taken: &engine.Batch{},
	}
	r.room.L = &r.mu
	r.consume, err = c.Consume(r.receive,
		jetstream.PullMaxMessagesWithBytesLimit(pullEvents, pullBytes),
		jetstream.PullHeartbeat(heartbeat),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) { r.trouble(err) }))
	if err != nil {
		return nil, s.failed(fmt.Sprintf("consume stream %s", stream), err)
	}
	return r, nil
}

// receive takes one event from the consumer's goroutine, and holds that up while
// the batch is full.
func (r *reader) receive(m jetstream.Msg) {
	meta, ok := parseReply(m.Reply())
	r.mu.Lock()
	defer r.mu.Unlock()
	if !ok {
		r.endLocked(fmt.Errorf("event with the unknown reply subject %q", m.Reply()))
	} else if meta.consumerSeq != r.received+1 {
		r.endLocked(fmt.Errorf("event %d of the consumer came after %d", meta.consumerSeq, r.received))
	}
	r.headers = appendHeaders(r.headers[:0], m.Headers())
	size := abi.RecordSize(len(m.Subject()), len(r.headers), len(m.Data()), 0)
	for r.full(size) && r.err == nil && !r.closed {
		r.room.Wait()
	}
	if r.err != nil || r.closed {
		return
	}
	r.received = meta.consumerSeq
	r.filling.AppendParts(meta.streamSeq, meta.timeNs, m.Subject(), r.headers, m.Data())
	r.filling.Pending = meta.pending
	r.signal()
}

// full reports whether a record of a size has to wait for the next batch.
func (r *reader) full(size int) bool {
	b := r.filling
	return b.Count > 0 && (b.Count >= r.limit.Events || len(b.Records)+size > r.limit.Bytes)
}

// trouble notes what the consumer reports. After a change of its leader it goes
// on, and a loss shows in the consumer's sequence.
func (r *reader) trouble(err error) {
	if errors.Is(err, jetstream.ErrConsumerLeadershipChanged) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endLocked(r.source.explain(err))
}

func (r *reader) endLocked(err error) {
	if r.err == nil && !r.closed {
		r.err = fmt.Errorf("%w: stream %s: %w", engine.ErrReaderLost, r.stream, err)
	}
	r.room.Broadcast()
	r.signal()
}

func (r *reader) signal() {
	select {
	case r.ready <- struct{}{}:
	default:
	}
}

// Ready implements engine.Reader.
func (r *reader) Ready() <-chan struct{} { return r.ready }

// Take implements engine.Reader.
func (r *reader) Take() (*engine.Batch, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.filling.Count == 0 {
		return nil, r.err
	}
	r.taken.Reset()
	r.filling, r.taken = r.taken, r.filling
	r.room.Broadcast()
	if r.err != nil {
		r.signal() // the error is for the next Take
	}
	return r.taken, nil
}

// CaughtUp implements engine.Reader. The stream is asked first: what it held then
// was delivered if the consumer, asked after it, has nothing more.
func (r *reader) CaughtUp(ctx context.Context) (uint64, error) {
	stream, err := r.source.Stream(ctx, r.stream)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	info, err := r.consumer.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", engine.ErrReaderLost, r.source.failed("ask for consumer", err))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return 0, r.err
	}
	if info.NumPending > 0 || info.Delivered.Consumer != r.received || r.filling.Count > 0 {
		return 0, nil
	}
	return stream.Last, nil
}

// Close implements engine.Reader.
func (r *reader) Close() {
	r.mu.Lock()
	closed := r.closed
	r.closed = true
	r.room.Broadcast()
	r.mu.Unlock()
	if closed {
		return
	}
	r.consume.Stop()
	<-r.consume.Closed()
	// The server removes the consumer by itself when nobody uses it; this is only
	// sooner.
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = r.source.js.DeleteConsumer(ctx, r.stream, r.consumer.CachedInfo().Name)
}
