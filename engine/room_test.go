package engine_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gnomon/engine"
)

// disk is a space of a size that a test sets; 0: it cannot be told.
type disk struct{ free atomic.Uint64 }

func (d *disk) Free() (uint64, error) {
	if n := d.free.Load(); n > 0 {
		return n, nil
	}
	return 0, errors.New("unknown")
}

// Below the reserve no more events are taken, what was applied is committed and read,
// and a tenth above it everything goes on by itself.
func TestDiskReserve(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		d := &disk{}
		d.free.Store(900 << 20)
		b.space = d
		b.append(10)
		e := b.start(spec(ledgerModule))
		stalled := func() {
			t.Helper()
			s := e.awaitState(engine.Stalled)
			if !strings.Contains(s.Reason, "MiB left, and 1000 MiB are kept free (disk_reserve)") || !strings.Contains(s.Hint, "make room") {
				t.Errorf("status %+v", s)
			}
			if ready, _ := e.Ready(); ready {
				t.Error("ready")
			}
		}
		stalled()
		d.free.Store(1050 << 20) // not yet enough
		time.Sleep(time.Minute)  // of the bubble
		stalled()
		d.free.Store(1200 << 20)
		e.awaitLive(10)
		b.append(2)
		e.awaitLive(12)
		d.free.Store(1) // while it runs
		time.Sleep(2 * time.Second)
		b.append(3)
		stalled()
		e.wantLedger(1, 12)
		d.free.Store(0) // nothing changes while it cannot be told
		time.Sleep(time.Minute)
		stalled()
		d.free.Store(2000 << 20)
		e.awaitLive(15)
		e.wantLedger(1, 15)
	})
}
