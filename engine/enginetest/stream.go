package enginetest

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// Server is a Source in memory, with faults to order. The zero value is ready; its
// methods may be called concurrently.
type Server struct {
	mu      sync.Mutex
	streams map[string]*stream
	readers map[*reader]bool
	down    error
	silent  bool
	skew    time.Duration
	opened  int // readers, ever
	asked   int // times that a reader was asked whether it is caught up
}

type stream struct {
	info   streams.Info
	events map[uint64]abi.Record
}

// Create makes a stream of the subjects "e.>", in place of an older one of that name.
func (s *Server) Create(name string) { s.CreateFor(name, "e.>") }

// CreateFor makes a stream of some subjects, in place of an older one of that name.
func (s *Server) CreateFor(name string, subjects ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams == nil {
		s.streams, s.readers = map[string]*stream{}, map[*reader]bool{}
	}
	s.streams[name] = &stream{
		info:   streams.Info{Name: name, Subjects: subjects, Created: time.Now().UTC(), First: 1},
		events: map[uint64]abi.Record{},
	}
	s.loseLocked("stream removed")
}

// Append stores an event and returns its sequence.
func (s *Server) Append(name, subject string, data []byte) uint64 {
	return s.Store(name, abi.Record{Subject: []byte(subject), Data: data})
}

// Store stores an event with its headers and returns its sequence.
func (s *Server) Store(name string, e abi.Record) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.storeLocked(s.streams[name], e)
}

func (s *Server) storeLocked(st *stream, e abi.Record) uint64 {
	now := time.Now().Add(s.skew)
	st.info.Last++
	st.info.Events++
	st.info.LastTime = now.UTC()
	e.Sequence, e.TimeNs, e.Key = st.info.Last, now.UnixNano(), nil
	st.events[st.info.Last] = e
	for r := range s.readers {
		r.signal()
	}
	return st.info.Last
}

// Delete removes one event.
func (s *Server) Delete(name string, sequence uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.streams[name]
	if _, ok := st.events[sequence]; ok {
		delete(st.events, sequence)
		st.info.Events--
	}
	for st.info.First <= st.info.Last && st.events[st.info.First].Sequence == 0 {
		st.info.First++
	}
}

// Remove removes a stream, with its events.
func (s *Server) Remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, name)
	s.loseLocked("stream deleted")
}

// Purge removes every event before a sequence.
func (s *Server) Purge(name string, before uint64) {
	s.mu.Lock()
	first := s.streams[name].info.First
	s.mu.Unlock()
	for ; first < before; first++ {
		s.Delete(name, first)
	}
}

// Rewind makes a stream lose everything after a sequence, as a restored backup
// does: the numbers are given again.
func (s *Server) Rewind(name string, last uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.streams[name]
	for ; st.info.Last > last; st.info.Last-- {
		delete(st.events, st.info.Last)
	}
	st.info.Events = uint64(len(st.events))
	s.loseLocked("server restarted")
}

// Copy copies a stream as it is, as a backup does; what it returns puts the copy in the place of
// what there is then.
func (s *Server) Copy(name string) (restore func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := stream{info: s.streams[name].info, events: maps.Clone(s.streams[name].events)}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.streams[name] = &stream{info: kept.info, events: maps.Clone(kept.events)}
		s.loseLocked("server restarted")
	}
}

// LoseReaders makes every reader fail.
func (s *Server) LoseReaders() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loseLocked("consumer deleted")
}

func (s *Server) loseLocked(why string) {
	for r := range s.readers {
		r.lost = fmt.Errorf("%w: %s", streams.ErrReaderLost, why)
		r.signal()
	}
}

// SetDown makes every request fail, until it is called with false. Readers that
// are open are lost.
func (s *Server) SetDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = nil
	if down {
		s.down = fmt.Errorf("%w: connection refused", streams.ErrSourceDown)
		s.loseLocked("connection lost")
	}
}

// SetSilent makes readers yield nothing although there is more, until it is called
// with false.
func (s *Server) SetSilent(silent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent = silent
	for r := range s.readers {
		r.signal()
	}
}

// SetSkew makes the server's clock go before or behind: the times of what is stored
// from now on jump by so much.
func (s *Server) SetSkew(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skew = d
}

// Readers tells how many readers were opened, and how many are open.
func (s *Server) Readers() (opened, open int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened, len(s.readers)
}

// Asked tells how often readers were asked whether they are caught up.
func (s *Server) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// stream returns a stream, or why there is none. The lock is held.
func (s *Server) streamLocked(name string) (*stream, error) {
	if s.down != nil {
		return nil, s.down
	}
	if st := s.streams[name]; st != nil {
		return st, nil
	}
	return nil, fmt.Errorf("%w: %s", streams.ErrNoStream, name)
}

// Stream implements streams.Source.
func (s *Server) Stream(_ context.Context, name string) (streams.Info, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.streamLocked(name)
	if err != nil {
		return streams.Info{}, err
	}
	info := st.info
	if first, ok := st.events[info.First]; ok {
		info.FirstTime = time.Unix(0, first.TimeNs).UTC()
	}
	return info, nil
}

// Event implements streams.Source.
func (s *Server) Event(_ context.Context, name string, sequence uint64) (abi.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.streamLocked(name)
	if err != nil {
		return abi.Record{}, err
	}
	e, ok := st.events[sequence]
	if !ok {
		return e, fmt.Errorf("%w: %d", streams.ErrNoEvent, sequence)
	}
	return e, nil
}

// SequenceAt implements streams.Source.
func (s *Server) SequenceAt(_ context.Context, name string, t time.Time) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.streamLocked(name)
	if err != nil {
		return 0, err
	}
	for seq := st.info.First; seq <= st.info.Last; seq++ {
		if e, ok := st.events[seq]; ok && e.TimeNs >= t.UnixNano() {
			return seq, nil
		}
	}
	return st.info.Last + 1, nil
}

// Read implements streams.Source.
func (s *Server) Read(_ context.Context, name string, from uint64, limit streams.ReadLimit) (streams.Reader, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.streamLocked(name)
	if err != nil {
		return nil, err
	}
	r := &reader{server: s, stream: st, next: from, limit: limit, ready: make(chan struct{}, 1)}
	s.readers[r] = true
	s.opened++
	r.signal()
	return r, nil
}

type reader struct {
	server *Server
	stream *stream
	next   uint64
	limit  streams.ReadLimit
	ready  chan struct{}
	lost   error
	batch  *streams.Batch
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
	r.server.mu.Lock()
	defer r.server.mu.Unlock()
	if r.lost != nil {
		return nil, r.lost
	}
	if r.server.silent {
		return nil, nil
	}
	r.batch = new(streams.Batch)
	for ; r.next <= r.stream.info.Last && r.batch.Count < r.limit.Events; r.next++ {
		e, ok := r.stream.events[r.next]
		if !ok {
			continue
		}
		if r.batch.Count > 0 && len(r.batch.Records)+e.Size() > r.limit.Bytes {
			break
		}
		r.batch.Append(&e)
	}
	if r.batch.Count == 0 {
		return nil, nil
	}
	r.batch.Pending = r.pendingLocked()
	if r.batch.Pending > 0 {
		r.signal()
	}
	return r.batch, nil
}

func (r *reader) pendingLocked() (n uint64) {
	for seq := r.next; seq <= r.stream.info.Last; seq++ {
		if _, ok := r.stream.events[seq]; ok {
			n++
		}
	}
	return n
}

// Release implements streams.Reader.
func (r *reader) Release(*streams.Batch) {}

// CaughtUp implements streams.Reader.
func (r *reader) CaughtUp(context.Context) (through uint64, ok bool, err error) {
	r.server.mu.Lock()
	defer r.server.mu.Unlock()
	r.server.asked++
	switch {
	case r.lost != nil:
		return 0, false, r.lost
	case r.server.down != nil:
		return 0, false, r.server.down
	}
	return r.stream.info.Last, r.pendingLocked() == 0, nil
}

// Close implements streams.Reader.
func (r *reader) Close() {
	r.server.mu.Lock()
	defer r.server.mu.Unlock()
	delete(r.server.readers, r)
}
