package engine

import (
	"fmt"
	"sync"
	"time"
)

// LimitLog lets so many lines a second through to a log, and says how many it
// kept back. A limit of 0 lets none through.
func LimitLog(log GuestLog, perSecond int) GuestLog {
	return &limitedLog{log: log, limit: perSecond}
}

type limitedLog struct {
	log   GuestLog
	limit int // lines in a second

	mu     sync.Mutex
	second time.Time // that lines are counted in
	lines  int
	lost   int // since a line was last let through
}

// Enabled implements GuestLog.
func (l *limitedLog) Enabled(level int) bool { return l.log.Enabled(level) }

// Line implements GuestLog.
func (l *limitedLog) Line(level int, line string) {
	lost, ok := l.admit(time.Now())
	if !ok {
		return
	}
	if lost > 0 {
		l.log.Line(level, fmt.Sprintf("%d lines of the module were dropped: the limit is %d a second (projection.limits.log_lines_per_second)", lost, l.limit))
	}
	l.log.Line(level, line)
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
