package engine

import "gnomon/engine/streams"

func (m *monitor) countPassed(p streams.Passed) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.passed.Absent += p.Absent
	m.passed.Markers += p.Markers
}

// reportStream fills in what the server last said of a stream, to a projection of some of its
// subjects.
func reportStream(s *Status, i streams.Info, subjects []string) {
	s.StreamFirst, s.StreamLast, s.StreamLastTime, s.StreamAbsent = i.First, i.Last, i.LastTime, i.Absent()
	s.StreamMirror, s.StreamSources, s.Interleaved = i.Mirror, i.Sources, i.Interleaved()
	s.Warning = i.Warning(subjects)
}

// warn has the log tell of a warning once.
func (p *projection) warn() {
	p.mu.Lock()
	var w string
	if g := p.live; g != nil && g.stream != nil && g.spec != nil {
		w = g.stream.known().Warning(g.spec.asked())
	}
	p.mu.Unlock()
	if w != "" && w != p.warned {
		p.log.Warn(w)
	}
	p.warned = w
}
