package engine

import (
	"time"

	"gnomon/engine/streams"
)

// reportBehind fills in how far the served state is behind what the stream is known to
// hold, in sequences and in time.
//
// Level is when the runner last stood at the stream's end, by this machine's clock; zero:
// not since the engine started. It is a bound, for what is unread was stored after it: the
// first event after a quiet night is not a night behind.
func (s *Status) reportBehind(stream streams.Info, level time.Time) {
	s.Behind = s.StreamLast - min(s.StreamLast, s.Position)
	from := s.PositionTime
	if from.IsZero() { // nothing is read yet
		from = stream.FirstTime
	}
	if s.Behind == 0 || from.IsZero() || stream.LastTime.IsZero() {
		return
	}
	late := max(stream.LastTime.Sub(from), 0)
	if !level.IsZero() {
		late = min(late, time.Since(level))
	}
	s.BehindMs = late.Milliseconds()
}

// atEndLocked notes that what is served is all that the stream is known to hold, if it is.
func (m *monitor) atEndLocked() {
	if m.told && m.published.Position.Sequence >= m.last {
		m.level = time.Now()
	}
}

// lastLevel is when the runner last stood at the stream's end; zero: it did not yet.
func (m *monitor) lastLevel() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.level
}
