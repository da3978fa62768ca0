package query

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"gnomon/engine"
	"gnomon/engine/query/wire"
)

// statusEvery is how often the status of projections is looked at for those who follow it,
// and so how often at most they are told of it.
const statusEvery = time.Second

// statuses is the status of all projections, read once for everybody who follows it, as
// often as that is, and not at all while nobody does.
type statuses struct {
	read  func() []engine.Status
	every time.Duration

	mu        sync.Mutex
	followers int
	stop      chan struct{} // closed when the last of them has gone
	newest    []engine.Status
	next      chan struct{} // closed when there is a newer reading
}

func newStatuses(read func() []engine.Status) *statuses {
	return &statuses{read: read, every: statusEvery, next: make(chan struct{})}
}

// begin counts a follower in. It calls end when it goes.
func (s *statuses) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.followers++; s.followers == 1 {
		s.stop = make(chan struct{})
		s.newest = s.read()
		go s.poll(s.stop)
	}
}

func (s *statuses) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.followers--; s.followers == 0 {
		close(s.stop)
	}
}

func (s *statuses) poll(stop <-chan struct{}) {
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		s.renew(s.read(), stop)
	}
}

// renew takes a reading, unless those for whom it was have gone meanwhile.
func (s *statuses) renew(all []engine.Status, stop <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-stop:
		return
	default:
	}
	s.newest = all
	close(s.next)
	s.next = make(chan struct{})
}

// look returns the newest reading, and what is closed when there is another one.
func (s *statuses) look() ([]engine.Status, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newest, s.next
}

// followsStatus reports whether a request for a status is to be told whenever it changes.
func followsStatus(w http.ResponseWriter, r *http.Request) bool {
	w.Header().Add("Vary", "Accept")
	return strings.Contains(r.Header.Get("Accept"), "text/event-stream")
}

// follow answers with what choose makes of the status of all projections, at once and
// whenever it is another one, until the client goes, or may not read it any more, or
// choose fails. What choose fails with first is the answer.
func (s *Server) follow(w http.ResponseWriter, r *http.Request, choose func(*http.Request, []engine.Status) (any, error)) {
	out := s.newEventWriter(w, r)
	if r.Method == http.MethodHead {
		out.header()
		return
	}
	ctx, end, ok := s.beginWatch(w, r)
	if !ok {
		return
	}
	defer end()
	s.statuses.begin()
	defer s.statuses.end()
	beat := time.NewTicker(s.beat)
	defer beat.Stop()
	f := &follower{eventWriter: out, choose: choose}
	for {
		all, next := s.statuses.look()
		if err := f.tell(all); err != nil {
			f.end(err)
			return
		}
		select {
		case <-ctx.Done():
			f.end(ctx.Err())
			return
		case <-next:
		case <-beat.C:
			if firstOf(out.comment(), out.flush()) != nil {
				return // the client is gone
			}
		}
	}
}

// follower is a client that is told of the status of projections.
type follower struct {
	*eventWriter
	choose func(*http.Request, []engine.Status) (any, error)
	told   []byte
}

// tell sends what the client may read of the status, if it is not what it was told last.
func (f *follower) tell(all []engine.Status) error {
	r, ok := f.server.identify(f.request)
	if !ok || !needOf(r).granted(rightsOf(r)) {
		return errRevoked
	}
	v, err := f.choose(r, all)
	if err != nil {
		return err
	}
	b, err := wire.Marshal(v)
	if err != nil || bytes.Equal(b, f.told) {
		return err
	}
	f.told = b
	return firstOf(f.put("status", b), f.flush())
}

// end tells the client why there is no more.
func (f *follower) end(err error) {
	f.eventWriter.end(err, func(reason string) error {
		b, _ := wire.Marshal(wire.Ended{Reason: reason}) // a string always can be
		return f.put("end", b)
	})
}

// followAll follows the status of all projections that the client may read.
func (s *Server) followAll(w http.ResponseWriter, r *http.Request) {
	s.follow(w, r, func(r *http.Request, all []engine.Status) (any, error) {
		return s.all(r, all), nil
	})
}

// followOne follows the status of one. Of a generation by its role it is asked for, as that
// of all projections does not have it.
func (s *Server) followOne(w http.ResponseWriter, r *http.Request, name string) {
	if _, err := s.engine.Status(name); err != nil {
		failed(w, err)
		return
	}
	s.follow(w, r, func(_ *http.Request, all []engine.Status) (any, error) {
		if i := slices.IndexFunc(all, func(st engine.Status) bool { return st.Projection == name }); i >= 0 {
			return all[i], nil
		}
		return s.engine.Status(name)
	})
}

// beginWatch counts a watch in, or answers that there are as many as may be. Its context ends
// with the request, and when the server is about to close. The caller calls end.
func (s *Server) beginWatch(w http.ResponseWriter, r *http.Request) (ctx context.Context, end func(), ok bool) {
	if !s.watches.begin() {
		w.Header().Set("Retry-After", "5")
		problem(w, http.StatusServiceUnavailable, wire.CodeTooManyWatches, fmt.Sprintf("there are %d watches, and no more may be", s.watches.most), "watch with one client for several, or raise http.max_watches")
		return nil, nil, false
	}
	ctx, cancel := context.WithCancel(r.Context())
	forget := context.AfterFunc(s.closing, cancel)
	return ctx, func() { forget(); cancel(); s.watches.end() }, true
}
