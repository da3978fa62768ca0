package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine"
	"gnomon/sdk/abi"
)

const (
	// pullEvents is how many events are asked for ahead: measured as the best for a
	// consumer without acknowledgements.
	pullEvents = 5000
	// pullBytes bounds what they may weigh in this process, unless the server takes
	// larger messages.
	pullBytes = 16 << 20
	// pullExtra is more than a message's subjects add to its payload.
	pullExtra = 64 << 10
	// heartbeat is how often the server is to say that it is there; two missed ones
	// lose the reader.
	heartbeat = 5 * time.Second
	// keptBatches is how many batches that were given back are kept for use.
	keptBatches = 16
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
	broken   chan nats.Status

	mu       sync.Mutex
	room     sync.Cond       // there is room in filling, or the reader has ended
	filling  *engine.Batch   // by the consumer's goroutine
	free     []*engine.Batch // given back
	headers  []byte          // buffer
	received uint64          // consumer sequence of the last event
	last     uint64          // stream sequence of the last event; before the first, that before the start
	err      error           // why the reader ended
	closed   bool
}

// Read implements engine.Source. It refuses to begin after the stream's next event:
// the server would wait in silence.
func (s *Source) Read(ctx context.Context, stream string, from uint64, limit engine.ReadLimit) (engine.Reader, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	st, err := s.stream(ctx, stream)
	if err != nil {
		return nil, err
	}
	if last := st.CachedInfo().State.LastSeq; from > last+1 {
		return nil, fmt.Errorf("stream %s ends at %d, reading cannot begin at %d", stream, last, from)
	}
	r := &reader{
		source: s, stream: stream, limit: limit, ready: make(chan struct{}, 1),
		filling: &engine.Batch{}, last: max(from, 1) - 1,
	}
	r.room.L = &r.mu
	if err := r.takeDisguised(ctx, st); err != nil {
		return nil, err
	}
	r.broken = s.js.Conn().StatusChanged(nats.RECONNECTING, nats.CLOSED)
	if err := r.start(ctx); err != nil {
		s.js.Conn().RemoveStatusListener(r.broken)
		return nil, err
	}
	go r.watch()
	return r, nil
}

// watch ends the reader when the connection breaks. What was on its way then is
// lost, the server does not send it again, and at the end of a stream no later event
// would show that.
func (r *reader) watch() {
	if _, ok := <-r.broken; ok {
		r.trouble(nats.ErrDisconnected)
	}
}

// takeDisguised takes the first events as long as they look like a message of the
// server. The client does not hand these on, so that a reader that meets one later
// is lost; the next one begins with it.
func (r *reader) takeDisguised(ctx context.Context, stream jetstream.Stream) error {
	for {
		m, err := r.source.next(ctx, stream, r.last+1)
		if err != nil || m == nil || !likeStatus(m) {
			return err
		}
		e := record(m)
		if r.full(e.Size()) {
			return nil
		}
		r.filling.Append(&e)
		r.last = e.Sequence
		r.signal()
	}
}

// start creates the consumer, for what follows the last event.
func (r *reader) start(ctx context.Context) (err error) {
	s := r.source
	r.consumer, err = s.js.CreateConsumer(ctx, r.stream, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: r.last + 1,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: inactive,
		Description: "gnomon", Metadata: map[string]string{"gnomon.from": fmt.Sprint(r.last + 1)},
	})
	if err != nil {
		return s.failed(fmt.Sprintf("create consumer of stream %s", r.stream), err)
	}
	r.filling.Pending = r.consumer.CachedInfo().NumPending
	r.consume, err = r.consumer.Consume(r.receive,
		jetstream.PullMaxMessagesWithBytesLimit(pullEvents, max(pullBytes, int(s.js.Conn().MaxPayload())+pullExtra)),
		jetstream.PullHeartbeat(heartbeat),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) { r.trouble(err) }))
	if err != nil {
		return s.failed(fmt.Sprintf("consume stream %s", r.stream), err)
	}
	return nil
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
	r.received, r.last = meta.consumerSeq, meta.streamSeq
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
	taken := r.filling
	r.filling = r.emptyLocked()
	r.room.Broadcast()
	if r.err != nil {
		r.signal() // the error is for the next Take
	}
	return taken, nil
}

func (r *reader) emptyLocked() *engine.Batch {
	n := len(r.free)
	if n == 0 {
		return &engine.Batch{}
	}
	b := r.free[n-1]
	r.free = r.free[:n-1]
	return b
}

// Release implements engine.Reader.
func (r *reader) Release(b *engine.Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.free) < keptBatches {
		b.Reset()
		r.free = append(r.free, b)
	}
}

// CaughtUp implements engine.Reader. The stream is asked first: what it held then
// has been taken, or is gone, if it holds nothing between the last event taken and
// there. What the consumer says to be pending does not tell: the server counts an
// event there only a moment after it has stored it.
func (r *reader) CaughtUp(ctx context.Context) (through uint64, ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	stream, err := r.source.stream(ctx, r.stream)
	if err != nil {
		return 0, false, err
	}
	if _, err := r.consumer.Info(ctx); err != nil {
		return 0, false, fmt.Errorf("%w: %w", engine.ErrReaderLost, r.source.failed("ask for consumer", err))
	}
	taken, err := r.position()
	if err != nil || taken == 0 {
		return 0, false, err
	}
	last := stream.CachedInfo().State.LastSeq
	if taken > last {
		return last, true, nil
	}
	m, err := r.source.next(ctx, stream, taken)
	if err != nil || m != nil && m.Sequence <= last {
		return 0, false, err
	}
	return last, true, nil
}

// position is the sequence after the last event, all up to which are taken; 0 when
// some are not.
func (r *reader) position() (uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil || r.filling.Count > 0 {
		return 0, r.err
	}
	return r.last + 1, nil
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
	r.source.js.Conn().RemoveStatusListener(r.broken)
	r.consume.Stop()
	<-r.consume.Closed()
	// The server removes the consumer by itself when nobody uses it; this is only
	// sooner.
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = r.source.js.DeleteConsumer(ctx, r.stream, r.consumer.CachedInfo().Name)
}
