package engine_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/state"
)

// A snapshot keeps the state of its moment readable, across restarts, whatever is
// applied after it.
func TestSnapshotKeepsItsVersion(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(10)
		sp := spec(ledgerModule)
		e := b.start(sp)
		at := e.awaitLive(10)
		s, err := e.CreateSnapshot(t.Context(), "p", "month-end")
		if err != nil {
			t.Fatal(err)
		}
		if s.Name != "month-end" || s.Sequence != 10 || s.Digest != at.Digest || s.Keys != at.Keys || s.Bytes != at.Bytes || s.Generation != at.Generation || s.Time.IsZero() || s.Created.IsZero() {
			t.Errorf("snapshot %+v of %+v", s, at)
		}
		for range 2 {
			if got := fmt.Sprint(b.keyspace(sp).Pins()); got != fmt.Sprint([]state.Version{s.Version}) {
				t.Errorf("pinned are %s, want %d", got, s.Version)
			}
			list, err := e.Snapshots("p")
			if err != nil || len(list) != 1 || list[0] != s {
				t.Errorf("snapshots %+v, %v", list, err)
			}
			e.stop()
			b.keyspace(sp).Unpin(s.Version) // a keyspace forgets pins when it is closed
			b.append(5)
			e = b.start(sp)
			e.awaitState(engine.Live)
		}
	})
}

// Snapshots are bounded in number and age, and names are checked.
func TestSnapshotBounds(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		sp := spec(ledgerModule)
		e := b.start(sp)
		e.awaitLive(0)
		create := func(name string) error {
			_, err := e.CreateSnapshot(t.Context(), "p", name)
			return err
		}
		for _, name := range []string{"", "UPPER", "a b", "-a", "a/b", strings.Repeat("a", 65)} {
			if err := create(name); !errors.Is(err, engine.ErrSnapshotName) || !strings.Contains(err.Error(), fmt.Sprintf("%q", name)) {
				t.Errorf("name %q: %v", name, err)
			}
		}
		for n := range 3 {
			b.append(1)
			e.awaitLive(uint64(n + 1))
			if err := create(fmt.Sprint("s", n)); err != nil {
				t.Fatal(err)
			}
		}
		if err := create("s1"); !errors.Is(err, engine.ErrSnapshotExists) {
			t.Errorf("a second one of the name: %v", err)
		}
		if err := create("s4"); !errors.Is(err, engine.ErrTooManySnapshots) || !strings.Contains(err.Error(), "the limit is 3") {
			t.Errorf("one too many: %v", err)
		}
		time.Sleep(25 * time.Hour) // of the bubble
		if list, err := e.Snapshots("p"); err != nil || len(list) != 0 {
			t.Errorf("after a day there are %+v, %v", list, err)
		}
		if pins := b.keyspace(sp).Pins(); len(pins) != 0 {
			t.Errorf("still pinned are %v", pins)
		}
		if err := create("s4"); err != nil {
			t.Errorf("when there is room again: %v", err)
		}
	})
}

// Snapshots of a keyspace that was removed and built again are dropped.
func TestSnapshotOfRemovedKeyspace(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(20)
		e := b.start(spec(ledgerModule))
		e.awaitLive(20)
		if _, err := e.CreateSnapshot(t.Context(), "p", "s"); err != nil {
			t.Fatal(err)
		}
		e.stop()
		b.store = new(enginetest.Store)
		e = b.start(spec(ledgerModule))
		e.awaitLive(20)
		if list, err := e.Snapshots("p"); err != nil || len(list) != 0 {
			t.Errorf("snapshots %+v, %v", list, err)
		}
	})
}

// Before the first commit there is nothing to take a snapshot of.
func TestSnapshotOfNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.server.SetDown(true)
		e := b.start(spec(ledgerModule))
		if _, err := e.CreateSnapshot(t.Context(), "p", "s"); !errors.Is(err, engine.ErrNotReady) {
			t.Errorf("CreateSnapshot: %v", err)
		}
	})
}

// A log lets so many lines a second through and says how many it kept back.
func TestLimitLog(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *bench) {
		var lines lineLog
		log := guest.LimitLog(&lines, 3)
		for second := range 2 {
			for n := range 5 {
				log.Line(guest.Line{Text: fmt.Sprint(second, n)})
			}
			time.Sleep(time.Second) // of the bubble
		}
		want := "0 0|0 1|0 2|2 lines of the module were dropped: the limit is 3 a second (projection.limits.log_lines_per_second)|1 0|1 1|1 2"
		if got := strings.Join(lines, "|"); got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
		if log.Enabled(-4) || !log.Enabled(0) {
			t.Error("levels are not those of the log below")
		}
	})
}

type lineLog []string

func (l *lineLog) Enabled(level int) bool { return level >= 0 }
func (l *lineLog) Line(line guest.Line)   { *l = append(*l, line.Text) }
