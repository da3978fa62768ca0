package engine

import (
	"context"
	"runtime/pprof"
)

// Labels of goroutines, by which profiles (runtime/pprof) tell projections and what is
// done for them apart. Goroutines that these start have them too, also those of the
// client of the server and of the sandbox.
const (
	labelProjection = "projection"
	labelStream     = "stream" // in place of the projection, for what several share
	labelStage      = "stage"

	stageApply  = "apply" // the runner's goroutine: guest and overlay
	stageCommit = "commit"
	stageRead   = "read"
	stageRelay  = "relay" // publishes what is emitted
	stageKeep   = "keep"  // syncs, and what is done now and then
)

// labelled runs a function with labels beside those that the context has.
func labelled(ctx context.Context, do func(context.Context), labels ...string) {
	pprof.Do(ctx, pprof.Labels(labels...), do)
}

// relabelled runs a function with these labels only, and goes on with those of the
// context: for what a projection does that is not only its own.
func relabelled(ctx context.Context, do func(), labels ...string) {
	defer pprof.SetGoroutineLabels(ctx)
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels(labels...)))
	do()
}
