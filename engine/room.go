package engine

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Space tells how much room is left where keyspaces are kept.
type Space interface {
	// Free is how many bytes may still be written.
	Free() (uint64, error)
}

// roomEvery is how often the free space is looked at.
const roomEvery = time.Second

// room keeps projections from filling a disk: a store that maps its files dies with
// the process when there is no room for a page. Below the reserve no more events are
// taken; what is read is read on.
type room struct {
	space   Space // nil: nobody watches
	reserve uint64

	mu      sync.Mutex
	free    uint64
	low     bool
	changed chan struct{} // closed, and made anew, when low changes
}

// roomError says that there is less room than the reserve.
type roomError struct{ free, reserve uint64 }

func (e *roomError) Error() string {
	return fmt.Sprintf("the disk has %d MiB left, and %d MiB are kept free (disk_reserve)", e.free>>20, e.reserve>>20)
}

func newRoom(s Space, reserve uint64) *room {
	r := &room{space: s, reserve: reserve, changed: make(chan struct{})}
	r.look()
	return r
}

// run looks at the free space until ctx ends.
func (r *room) run(ctx context.Context) {
	if r.space == nil || r.reserve == 0 {
		return
	}
	t := time.NewTicker(roomEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			r.look()
		}
	}
}

// look finds out whether there is room. Once there was none, it takes a tenth more than
// the reserve for there to be some again. When it cannot be found out nothing changes.
func (r *room) look() {
	if r.space == nil || r.reserve == 0 {
		return
	}
	free, err := r.space.Free()
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free = free
	low := free < r.reserve || r.low && free < r.reserve+r.reserve/10
	if low != r.low {
		r.low = low
		close(r.changed)
		r.changed = make(chan struct{})
	}
}

// full returns a *roomError when there is no room.
func (r *room) full() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.low {
		return nil
	}
	return &roomError{r.free, r.reserve}
}

// measured is how much room there is, and how much is kept; 0: nobody looks.
func (r *room) measured() (free, reserve uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.free, r.reserve
}

// await waits until there is room, or ctx ends.
func (r *room) await(ctx context.Context) {
	for {
		r.mu.Lock()
		low, changed := r.low, r.changed
		r.mu.Unlock()
		if !low || !wait(ctx, changed) {
			return
		}
	}
}

// awaitRoom commits what was applied, and waits until more may be written.
func (s *session) awaitRoom(ctx context.Context, full error) error {
	if err := s.commitAll(ctx); err != nil {
		return err
	}
	s.enter(Stalled, full.Error(), "make room: it goes on by itself; what is committed can be read meanwhile")
	s.log.Warn("no more events are taken", "reason", full)
	s.room.await(ctx)
	return ctx.Err()
}
