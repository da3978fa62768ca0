package engine

import (
	"testing"
	"time"
)

// What is counted of a batch and of a commit costs next to nothing beside them.
func BenchmarkMeasures(b *testing.B) {
	m := newMeasures()
	now := time.Now()
	for b.Loop() {
		m.applied(1, time.Millisecond, 4096, nil)
		m.committed(time.Millisecond, true, now)
	}
}
