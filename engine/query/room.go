package query

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"

	"gnomon/engine/query/wire"
)

const (
	// A value of 1 MiB is there as it was read and as it is sent; a page several times
	// while it is encoded, which base64 makes longer by a third.
	getBytes  = 2 << 20
	pageBytes = 4 * maxPage
	// What all values, all pages and all explanations may take at once. They do not share it:
	// pages that nobody takes must not keep keys from being read.
	getsRoom     = 128 << 20
	pagesRoom    = 128 << 20
	explainsRoom = 64 << 20 // each as much as a page: it has as many bytes of values, twice
	// maxRowStreams is how many streams of rows there may be at once. Each has a version, an
	// iterator and a buffer.
	maxRowStreams = 64
	// maxStream is how long one may take: what is written meanwhile has to be kept beside
	// the version that it reads.
	maxStream = 15 * time.Minute
	// maxPageTime is how long a page may be looked for before it ends where it is.
	maxPageTime = 2 * time.Second
	// roomPatience is how long a request waits for room.
	roomPatience = 5 * time.Second
	// heldRate is how fast a client has to take an answer that is held in memory, once its
	// first slowClient is over.
	heldRate = 64 << 10 // bytes a second
)

// room bounds the memory of answers. A request takes as much as its answer may need before
// it reads, and gives back what it did not when the answer is made: until the client has
// taken it, which may be slow, it counts with what it has.
type room struct {
	of   *semaphore.Weighted
	each int64 // bytes that an answer may need
}

func newRoom(all, each int64) *room { return &room{semaphore.NewWeighted(all), each} }

// place is what an answer takes of the room.
type place struct {
	room *room
	has  int64
}

// take waits for a place, and answers the request when there is none.
func (s *Server) take(w http.ResponseWriter, r *http.Request, room *room) (*place, bool) {
	if room.of.TryAcquire(room.each) { // as nearly always
		return &place{room, room.each}, true
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.roomPatience)
	defer cancel()
	defer context.AfterFunc(s.closing, cancel)()
	if room.of.Acquire(ctx, room.each) != nil {
		w.Header().Set("Retry-After", "1")
		problem(w, http.StatusServiceUnavailable, wire.CodeBusy, fmt.Sprintf("other answers take all the memory that there is for them, and did not come to an end in %s", s.roomPatience),
			"ask again in a moment, and for less: a smaller limit, or a stream of rows")
		return nil, false
	}
	return &place{room, room.each}, true
}

// shrink gives back all but so many bytes.
func (p *place) shrink(bytes int) {
	if rest := p.has - int64(bytes); rest > 0 {
		p.room.of.Release(rest)
		p.has -= rest
	}
}

// sendMade writes an answer that was made in a place. Small ones count for nothing: the
// connection has as much in buffers.
func (p *place) sendMade(w http.ResponseWriter, v any) {
	b, err := wire.Marshal(v)
	if err != nil {
		failed(w, err)
		return
	}
	if len(b) > partBytes {
		p.shrink(len(b))
		hurry(w, len(b))
	} else {
		p.shrink(0)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(b, '\n')) // the client is gone
}

// hurry bounds the time that a client has for a whole answer, which is held meanwhile.
func hurry(w http.ResponseWriter, bytes int) {
	if p := pacedOf(w); p != nil {
		p.end = time.Now().Add(p.patience + time.Duration(bytes)*time.Second/heldRate)
	}
}

// rowStreams bounds how many streams of rows there are.
type rowStreams chan struct{}

func (s rowStreams) begin(w http.ResponseWriter) bool {
	select {
	case s <- struct{}{}:
		return true
	default:
		w.Header().Set("Retry-After", "5")
		problem(w, http.StatusServiceUnavailable, wire.CodeBusy, fmt.Sprintf("there are %d streams of rows, and no more may be", cap(s)), "ask again in a moment, or for pages")
		return false
	}
}

func (s rowStreams) end() { <-s }
