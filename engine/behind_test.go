package engine_test

import (
	"testing"
	"time"

	"gnomon/engine"
)

// wantBehind holds how far a projection is behind in time against what it is, to the time
// that may pass until the engine has looked again.
func wantBehind(t *testing.T, s engine.Status, want time.Duration) {
	t.Helper()
	got := time.Duration(s.BehindMs) * time.Millisecond
	if got < want-3*time.Second || got > want+3*time.Second {
		t.Errorf("%s at %d of %d: %v behind, want %v", s.State, s.Position, s.StreamLast, got, want)
	}
}

// known waits until a projection knows of the last event that was stored.
func (r *running) known(last uint64) engine.Status {
	r.t.Helper()
	return r.await("the stream's end", func(s engine.Status) bool { return s.StreamLast == last && !s.StreamLastTime.IsZero() })
}

// Behind in time is the time between two events of the stream: that of the position, and
// the last one. It stays the same while nothing comes, and is 0 at the end.
func TestBehindInTime(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(100) // one a second
		time.Sleep(24 * time.Hour)
		e := b.start(spec(slowly(10*time.Second), func(s *engine.Spec) { s.Batch.Events = 1 }))
		wantBehind(t, e.known(100), 100*time.Second) // from the first event on
		e.await("half of them", func(s engine.Status) bool { return s.Position == 50 })
		wantBehind(t, e.known(100), 50*time.Second)
		s := e.awaitState(engine.Live)
		if s.BehindMs != 0 {
			t.Errorf("at the end: %d ms behind", s.BehindMs)
		}
		time.Sleep(time.Hour)
		if s := e.status(); s.BehindMs != 0 || s.StreamLastTime.After(time.Now().Add(-time.Hour)) {
			t.Errorf("an hour after the last event, at %s: %d ms behind", s.StreamLastTime, s.BehindMs)
		}
	})
}

// The first event after a quiet night is not a night behind: what is unread came after the
// projection last stood at the end.
func TestBehindAfterAQuietNight(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(3)
		e := b.start(spec(slowly(time.Minute), func(s *engine.Spec) { s.Batch.Events = 1 }))
		e.awaitState(engine.Live)
		time.Sleep(8 * time.Hour)
		b.append(1)
		time.Sleep(2 * time.Second)
		wantBehind(t, e.known(4), 3*time.Second)
		if s := e.status(); s.Behind != 1 || s.BehindMs == 0 {
			t.Errorf("%d events and %d ms behind", s.Behind, s.BehindMs)
		}
		e.await("the end", func(s engine.Status) bool { return s.Position == 4 })
		if err := e.Pause("p"); err != nil {
			t.Fatal(err)
		}
		e.awaitState(engine.Paused)
		b.append(600)
		wantBehind(t, e.known(604), 10*time.Minute)
		time.Sleep(time.Hour)
		wantBehind(t, e.known(604), 11*time.Minute) // from event 4 on, which took a minute; and no more came
	})
}

// A stream without events, and one that is not there, are nothing to be behind of.
func TestBehindOfNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		e := b.start(spec(slowly(time.Second)))
		e.awaitState(engine.Live)
		time.Sleep(time.Minute)
		if s := e.status(); s.Behind != 0 || s.BehindMs != 0 || !s.StreamLastTime.IsZero() {
			t.Errorf("%+v", s)
		}
	})
}

// While the server does not answer, how far a projection is behind stays what it was, and since
// when that is so is said, until it answers again; that a stream is not there is an answer.
func TestEndUnknown(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.append(3)
		e := b.start(spec(slowly(time.Millisecond)))
		e.awaitState(engine.Live)
		time.Sleep(time.Minute)
		if s := e.status(); !s.EndUnknownSince.IsZero() {
			t.Errorf("the server answers: unknown since %s", s.EndUnknownSince)
		}
		down := time.Now()
		b.server.SetDown(true)
		time.Sleep(time.Hour)
		s := e.status()
		if off := s.EndUnknownSince.Sub(down).Abs(); s.State == engine.Live || s.Behind != 0 || off > 2*time.Second {
			t.Errorf("away since %s: %s, %d behind, unknown since %s", down, s.State, s.Behind, s.EndUnknownSince)
		}
		if got := e.Measures().EndUnknown["S"]; got < 59*time.Minute || got > 61*time.Minute {
			t.Errorf("unknown for %v", got)
		}
		b.server.SetDown(false)
		s = e.awaitState(engine.Live)
		time.Sleep(2 * time.Second)
		if s = e.status(); !s.EndUnknownSince.IsZero() || e.Measures().EndUnknown["S"] != 0 {
			t.Errorf("it is back: unknown since %s", s.EndUnknownSince)
		}
		b.server.Remove("S")
		time.Sleep(time.Minute)
		if s = e.status(); !s.EndUnknownSince.IsZero() {
			t.Errorf("there is no stream: unknown since %s", s.EndUnknownSince)
		}
	})
}
