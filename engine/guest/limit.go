package guest

import (
	"fmt"
	"sync"
	"time"
)

// LimitLog lets so many lines a second through to a log, and says how many it
// kept back. A limit of 0 lets none through.
func LimitLog(log Log, perSecond int) Log {
	return &limitedLog{log: log, limit: perSecond}
}

type limitedLog struct {
	log   Log
	limit int // lines in a second

	mu     sync.Mutex
	second time.Time // that lines are counted in
	lines  int
	lost   int // since a line was last let through
}

// Enabled implements Log.
func (l *limitedLog) Enabled(level int) bool { return l.log.Enabled(level) }

// Line implements Log.
func (l *limitedLog) Line(line Line) {
	lost, ok := l.admit(time.Now())
	if !ok {
		return
	}
	if lost > 0 {
		about := line
		about.Text = fmt.Sprintf("%d lines of the module were dropped: the limit is %d a second (projection.limits.log_lines_per_second)", lost, l.limit)
		l.log.Line(about)
	}
	l.log.Line(line)
}

func (l *limitedLog) admit(now time.Time) (lost int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.second) >= time.Second {
		l.second, l.lines = now, 0
	}
	if l.lines >= l.limit {
		l.lost++
		return 0, false
	}
	l.lines++
	lost, l.lost = l.lost, 0
	return lost, true
}

// generationLog says in lines which generation a guest runs for.
type generationLog struct {
	Log
	id string
}

// Line implements Log.
func (l generationLog) Line(line Line) {
	line.Generation = l.id
	l.Log.Line(line)
}

// LogOf is a log for the guests of a generation; an empty id is none.
func LogOf(generation string, log Log) Log {
	if log == nil || generation == "" {
		return log
	}
	return generationLog{log, generation}
}
