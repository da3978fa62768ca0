package ingest

import "gnomon/engine/streams"

// Full reports whether a reader holds back an event, of a size in a batch, until
// what it has is taken.
func Full(r streams.Reader, size int) bool {
	own := r.(*reader)
	own.mu.Lock()
	defer own.mu.Unlock()
	return own.full(size)
}
