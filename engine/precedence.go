package engine

import (
	"context"
	"sync/atomic"
	"time"
)

// precedence lets generations that are read go before those that are not: a candidate that
// catches up at full speed would else take half of the processors from the one that is
// read, and from all other projections.
type precedence struct {
	busy atomic.Int32 // calls of guests whose generations are read
}

const (
	// giveWayTimes is how many times as long as its last call one that is not read waits
	// for those that are, at most: it gets a fifth of the time of one processor whatever
	// goes on.
	giveWayTimes = 4
	giveWayStep  = time.Millisecond
)

// begin is called before a call of a guest, and end after it. Took is how long the call
// before took.
func (p *precedence) begin(ctx context.Context, read bool, took time.Duration) {
	if read {
		p.busy.Add(1)
		return
	}
	for left := giveWayTimes * took; left > 0 && p.busy.Load() > 0 && ctx.Err() == nil; left -= giveWayStep {
		time.Sleep(min(left, giveWayStep))
	}
}

func (p *precedence) end(read bool) {
	if read {
		p.busy.Add(-1)
	}
}
