package measure

import (
	"context"
	"runtime/pprof"
)

// Labels of goroutines, by which profiles (runtime/pprof) tell projections and what is
// done for them apart. Goroutines that these start have them too, also those of the
// client of the server and of the sandbox.
const (
	LabelProjection = "projection"
	LabelStream     = "stream" // in place of the projection, for what several share
	LabelStage      = "stage"

	StageApply  = "apply" // the runner's goroutine: guest and overlay
	StageCommit = "commit"
	StageRead   = "read"
	StageRelay  = "relay" // publishes what is emitted
	StageKeep   = "keep"  // syncs, and what is done now and then
)

// Labelled runs a function with labels beside those that the context has.
func Labelled(ctx context.Context, do func(context.Context), labels ...string) {
	pprof.Do(ctx, pprof.Labels(labels...), do)
}

// Relabelled runs a function with these labels only, and goes on with those of the
// context: for what a projection does that is not only its own.
func Relabelled(ctx context.Context, do func(), labels ...string) {
	defer pprof.SetGoroutineLabels(ctx)
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels(labels...)))
	do()
}
