package engine

import (
	"fmt"
	"strings"
)

// Passed counts sequences that a projection passed over because the stream has no event
// for anyone there. What is applied again is counted again.
type Passed struct {
	// Absent are those at which the stream holds nothing: the event was deleted or expired,
	// or its mirror leaves it out.
	Absent uint64 `json:"absent"`
	// Markers are those at which it holds the server's own word that events are gone
	// (Nats-Marker-Reason).
	Markers uint64 `json:"delete_markers"`
}

// passed is what a batch passes over after a sequence.
func (b *Batch) passed(after uint64) Passed {
	without := b.Through - min(b.Through, after+uint64(b.Count))
	markers := min(b.Markers, without) // of a batch that is only half new, some may come before
	return Passed{Absent: without - markers, Markers: markers}
}

func (m *monitor) countPassed(p Passed) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.passed.Absent += p.Absent
	m.passed.Markers += p.Markers
}

// report fills in what the server last said of a stream, to a projection of some of its
// subjects.
func (i StreamInfo) report(s *Status, subjects []string) {
	s.StreamFirst, s.StreamLast, s.StreamLastTime, s.StreamAbsent = i.First, i.Last, i.LastTime, i.Absent()
	s.StreamMirror, s.StreamSources, s.Interleaved = i.Mirror, i.Sources, i.interleaved()
	s.Warning = i.warning(subjects)
}

// warning says which of the subjects of a projection the stream does not take.
func (i StreamInfo) warning(subjects []string) string {
	outside := i.outside(subjects)
	if len(outside) == 0 {
		return ""
	}
	return fmt.Sprintf("stream %s takes only %s, so that no event to come matches %s: correct the projection's subjects, or add them to the stream",
		i.Name, strings.Join(i.Subjects, ", "), strings.Join(outside, ", "))
}

// interleaved reports whether events come from more than one place.
func (i StreamInfo) interleaved() bool {
	return len(i.Sources) > 1 || len(i.Sources) == 1 && len(i.Subjects) > 0
}

// outside returns the filters that match no subject of the stream. Where events come
// from other streams, or with other subjects than they are stored under, there is no
// telling.
func (i StreamInfo) outside(filters []string) (none []string) {
	if i.Mirror != "" || len(i.Sources) > 0 || i.Transformed || len(i.Subjects) == 0 {
		return nil
	}
	for _, f := range filters {
		within := false
		for _, s := range i.Subjects {
			within = within || FiltersOverlap(f, s)
		}
		if !within {
			none = append(none, f)
		}
	}
	return none
}

// warn has the log tell of a warning once.
func (p *projection) warn() {
	p.mu.Lock()
	var w string
	if g := p.live; g != nil && g.stream != nil && g.spec != nil {
		w = g.stream.known().warning(g.spec.asked())
	}
	p.mu.Unlock()
	if w != "" && w != p.warned {
		p.log.Warn(w)
	}
	p.warned = w
}
