package engine_test

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// dice decide everything in a simulation. Each kind of decision has a sequence of its
// own, a function of the seed and the kind: how often one kind is asked for, which may
// depend on how goroutines were scheduled, does not change what the others say.
type dice struct {
	seed uint64

	mu    sync.Mutex
	kinds map[string]*rand.Rand
}

func newDice(seed uint64) *dice { return &dice{seed: seed, kinds: map[string]*rand.Rand{}} }

// of returns the sequence of one kind, begun anew.
func (d *dice) of(format string, args ...any) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprintf(h, format, args...)
	return rand.New(rand.NewPCG(d.seed, h.Sum64()))
}

// hit reports whether something of a probability happens this time.
func (d *dice) hit(kind string, probability float64) bool {
	return probability > 0 && d.roll(kind) < probability
}

// roll is the next number, from 0 to 1, of a kind.
func (d *dice) roll(kind string) float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.kinds[kind]
	if r == nil {
		r = d.of("kind %s", kind)
		d.kinds[kind] = r
	}
	return r.Float64()
}

// trace is what happened in a simulation: the steps, which are the seed's alone, and
// beside them what the engine made of them, which is not.
type trace struct {
	mu    sync.Mutex
	began time.Time
	steps []string
	lines []string // steps, and what was seen
}

const traceLines = 60 // are kept, for a failure

func (t *trace) step(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	t.mu.Lock()
	t.steps = append(t.steps, line)
	t.mu.Unlock()
	t.saw("%s", line)
}

func (t *trace) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.steps)
}

// saw notes what may be another thing in another run of the same seed.
func (t *trace) saw(format string, args ...any) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.began.IsZero() {
		t.began = now
	}
	t.lines = append(t.lines, fmt.Sprintf("%10s  ", now.Sub(t.began).Round(time.Millisecond))+fmt.Sprintf(format, args...))
	if len(t.lines) > 2*traceLines {
		t.lines = append(t.lines[:0], t.lines[len(t.lines)-traceLines:]...)
	}
}

// last is the end of what happened.
func (t *trace) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines[max(0, len(t.lines)-traceLines):], "\n")
}
