package measure

import (
	"slices"
	"sync"
	"testing"
	"time"
)

// A duration is counted in the first bucket that is no shorter, one that is longer than all
// in the last, and one below 0 as none; what many count at once is all there.
func TestHistogram(t *testing.T) {
	bounds := []time.Duration{10, 20, 50}
	for _, c := range []struct {
		took  time.Duration
		want  []uint64
		total time.Duration
	}{
		{0, []uint64{1, 0, 0, 0}, 0},
		{10, []uint64{1, 0, 0, 0}, 10},
		{11, []uint64{0, 1, 0, 0}, 11},
		{50, []uint64{0, 0, 1, 0}, 50},
		{51, []uint64{0, 0, 0, 1}, 51},
		{-7, []uint64{1, 0, 0, 0}, 0},
	} {
		h := NewHistogram(bounds)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 100 {
					h.Observe(c.took)
				}
			})
		}
		all.Wait()
		d := h.Distribution()
		for i := range d.Counts {
			d.Counts[i] /= 400
		}
		if !slices.Equal(d.Counts, c.want) || d.Sum != 400*c.total || d.Count() != 1 {
			t.Errorf("%d counts as %v, %d", c.took, d.Counts, d.Sum)
		}
	}
}
