package streams

import (
	"context"
	"errors"
	"sync"

	"gnomon/engine/measure"
)

// Hub is a Source whose readers share: those of one stream that stand close
// together get their events from one reader of the server, a feed. One that is
// behind reads by itself until it has caught up with the feed, and one that falls
// behind leaves it, so that nobody waits long for another.
type Hub struct {
	Source
	limit ReadLimit // of a feed; projections cut what they get to their own

	mu      sync.Mutex
	streams map[string]*sharing
}

// sharing is the feed of one stream.
type sharing struct {
	mu       sync.Mutex // held while a feed is opened
	feed     *feed      // nil when there is none
	expected int        // projections of the stream
	open     int        // readers
}

// ErrMoved says that a reader was left behind by those it shared with, or that an order
// moved the position: a new one opened at the next event goes on at once.
var ErrMoved = errors.New("reader was left behind")

// FeedLimit is what a feed reads at a time.
var FeedLimit = ReadLimit{Events: 4096, Bytes: 1 << 20}

// NewHub makes a Hub of a Source. Its feeds read up to limit at a time.
func NewHub(s Source, limit ReadLimit) *Hub {
	return &Hub{Source: s, limit: limit, streams: map[string]*sharing{}}
}

// Expect announces so many readers more of a stream, or fewer.
func (h *Hub) Expect(stream string, n int) {
	s := h.sharing(stream)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expected += n
}

// Expected is how many readers of a stream are announced.
func (h *Hub) Expected(stream string) int {
	s := h.sharing(stream)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.expected
}

func (h *Hub) sharing(stream string) *sharing {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.streams[stream] == nil {
		h.streams[stream] = &sharing{}
	}
	return h.streams[stream]
}

// Read implements Source. Its readers may also fail with ErrMoved.
func (h *Hub) Read(ctx context.Context, stream string, from uint64, limit ReadLimit) (_ Reader, err error) {
	s := h.sharing(stream)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &hubReader{sharing: s, next: from}
	if r.joinLocked() {
		s.cameLocked()
		return r, nil
	}
	if s.feed != nil && !s.feed.ended() {
		measure.Labelled(ctx, func(ctx context.Context) { r.alone, err = h.Source.Read(ctx, stream, from, limit) }, measure.LabelStage, measure.StageRead)
	} else {
		measure.Relabelled(ctx, func() { err = h.openFeedLocked(ctx, s, stream, from) }, measure.LabelStream, stream, measure.LabelStage, measure.StageRead)
	}
	if err != nil {
		return nil, err
	}
	if r.alone == nil {
		r.joinLocked()
	}
	s.cameLocked()
	return r, nil
}

// openFeedLocked begins a new feed of a stream. The lock is the sharing's.
func (h *Hub) openFeedLocked(ctx context.Context, s *sharing, stream string, from uint64) error {
	reader, err := h.Source.Read(ctx, stream, from, h.limit)
	if err == nil {
		s.feed = openFeed(reader, from)
	}
	return err
}

// cameLocked counts a reader. A new feed begins when all who are expected are there.
func (s *sharing) cameLocked() {
	if s.open++; s.open >= s.expected {
		s.feed.begin()
	}
}

// hubReader is a reader of its own while it is behind, and then a member of the feed.
type hubReader struct {
	sharing *sharing
	alone   Reader // nil once it is a member
	*member
	next uint64 // sequence of the next event, while it is alone
}

// joinLocked joins the feed when that covers what comes next. The lock is the
// sharing's.
func (r *hubReader) joinLocked() bool {
	if r.sharing.feed == nil {
		return false
	}
	m := r.sharing.feed.join(r.next)
	if m == nil {
		return false
	}
	r.member = m
	return true
}

// Ready implements Reader.
func (r *hubReader) Ready() <-chan struct{} {
	if r.alone != nil {
		return r.alone.Ready()
	}
	return r.member.Ready()
}

// Take implements Reader. A reader that has caught up with the feed goes over to it.
func (r *hubReader) Take() (*Batch, error) {
	if r.alone == nil {
		return r.member.Take()
	}
	b, err := r.alone.Take()
	switch {
	case b != nil:
		r.next = b.Through + 1
	case err == nil && r.goOver():
		return r.member.Take()
	}
	return b, err
}

func (r *hubReader) goOver() bool {
	r.sharing.mu.Lock()
	joined := r.joinLocked()
	r.sharing.mu.Unlock()
	if joined {
		r.alone.Close()
		r.alone = nil
	}
	return joined
}

// Release implements Reader.
func (r *hubReader) Release(b *Batch) {
	if r.alone != nil {
		r.alone.Release(b)
	} else {
		r.member.Release(b)
	}
}

// CaughtUp implements Reader.
func (r *hubReader) CaughtUp(ctx context.Context) (through uint64, ok bool, err error) {
	if r.alone != nil && !r.goOver() {
		return r.alone.CaughtUp(ctx)
	}
	return r.member.CaughtUp(ctx)
}

// Close implements Reader. The last member closes the feed.
func (r *hubReader) Close() {
	s := r.sharing
	if r.alone != nil {
		r.alone.Close()
		s.mu.Lock()
		s.open--
		s.mu.Unlock()
		return
	}
	f := r.feed
	s.mu.Lock()
	s.open--
	last := r.leave()
	if last && s.feed == f {
		s.feed = nil
	}
	s.mu.Unlock()
	if last {
		f.close()
	}
}

// Condemn makes everyone who shares a reader get another one.
func Condemn(r Reader, err error) {
	if r, ok := r.(*hubReader); ok && r.alone == nil {
		r.feed.fail(err)
	}
}
