package query

import "sync"

// requests counts those under way, so that Close can wait for them: http.Server forgets
// a handler as soon as its connection is closed.
type requests struct {
	mu      sync.Mutex
	running int
	ended   chan struct{} // made by end, closed when none is under way
}

// begin counts a request in. After end it counts none in and returns false.
func (r *requests) begin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended != nil {
		return false
	}
	r.running++
	return true
}

// done counts a request out.
func (r *requests) done() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running--
	if r.ended != nil && r.running == 0 {
		close(r.ended)
	}
}

// end lets no more requests begin. The channel is closed when none is under way.
func (r *requests) end() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended == nil {
		r.ended = make(chan struct{})
		if r.running == 0 {
			close(r.ended)
		}
	}
	return r.ended
}

// underWay is how many there are.
func (r *requests) underWay() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.running
}
