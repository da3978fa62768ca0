package streams

import (
	"time"

	"gnomon/sdk/abi"
)

// Facts describe a stream for people: what its server says of it.
type Facts struct {
	Name     string    `json:"stream"`
	Subjects []string  `json:"subjects"`
	Created  time.Time `json:"created_at"`

	First     uint64    `json:"first_seq"` // sequence of the first event it holds; LastSeq+1 when it is empty
	Last      uint64    `json:"last_seq"`  // sequence of the last event it ever stored; 0 before the first
	FirstTime time.Time `json:"first_time,omitzero"`
	LastTime  time.Time `json:"last_time,omitzero"`
	Events    uint64    `json:"events"`       // that it holds
	Bytes     uint64    `json:"bytes"`        // that they take
	Distinct  uint64    `json:"num_subjects"` // subjects that its events have
	Consumers int       `json:"consumers"`
	Retention string    `json:"retention"` // limits, interest, workqueue
	Storage   string    `json:"storage"`   // file, memory
	Replicas  int       `json:"replicas"`

	// Bounds; 0: none.
	MaxAge    float64 `json:"max_age_seconds"`
	MaxBytes  int64   `json:"max_bytes"`
	MaxEvents int64   `json:"max_events"`
	// Duplicates is the window in which the server drops events with a known id.
	Duplicates float64 `json:"duplicate_window_seconds"`

	Mirror  string   `json:"mirror,omitempty"`  // the stream that it is a mirror of
	Sources []string `json:"sources,omitempty"` // streams that it gets its events from
}

// Query asks for a stretch of a stream: the events after a sequence, or the last ones
// before another. Exactly one of the two is said.
type Query struct {
	Stream  string
	After   uint64 // the first events after it; with Before 0
	Before  uint64 // the last events before it
	Subject string // only events of this subject, with wildcards; empty: all
	Limit   ReadLimit
}

// Page is a stretch of a stream, in its order. It holds every event from a sequence
// through another that was asked for, both included, unless From is after Through: then
// nothing is left in that direction.
type Page struct {
	From, Through uint64
	Events        []abi.Record
}
