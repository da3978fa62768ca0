package engine

import "time"

// rateMeter averages events per second over the last two to four seconds.
type rateMeter struct {
	began, mark time.Time // of the two halves
	old, new    int       // events in them
}

const rateHalf = 2 * time.Second

func (r *rateMeter) add(events int, now time.Time) {
	r.turn(now)
	r.new += events
}

func (r *rateMeter) turn(now time.Time) {
	switch past := now.Sub(r.mark); {
	case past > 2*rateHalf:
		*r = rateMeter{began: now, mark: now}
	case past > rateHalf:
		r.began, r.old = r.mark, r.new
		r.mark, r.new = now, 0
	}
}

func (r *rateMeter) perSecond(now time.Time) float64 {
	r.turn(now)
	past := now.Sub(r.began)
	if past <= 0 {
		return 0
	}
	return float64(r.old+r.new) / past.Seconds()
}

// catchUp measures how fast a runner was while it last caught up.
type catchUp struct {
	began time.Time
	from  uint64 // events applied before
	rate  float64
}

// enter notes that the runner enters a state with so many events applied.
func (c *catchUp) enter(s RunnerState, events uint64) {
	switch {
	case s == CatchingUp:
		c.began, c.from = time.Now(), events
	case s == Live && !c.began.IsZero():
		c.rate = float64(events-c.from) / max(time.Since(c.began).Seconds(), 1e-3)
		c.began = time.Time{}
	}
}
