package engine

import (
	"errors"
	"sync/atomic"
	"time"

	"gnomon/engine/guest"
	"gnomon/engine/measure"
	"gnomon/engine/streams"
)

// Bounds of histograms: about three for each power of ten, from what is usual on a fast
// machine to what only trouble makes.
var (
	// workBounds are those of work that takes from microseconds to seconds: at the head of a
	// stream, where a call or a commit is of one event, mostly some ten microseconds; while
	// catching up a call is held at about 5 ms (callTime), and a commit takes as long as a sync
	// of a slow disk at worst.
	workBounds = []time.Duration{
		10 * time.Microsecond, 25 * time.Microsecond, 50 * time.Microsecond,
		100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
		time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
		10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
		100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
		time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
	}
	// ageBounds are those of how old an event is when it can be read: milliseconds while all
	// is well, and as long as an outage that ended just now.
	ageBounds = []time.Duration{
		time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
		10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
		100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
		time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
		30 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute,
	}
)

// measures are what is measured of the generation of a projection that is read. They are
// the projection's, so that they go on when another generation takes over. All methods
// may be called from any goroutine, and of nil: then nobody measures.
type measures struct {
	apply, commit, age, sync, query measure.Histogram

	events, failures, fuel, sessions, queryFailures atomic.Uint64

	synced atomic.Pointer[time.Time] // when everything was durable last
}

func newMeasures() *measures {
	m := &measures{
		apply: measure.NewHistogram(workBounds), commit: measure.NewHistogram(workBounds), age: measure.NewHistogram(ageBounds),
		sync: measure.NewHistogram(workBounds), query: measure.NewHistogram(workBounds),
	}
	m.allSynced()
	return m
}

// applied notes one call of the guest for a batch, or a part of one, of so many events.
func (m *measures) applied(events int, took time.Duration, fuel uint64, err error) {
	if m == nil {
		return
	}
	m.apply.Observe(took)
	m.fuel.Add(fuel)
	if err != nil {
		m.failures.Add(1)
		return
	}
	m.events.Add(uint64(events))
}

// upcast notes one call of the upcasters: what they use is no fuel of the module, and one that
// fails rolls a batch back as well.
func (m *measures) upcast(err error) {
	if m != nil && err != nil {
		m.failures.Add(1)
	}
}

// committed notes a commit. Fresh tells that its last event was new to a
// generation that had caught up, and stored is when that was.
func (m *measures) committed(took time.Duration, fresh bool, stored time.Time) {
	if m == nil {
		return
	}
	m.commit.Observe(took)
	if fresh {
		m.age.Observe(time.Since(stored))
	}
}

// opened notes that instances are made, and a stream is read, anew.
func (m *measures) opened() {
	if m != nil {
		m.sessions.Add(1)
	}
}

// queried notes a query of the guest.
func (m *measures) queried(took time.Duration, err error) {
	m.query.Observe(took)
	var g *guest.Error
	if err != nil && !(errors.As(err, &g) && g.Kind == guest.Refused) { // which is an answer, too
		m.queryFailures.Add(1)
	}
}

// allSynced notes that everything is durable.
func (m *measures) allSynced() {
	now := time.Now() // with the clock that does not jump
	m.synced.Store(&now)
}

// Measures are what an engine has measured since it started.
type Measures struct {
	Free, Reserve uint64         // bytes of the disk; 0: they are not watched
	Streams       []streams.Info // that generations read, as the server last said; without those of which it has said nothing
	Projections   map[string]ProjectionMeasures

	// EndUnknown is, by stream, how long the server has not said where it ends, once that is
	// more than 5 s; 0: it is known.
	EndUnknown map[string]time.Duration
}

// ProjectionMeasures are what was measured of the generation of a projection that is read.
// They go on when another one takes over.
type ProjectionMeasures struct {
	Apply  measure.Distribution // of calls of the guest, each for a batch or a part of one
	Commit measure.Distribution // of commits
	// Age is how old the last event of a commit was when it could be read, by the clocks of
	// the server and of this machine. It is of events that were stored after the generation
	// had caught up for the first time: also of those that an outage held up.
	Age    measure.Distribution
	Sync   measure.Distribution // of what makes commits durable
	Query  measure.Distribution // of queries, without the waiting for a processor
	Failed uint64               // of these

	Events   uint64        // that were applied
	Failures uint64        // calls that were rolled back
	Fuel     uint64        // that calls for batches used; 0: not metered
	Sessions uint64        // times that instances were made, and the stream read, anew
	Unsynced time.Duration // how long there have been commits that are not durable; 0: there are none
}

// Measures returns what was measured so far.
func (e *Engine) Measures() Measures {
	m := Measures{Projections: map[string]ProjectionMeasures{}, EndUnknown: map[string]time.Duration{}}
	m.Free, m.Reserve = e.room.measured()
	for _, name := range e.streamNames() {
		e.mu.Lock()
		w := e.streams[name]
		e.mu.Unlock()
		if info := w.known(); info.Name != "" {
			m.Streams = append(m.Streams, info)
		}
		m.EndUnknown[name] = 0
		if since := w.unknownSince(); !since.IsZero() {
			m.EndUnknown[name] = time.Since(since)
		}
	}
	for _, p := range e.all() {
		m.Projections[p.name] = p.measured()
	}
	return m
}

// measured is what was measured of a projection.
func (p *projection) measured() ProjectionMeasures {
	m := p.measures
	out := ProjectionMeasures{
		Apply: m.apply.Distribution(), Commit: m.commit.Distribution(), Age: m.age.Distribution(),
		Sync: m.sync.Distribution(), Query: m.query.Distribution(), Failed: m.queryFailures.Load(),
		Events: m.events.Load(), Failures: m.failures.Load(), Fuel: m.fuel.Load(), Sessions: m.sessions.Load(),
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.live != nil && p.live.keyspace != nil && p.live.isUnsynced() {
		out.Unsynced = max(0, time.Since(*m.synced.Load()))
	}
	return out
}

// isUnsynced reports whether something is committed and not durable.
func (g *generation) isUnsynced() bool {
	return g.runner.Published().Version != g.keyspace.Durable()
}
