package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"gnomon/engine"
)

// A generation that is not read waits for those that are, but not longer than four times
// its last call; when none of them is at work it does not wait at all.
func TestPrecedence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p engine.Precedence
		waits := func(took time.Duration) time.Duration {
			began := time.Now()
			p.Begin(t.Context(), false, took)()
			return time.Since(began)
		}
		if d := waits(5 * time.Millisecond); d != 0 {
			t.Errorf("with nobody at work it waited %s", d)
		}
		end := p.Begin(t.Context(), true, 0)
		if d := waits(5 * time.Millisecond); d != 20*time.Millisecond {
			t.Errorf("behind one that works on it waited %s", d)
		}
		time.AfterFunc(6500*time.Microsecond, end)
		if d := waits(5 * time.Millisecond); d != 7*time.Millisecond {
			t.Errorf("behind one that was at work for 6.5 ms it waited %s", d)
		}
	})
}
