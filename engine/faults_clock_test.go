package engine_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gnomon/engine"
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

// What is kept for a time is not lost by a jump of the machine's clock that is set right
// again, nor without a word by one that is not: that is believed after an hour. A clock that
// goes back is believed at once. Events are applied all the same.
func TestOwnClockJumps(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for name, tt := range map[string]struct {
		jumps []time.Duration // of the clock against the true time; half an hour passes after each
		kept  bool            // whether a snapshot that is kept for a day is there at the end
		log   []string
	}{
		"forward, and right again": {[]time.Duration{year, 0, 0, 0}, true, []string{"jumped forward"}},
		"forward for good":         {[]time.Duration{year, year, year, year}, false, []string{"jumped forward", "stayed where it jumped to", "snapshot dropped by age"}},
		"back":                     {[]time.Duration{-year, -year, -year, -year}, true, []string{"jumped back"}},
		"back, and right again":    {[]time.Duration{-year, -year, 0, 0}, true, []string{"jumped back", "jumped forward"}},
		"a second at a time":       {[]time.Duration{time.Second, 2 * time.Second, time.Second, 0}, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				var skew atomic.Int64
				var log bytes.Buffer
				b.log = slog.New(slog.NewTextHandler(&log, nil))
				b.clock = func() time.Time { return time.Now().Add(time.Duration(skew.Load())) }
				aged := func(s *engine.Spec) { s.History = engine.HistoryPolicy{Age: 2 * time.Hour} }
				b.append(20)
				e := b.start(spec(ledgerModule, aged))
				e.awaitLive(20)
				if _, err := e.CreateSnapshot(t.Context(), "p", "kept"); err != nil {
					t.Fatal(err)
				}
				for _, jump := range tt.jumps {
					skew.Store(int64(jump))
					time.Sleep(15 * time.Minute) // of the bubble
					b.append(1)
					time.Sleep(15 * time.Minute)
				}
				e.awaitLive(24)
				e.wantLedger(1, 24)
				all, err := e.Snapshots("p")
				if err != nil || (len(all) == 1) != tt.kept {
					t.Errorf("snapshots are %v, %v", all, err)
				}
				if past, err := e.ReadAt(t.Context(), "p", engine.At{Sequence: 20}); tt.kept {
					if err != nil {
						t.Errorf("the past of an hour ago: %v", err)
					} else {
						past.Close()
					}
				}
				e.stop()
				for _, want := range tt.log {
					if n := strings.Count(log.String(), want); n != 1 {
						t.Errorf("the log says %q %d times:\n%s", want, n, log.String())
					}
				}
				if tt.log == nil && strings.Contains(log.String(), "clock") {
					t.Errorf("the log says of a clock that is sound:\n%s", log.String())
				}
			})
		})
	}
}
