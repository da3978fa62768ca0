package engine_test

import (
	"testing"
	"time"

	"gnomon/engine/state"
)

// The server's clock may go back an hour, or forward: the state is the same, and the
// stream is still the one that was read, also for the next engine.
func TestServerClockJumps(t *testing.T) {
	var digests []state.Digest
	for _, jumps := range [][]time.Duration{{0, 0, 0, 0}, {0, -time.Hour, time.Hour, -48 * time.Hour}} {
		inBubble(t, func(t *testing.T, b *bench) {
			applied := uint64(0)
			for _, jump := range jumps {
				e := b.start(spec(ledgerModule))
				b.server.SetSkew(jump)
				b.append(20)
				applied += 20
				e.awaitLive(applied)
				e.wantLedger(1, applied)
				e.stop()
			}
			e := b.start(spec(ledgerModule))
			s := e.awaitLive(applied)
			if s.Start != applied {
				t.Errorf("it went on after %d, not %d", s.Start, applied)
			}
			digests = append(digests, s.Digest)
		})
	}
	if digests[0] != digests[1] {
		t.Errorf("digests differ: %v", digests)
	}
}
