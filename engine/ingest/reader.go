package ingest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

const (
	// keptBatches is how many batches that were given back are kept for use.
	keptBatches = 16
	// inactive is how long the server keeps the consumer of an engine that is gone.
	inactive = 5 * time.Minute
)

// reader pulls events through an ephemeral consumer without acknowledgements and
// lays them out as they come. It implements streams.Reader.
type reader struct {
	source   *Source
	stream   string
	consumer jetstream.Consumer
	pull     *pull
	limit    streams.ReadLimit
	ready    chan struct{} // of capacity 1
	broken   chan nats.Status
	stop     chan struct{}   // closed by Close
	allowed  context.Context // ended when the server refuses requests for events
	release  context.CancelFunc

	mu       sync.Mutex
	room     sync.Cond        // there is room in filling, or the reader has ended
	filling  *streams.Batch   // by the subscription's goroutine
	held     bool             // it waits for room
	heard    bool             // something came since the last beat
	free     []*streams.Batch // given back
	headers  []byte           // buffer
	received uint64           // consumer sequence of the last event
	last     uint64           // stream sequence of the last event; before the first, that before the start
	err      error            // why the reader ended
	closed   bool
}

// Read implements streams.Source. It refuses to begin after the stream's next event:
// the server would wait in silence.
func (s *Source) Read(ctx context.Context, stream string, from uint64, limit streams.ReadLimit) (streams.Reader, error) {
	ctx, cancel := s.limited(ctx, stream)
	defer cancel()
	st, err := s.stream(ctx, stream)
	if err != nil {
		return nil, err
	}
	if last := st.CachedInfo().State.LastSeq; from > last+1 {
		return nil, fmt.Errorf("stream %s ends at %d, reading cannot begin at %d", stream, last, from)
	}
	r := &reader{
		source: s, stream: stream, limit: limit, ready: make(chan struct{}, 1), stop: make(chan struct{}),
		filling: &streams.Batch{}, last: max(from, 1) - 1,
	}
	r.room.L = &r.mu
	r.broken = s.js.Conn().StatusChanged(nats.RECONNECTING, nats.CLOSED)
	if err := r.start(ctx); err != nil {
		s.js.Conn().RemoveStatusListener(r.broken)
		return nil, err
	}
	go r.watch()
	return r, nil
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
	r.allowed, r.release = s.permitted(context.Background(), r.consumer.CachedInfo().Name)
	r.pull, err = openPull(s.js, r.stream, r.consumer.CachedInfo().Name, r.receive)
	if err != nil {
		r.release()
		return s.failed(fmt.Sprintf("read stream %s", r.stream), err)
	}
	return nil
}

// watch ends the reader when the connection breaks, or nothing is heard of the server.
// What was on its way then is lost, the server does not send it again, and at the
// end of a stream no later event would show that.
func (r *reader) watch() {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	defer r.release()
	for silent := 0; silent < 2; {
		select {
		case <-r.stop:
			return
		case <-r.broken:
			r.trouble(nats.ErrDisconnected)
			return
		case <-r.allowed.Done():
			r.trouble(r.allowed.Err())
			return
		case <-beat.C:
			if silent++; r.hears() {
				silent = 0
			}
		}
	}
	r.trouble(fmt.Errorf("%w for %s", jetstream.ErrNoHeartbeat, 2*heartbeat))
}

// hears reports whether something came since the last time, or is not listened to.
func (r *reader) hears() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	heard := r.heard || r.held
	r.heard = false
	return heard
}

// receive takes what comes from the server, in the subscription's goroutine, and
// holds that up while the batch is full.
func (r *reader) receive(m *nats.Msg, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heard = true
	if err == nil && m.Reply != "" {
		err = r.appendLocked(m)
	}
	if err != nil {
		r.endLocked(r.source.explain(err))
	}
}

// appendLocked appends an event to the batch.
func (r *reader) appendLocked(m *nats.Msg) error {
	meta, ok := parseReply(m.Reply)
	if !ok {
		return fmt.Errorf("event with the unknown reply subject %q", m.Reply)
	}
	if meta.consumerSeq != r.received+1 {
		return fmt.Errorf("event %d of the consumer came after %d", meta.consumerSeq, r.received)
	}
	if isMarker(m) {
		r.received, r.last = meta.consumerSeq, meta.streamSeq
		r.filling.Pass(meta.streamSeq)
		r.filling.Pending = meta.pending
		r.signal()
		return nil
	}
	r.headers = appendHeaders(r.headers[:0], m.Header)
	size := abi.RecordSize(len(m.Subject), len(r.headers), len(m.Data), 0)
	for r.full(size) && r.err == nil && !r.closed {
		r.held = true
		r.room.Wait()
		r.held = false
	}
	if r.err != nil || r.closed {
		return nil
	}
	r.received, r.last = meta.consumerSeq, meta.streamSeq
	r.filling.AppendParts(meta.streamSeq, meta.timeNs, m.Subject, r.headers, m.Data)
	r.filling.Pending = meta.pending
	r.signal()
	return nil
}

// full reports whether a record of a size has to wait for the next batch.
func (r *reader) full(size int) bool {
	b := r.filling
	return b.Count > 0 && (b.Count >= r.limit.Events || len(b.Records)+size > r.limit.Bytes)
}

// trouble ends the reader.
func (r *reader) trouble(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endLocked(r.source.explain(err))
}

func (r *reader) endLocked(err error) {
	if r.err == nil && !r.closed {
		r.err = fmt.Errorf("%w: stream %s: %w", streams.ErrReaderLost, r.stream, err)
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

// Ready implements streams.Reader.
func (r *reader) Ready() <-chan struct{} { return r.ready }

// Take implements streams.Reader.
func (r *reader) Take() (*streams.Batch, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.emptyLocked() {
		return nil, r.err
	}
	taken := r.filling
	r.filling = r.freeLocked()
	r.room.Broadcast()
	if r.err != nil {
		r.signal() // the error is for the next Take
	}
	return taken, nil
}

// emptyLocked reports whether there is nothing to take.
func (r *reader) emptyLocked() bool { return r.filling.Count == 0 && r.filling.Markers == 0 }

func (r *reader) freeLocked() *streams.Batch {
	n := len(r.free)
	if n == 0 {
		return &streams.Batch{}
	}
	b := r.free[n-1]
	r.free = r.free[:n-1]
	return b
}

// Release implements streams.Reader.
func (r *reader) Release(b *streams.Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.free) < keptBatches {
		b.Reset()
		r.free = append(r.free, b)
	}
}

// CaughtUp implements streams.Reader. The stream is asked first: what it held then
// has been taken, or is gone, if it holds nothing between the last event taken and
// there. What the consumer says to be pending does not tell: the server counts an
// event there only a moment after it has stored it.
func (r *reader) CaughtUp(ctx context.Context) (through uint64, ok bool, err error) {
	ctx, cancel := r.source.limited(ctx, r.stream)
	defer cancel()
	stream, err := r.source.stream(ctx, r.stream)
	if err != nil {
		return 0, false, err
	}
	if _, err := r.consumer.Info(ctx); err != nil {
		return 0, false, fmt.Errorf("%w: %w", streams.ErrReaderLost, r.source.failed("ask for consumer", err))
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
	if r.err != nil || !r.emptyLocked() {
		return 0, r.err
	}
	return r.last + 1, nil
}

// Close implements streams.Reader.
func (r *reader) Close() {
	r.mu.Lock()
	closed := r.closed
	r.closed = true
	r.room.Broadcast()
	r.mu.Unlock()
	if closed {
		return
	}
	close(r.stop)
	r.source.js.Conn().RemoveStatusListener(r.broken)
	r.pull.close()
	// The server removes the consumer by itself when nobody uses it; this is only
	// sooner.
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = r.source.js.DeleteConsumer(ctx, r.stream, r.consumer.CachedInfo().Name)
}
