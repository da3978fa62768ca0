package guest

import (
	"slices"
	"sync"
	"time"
)

const (
	// maxKeptLines and maxKeptBytes bound what is kept of a projection's lines.
	maxKeptLines = 500
	maxKeptBytes = 256 << 10
)

// Logs keep the last lines that the guests of each projection logged, in memory: 500
// of them, and 256 KiB of text. The zero value has none. They are safe for concurrent use.
type Logs struct {
	mu   sync.Mutex
	logs map[string]*keptLines
}

// KeptLine is a line that is kept.
type KeptLine struct {
	Number   uint64 // of the line among those of its projection since the engine started, from 1
	Time     time.Time
	Upcaster string // whose guest logged it; empty: the projection's
	Line
}

// keptLines are those of one projection.
type keptLines struct {
	lines []KeptLine // oldest first
	bytes int
	last  uint64        // number
	grown chan struct{} // closed when there is another line
}

func (g *Logs) of(projection string) *keptLines {
	k := g.logs[projection]
	if k == nil {
		if g.logs == nil {
			g.logs = map[string]*keptLines{}
		}
		k = &keptLines{grown: make(chan struct{})}
		g.logs[projection] = k
	}
	return k
}

// Add keeps a line, and drops the oldest ones for which there is no room.
func (g *Logs) Add(projection, upcaster string, line Line) {
	g.mu.Lock()
	defer g.mu.Unlock()
	k := g.of(projection)
	k.last++
	k.lines = append(k.lines, KeptLine{k.last, time.Now().UTC(), upcaster, line})
	k.bytes += len(line.Text)
	over := 0
	for ; len(k.lines)-over > maxKeptLines || k.bytes > maxKeptBytes; over++ {
		k.bytes -= len(k.lines[over].Text)
	}
	k.lines = slices.Delete(k.lines, 0, over)
	close(k.grown)
	k.grown = make(chan struct{})
}

// Lines returns the lines of a projection that are kept and come after a number, oldest
// first, and a channel that is closed when there is another one. A number that there was no
// line of yet is one of before the engine was started, or the projection removed: all that
// is kept comes after it.
func (g *Logs) Lines(projection string, after uint64) ([]KeptLine, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	k := g.of(projection)
	if after > k.last {
		after = 0
	}
	i := len(k.lines) - int(min(uint64(len(k.lines)), k.last-min(k.last, after)))
	return slices.Clone(k.lines[i:]), k.grown
}

// Forget drops the lines of a projection that was removed, and wakes those who wait for
// another one.
func (g *Logs) Forget(projection string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if k := g.logs[projection]; k != nil {
		delete(g.logs, projection)
		close(k.grown)
	}
}
