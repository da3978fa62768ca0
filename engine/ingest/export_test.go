package ingest

import "gnomon/engine"

// Full reports whether a reader holds back an event, of a size in a batch, until
// what it has is taken.
func Full(r engine.Reader, size int) bool {
	own := r.(*reader)
	own.mu.Lock()
	defer own.mu.Unlock()
	return own.full(size)
}
