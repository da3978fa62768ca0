package engine

import (
	"log/slog"
	"sync"
	"time"
)

const (
	// clockJump is a difference that no correction of a sound clock makes at once.
	clockJump = time.Minute
	// clockTrusted is how long a clock that jumped forward has to stay there to be believed.
	clockTrusted = time.Hour
)

// calendar is the clock by which what is kept for a time grows old. The machine's own may
// jump: forward by a year because somebody set it wrongly, and all that is kept would be gone
// before it is set right. What passed since the last look is known from a clock that does not
// jump; one that is ahead of that is believed after a while, and one that is behind at once,
// for then everything is kept the longer.
type calendar struct {
	clock func() time.Time // of the machine
	log   *slog.Logger

	mu    sync.Mutex
	shown time.Time // by the calendar, when it was looked at last
	at    time.Time // then, with the reading of the clock that does not jump
	ahead time.Time // since when the machine's clock is ahead; zero: it is not
}

func newCalendar(clock func() time.Time, log *slog.Logger) *calendar {
	if clock == nil {
		clock = time.Now
	}
	return &calendar{clock: clock, log: log, shown: clock().Round(0), at: time.Now()}
}

// now is the time by which ages are counted.
func (c *calendar) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	clock, at := c.clock().Round(0), time.Now()
	steady := c.shown.Add(at.Sub(c.at))
	jump := clock.Sub(steady)
	switch {
	case jump > clockJump && c.ahead.IsZero():
		c.ahead = at
		c.log.Warn("the clock of this machine jumped forward: by it nothing is dropped for its age yet, but if it stays so", "jump", jump.Round(time.Second), "believed_after", clockTrusted)
		fallthrough
	case jump > clockJump && at.Sub(c.ahead) < clockTrusted:
		c.shown, c.at = steady, at
		return steady
	case jump > clockJump:
		c.log.Warn("the clock of this machine stayed where it jumped to: ages are counted by it", "jump", jump.Round(time.Second))
	case jump < -clockJump:
		c.log.Warn("the clock of this machine jumped back: what is kept for a time is kept for so much longer", "jump", -jump.Round(time.Second))
	}
	c.shown, c.at, c.ahead = clock, at, time.Time{}
	return clock
}
