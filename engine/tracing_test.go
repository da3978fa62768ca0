package engine_test

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/sdk/abi"
)

// deaf is a tracer that does nothing with what it is told.
type deaf struct{}

func (deaf) Session(string, string, string) engine.SessionTracer { return deaf{} }
func (deaf) Applied(engine.Applied)                              {}
func (deaf) Cut()                                                {}
func (deaf) Committed(engine.Committed)                          {}
func (deaf) Continue(h []byte, _ *abi.Record) []byte             { return h }
func (deaf) Close()                                              {}

// What is not traced costs nothing: without a tracer, telling of a call allocates nothing.
func TestUntracedAllocatesNothing(t *testing.T) {
	if n := engine.TellingAllocates(nil); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if n := engine.TellingAllocates(deaf{}); n != 0 {
		t.Errorf("%v allocations when somebody is told", n)
	}
}

// The same catch-up without a tracer and with one that does nothing: what lies between them is the
// most that the seam costs. In turns, and of each the fastest, so that what else the machine does is in neither.
func BenchmarkTracer(b *testing.B) {
	source := engine.NewLaidOut()
	tracers := map[string]engine.Tracer{"none": nil, "deaf": deaf{}}
	took, turn := map[string]time.Duration{}, 0
	for b.Loop() {
		order := []string{"none", "deaf"}
		if turn++; turn%2 == 0 {
			slices.Reverse(order)
		}
		for _, name := range order {
			runtime.GC()
			if d := catchUpTraced(b, source, tracers[name]); took[name] == 0 || d < took[name] {
				took[name] = d
			}
		}
	}
	b.ReportMetric(float64(took["deaf"])/float64(took["none"]), "deaf/none")
}
