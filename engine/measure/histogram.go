package measure

import (
	"slices"
	"sync/atomic"
	"time"
)

// Histogram counts durations by how long they were. Its methods may be called from any
// goroutine, and take no lock: what is measured is not held up by who reads it.
type Histogram struct {
	bounds []time.Duration // of the buckets, ascending; nobody changes them
	counts []atomic.Uint64 // one for each bound, and one for what is longer
	sum    atomic.Int64    // nanoseconds
}

// NewHistogram makes a histogram of buckets, by their upper bounds, ascending.
func NewHistogram(bounds []time.Duration) Histogram {
	return Histogram{bounds: bounds, counts: make([]atomic.Uint64, len(bounds)+1)}
}

// Observe counts a duration. One that is negative, as clocks that differ make it, counts
// as 0.
func (h *Histogram) Observe(d time.Duration) {
	d = max(d, 0)
	i, _ := slices.BinarySearch(h.bounds, d)
	h.counts[i].Add(1)
	h.sum.Add(int64(d))
}

// Distribution is how long something took, since the engine started.
type Distribution struct {
	Bounds []time.Duration // ascending; of the caller to read only
	Counts []uint64        // of those that took as long as the bound of the same index, or less and longer than the one before; the last one: longer than all
	Sum    time.Duration   // of all
}

// Count is how many there were.
func (d Distribution) Count() (n uint64) {
	for _, c := range d.Counts {
		n += c
	}
	return n
}

// Distribution is what was counted so far. What is counted meanwhile may be in one of its
// fields and not yet in the other.
func (h *Histogram) Distribution() Distribution {
	d := Distribution{Bounds: h.bounds, Counts: make([]uint64, len(h.counts)), Sum: time.Duration(h.sum.Load())}
	for i := range h.counts {
		d.Counts[i] = h.counts[i].Load()
	}
	return d
}
