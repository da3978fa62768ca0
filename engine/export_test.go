package engine

import (
	"context"
	"testing"
	"time"
)

// Expected is how many readers of a stream an Engine expects.
func (e *Engine) Expected(stream string) int {
	return e.source.Expected(stream)
}

// Precedence is precedence.
type Precedence struct{ precedence }

// Begin is begin, and returns end.
func (p *Precedence) Begin(ctx context.Context, read bool, took time.Duration) (end func()) {
	p.begin(ctx, read, took)
	return func() { p.end(read) }
}

// BoundPast sets how much readings of the past may hold together, in bytes.
func (e *Engine) BoundPast(bytes int64) { e.past.most = bytes }

// PastHeld is what they hold.
func (e *Engine) PastHeld() int64 { return e.past.held.Load() }

// TellingAllocates is how often telling a tracer of a call, a cut and a commit allocates.
func TellingAllocates(t Tracer) float64 {
	s := &session{Runner: &Runner{name: "p", spec: &Spec{}}}
	s.beginTrace(t)
	var r commitResult
	return testing.AllocsPerRun(100, func() {
		s.traceApplied(nil, 1, 2, 2, 0, time.Time{}, 0, nil)
		s.traceCut()
		s.traceCommitted(&r)
	})
}
