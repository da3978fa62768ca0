package measure

import (
	"math"
	"time"
)

// Rate averages events per second over the last two to four seconds.
type Rate struct {
	began, mark time.Time // of the two halves
	old, new    int       // events in them
}

const rateHalf = 2 * time.Second

// Add counts events.
func (r *Rate) Add(events int, now time.Time) {
	r.turn(now)
	r.new += events
}

func (r *Rate) turn(now time.Time) {
	switch past := now.Sub(r.mark); {
	case past > 2*rateHalf:
		*r = Rate{began: now, mark: now}
	case past > rateHalf:
		r.began, r.old = r.mark, r.new
		r.mark, r.new = now, 0
	}
}

// PerSecond is the average until now; 0 before anything was counted.
func (r *Rate) PerSecond(now time.Time) float64 {
	r.turn(now)
	past := now.Sub(r.began)
	if past <= 0 {
		return 0
	}
	return float64(r.old+r.new) / past.Seconds()
}

// Approach measures how fast a runner comes nearer to the end of its stream, in
// sequences and not in events: it passes over those that are not its own. Steps may be
// of any length, so it averages over them and not over equal times: what came before a
// step counts the less, the longer that took.
type Approach struct {
	at     time.Time // of the last step
	passed float64   // sequences, of which older ones have faded
	took   float64   // seconds, likewise
}

const (
	// fading is the time in which what came before fades to a third (1/e), in seconds.
	fading = 4
	// measured is how much has to be measured before anything is foretold, in seconds.
	measured = 0.5
)

// Step notes that the runner went from one sequence to another. The first step of all
// is not measured, for it may pass over what the stream no longer holds.
func (a *Approach) Step(from, to uint64, now time.Time) {
	if to <= from {
		return
	}
	if !a.at.IsZero() {
		took := now.Sub(a.at).Seconds()
		fade := math.Exp(-took / fading)
		a.passed = a.passed*fade + float64(to-from)
		a.took = a.took*fade + took
	}
	a.at = now
}

// Left is how long it takes to pass so many sequences at this pace; 0: not known yet.
func (a *Approach) Left(sequences uint64) time.Duration {
	if a.took < measured {
		return 0
	}
	seconds := float64(sequences) * a.took / a.passed
	return time.Duration(min(seconds*float64(time.Second), math.MaxInt64/2))
}
