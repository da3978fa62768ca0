package streams

import (
	"context"
	"sync"
	"time"
)

const (
	// FeedBytes is how far the members of a feed may be apart.
	FeedBytes = 16 << 20
	// feedPatience is how long a member may hold up the others, who have nothing left.
	feedPatience = 250 * time.Millisecond
	// gathering is how long a new feed waits for all who are to share it: those that
	// start together, or lost a reader together, would else be one batch too late.
	gathering = 250 * time.Millisecond
	// askedLately is how long a word of the server is good for all members.
	askedLately = time.Second
	// joinAhead is how many sequences ahead of a feed one may join it and wait.
	joinAhead = 100
)

// weight is what a batch takes of memory, even one without events.
func weight(b *Batch) int { return len(b.Records) + 256 }

// feed hands the batches of one reader to many members. It keeps those that some
// member has not taken yet, up to a bound; a member that is behind it is left behind.
type feed struct {
	reader Reader
	cancel context.CancelFunc
	done   chan struct{} // closed when run has returned
	room   chan struct{} // of capacity 1: a member has taken a batch, or left
	all    chan struct{} // of capacity 1: all who were expected have come
	asks   chan struct{} // of capacity 1: who has it may ask the server

	mu      sync.Mutex
	batches []*fed // oldest first
	first   int    // number of the oldest, counted from 0
	bytes   int    // of all of them
	next    uint64 // sequence after those that they hold
	members map[*member]struct{}
	err     error // why the reader ended

	// What the server was asked for last, by who asks.
	asked   time.Time
	through uint64 // there is nothing more up to this sequence
	failed  time.Time
	failure error // that it answered with then, or did not answer
}

// fed is a batch of a feed.
type fed struct {
	batch *Batch
	from  uint64 // sequence after the batch before
	uses  int    // by the feed's list, and by members who work on it
}

// member is one reader of a feed.
type member struct {
	feed  *feed
	ready chan struct{} // of capacity 1
	at    int           // number of the batch that it takes next
	from  uint64        // what comes before is none of its business
	held  *fed          // that it works on
	moved bool          // it was left behind
}

// openFeed starts to read what comes from a sequence on. The reader is the feed's.
func openFeed(r Reader, from uint64) *feed {
	ctx, cancel := context.WithCancel(context.Background())
	f := &feed{reader: r, cancel: cancel, done: make(chan struct{}), room: make(chan struct{}, 1), all: make(chan struct{}, 1), asks: make(chan struct{}, 1), next: from, members: map[*member]struct{}{}}
	go f.run(ctx)
	return f
}

// close ends the reading. All members must have left.
func (f *feed) close() {
	f.cancel()
	<-f.done
	f.reader.Close()
}

func (f *feed) run(ctx context.Context) {
	defer close(f.done)
	f.gather(ctx)
	for f.awaitRoom(ctx) {
		select {
		case <-ctx.Done():
			return
		case <-f.reader.Ready():
		}
		if !f.take() {
			return
		}
	}
}

// begin ends the gathering.
func (f *feed) begin() {
	select {
	case f.all <- struct{}{}:
	default:
	}
}

func (f *feed) gather(ctx context.Context) {
	t := time.NewTimer(gathering)
	defer t.Stop()
	select {
	case <-f.all:
	case <-t.C:
	case <-ctx.Done():
	}
}

// take adds what the reader has, and returns false when that was the last.
func (f *feed) take() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	b, err := f.reader.Take()
	if b != nil {
		f.batches = append(f.batches, &fed{batch: b, from: f.next, uses: 1})
		f.bytes += weight(b)
		f.next = b.Through + 1
		f.trimLocked()
	}
	if f.err == nil {
		f.err = err
	}
	f.signalLocked()
	return f.err == nil
}

// fail makes the reading end with an error.
func (f *feed) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
	f.signalLocked()
	f.cancel()
}

func (f *feed) signalLocked() {
	for m := range f.members {
		m.signal()
	}
}

// awaitRoom waits until the members are close enough together for another batch.
// Those who hold up others are left behind after a while. It returns false at the
// end of ctx.
func (f *feed) awaitRoom(ctx context.Context) bool {
	var patience <-chan time.Time
	for {
		full, hungry := f.crowded()
		if !full {
			return true
		}
		if hungry && patience == nil {
			t := time.NewTimer(feedPatience)
			defer t.Stop()
			patience = t.C
		}
		select {
		case <-ctx.Done():
			return false
		case <-f.room:
		case <-patience:
			f.leaveBehind()
			return true
		}
	}
}

// crowded reports whether there is no room, and whether a member waits for more.
func (f *feed) crowded() (full, hungry bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for m := range f.members {
		hungry = hungry || m.at == f.endLocked()
	}
	return f.bytes >= FeedBytes && len(f.batches) > 1, hungry
}

// leaveBehind drops the older half of the batches, and who has not taken them.
func (f *feed) leaveBehind() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.bytes > FeedBytes/2 && len(f.batches) > 1 {
		f.dropLocked()
	}
	for m := range f.members {
		if m.at < f.first {
			m.moved = true
			m.signal()
		}
	}
}

// endLocked is the number of the batch that comes next.
func (f *feed) endLocked() int { return f.first + len(f.batches) }

// trimLocked drops the batches that everyone has taken. The newest is kept for those
// who are about to join.
func (f *feed) trimLocked() {
	least := f.endLocked()
	for m := range f.members {
		if !m.moved {
			least = min(least, m.at)
		}
	}
	for f.first < least && len(f.batches) > 1 {
		f.dropLocked()
	}
}

// dropLocked drops the oldest batch.
func (f *feed) dropLocked() {
	oldest := f.batches[0]
	f.batches[0] = nil
	f.batches = f.batches[1:]
	f.first++
	f.bytes -= weight(oldest.batch)
	f.unuseLocked(oldest)
}

// unuseLocked gives a batch back to the reader when nobody uses it any more.
func (f *feed) unuseLocked(b *fed) {
	if b.uses--; b.uses == 0 {
		f.reader.Release(b.batch)
	}
}

// ended reports whether the reader has ended.
func (f *feed) ended() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err != nil
}

// coversLocked reports whether a member can join at a sequence.
func (f *feed) coversLocked(sequence uint64) bool {
	oldest := f.next
	if len(f.batches) > 0 {
		oldest = f.batches[0].from
	}
	return f.err == nil && oldest <= sequence && sequence <= f.next+joinAhead
}

// join makes a member that begins at a sequence; nil when the feed does not cover it.
func (f *feed) join(sequence uint64) *member {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.coversLocked(sequence) {
		return nil
	}
	m := &member{feed: f, ready: make(chan struct{}, 1), at: f.endLocked(), from: sequence}
	for m.at > f.first && f.batches[m.at-1-f.first].batch.Through >= sequence {
		m.at--
	}
	f.members[m] = struct{}{}
	m.signal()
	return m
}

// leave ends the membership, and reports whether it was the last one.
func (m *member) leave() (last bool) {
	f := m.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, in := f.members[m]; !in {
		return false
	}
	delete(f.members, m)
	m.releaseLocked()
	f.trimLocked()
	f.signalRoom()
	return len(f.members) == 0
}

func (m *member) signal() {
	select {
	case m.ready <- struct{}{}:
	default:
	}
}

func (f *feed) signalRoom() {
	select {
	case f.room <- struct{}{}:
	default:
	}
}

// Ready implements Reader.
func (m *member) Ready() <-chan struct{} { return m.ready }

// Take implements Reader.
func (m *member) Take() (*Batch, error) {
	f := m.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	m.releaseLocked()
	switch {
	case m.moved:
		return nil, ErrMoved
	case m.at == f.endLocked():
		return nil, f.err
	}
	next := f.batches[m.at-f.first]
	m.at++
	m.held = next
	next.uses++
	f.trimLocked()
	f.signalRoom()
	if m.at < f.endLocked() || f.err != nil {
		m.signal()
	}
	if next.from < m.from {
		if b := next.batch.Since(m.from); b.Count > 0 {
			return b, nil
		}
		return nil, nil
	}
	return next.batch, nil
}

// Release implements Reader.
func (m *member) Release(*Batch) {
	m.feed.mu.Lock()
	defer m.feed.mu.Unlock()
	m.releaseLocked()
}

func (m *member) releaseLocked() {
	if m.held != nil {
		m.feed.unuseLocked(m.held)
		m.held = nil
	}
}

// CaughtUp implements Reader: the feed's reader is, and the member has taken all of
// the feed, before and after the question.
func (m *member) CaughtUp(ctx context.Context) (through uint64, ok bool, err error) {
	if !m.atEnd() {
		return 0, false, nil
	}
	came := time.Now()
	select {
	case m.feed.asks <- struct{}{}:
		defer func() { <-m.feed.asks }()
	case <-ctx.Done():
		return 0, false, ctx.Err()
	}
	through, ok, err = m.feed.ask(ctx, came)
	return through, ok && m.atEnd(), err
}

// ask asks the server how far the feed is, unless that was asked lately and nothing has come
// since: what one member is told at the head of a stream holds for all of them. So does that
// there was no answer, for those who waited for it: they do not wait again, one by one.
func (f *feed) ask(ctx context.Context, came time.Time) (through uint64, ok bool, err error) {
	if time.Since(f.asked) < askedLately && f.through+1 >= f.position() {
		return f.through, true, nil
	}
	if f.failed.After(came) {
		return 0, false, f.failure
	}
	through, ok, err = f.reader.CaughtUp(ctx)
	switch {
	case err == nil && ok:
		f.asked, f.through = time.Now(), through
	case err != nil && ctx.Err() == nil: // not because this one asks no more
		f.failed, f.failure = time.Now(), err
	}
	return through, ok, err
}

// position is the sequence after all that were taken.
func (f *feed) position() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.next
}

func (m *member) atEnd() bool {
	m.feed.mu.Lock()
	defer m.feed.mu.Unlock()
	return !m.moved && m.at == m.feed.endLocked()
}
