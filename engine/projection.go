package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gnomon/engine/catalog"
	"gnomon/engine/state"
	"gnomon/engine/streams"
)

// projection is a projection of an Engine, as up to three generations: the one that is
// read, a candidate that is built to take over from it, and the one that was read before.
// Each follows the stream by itself, in a keyspace of its own: a live model is never
// emptied.
type projection struct {
	name   string
	engine *Engine
	log    *slog.Logger

	end      context.CancelFunc // of its goroutines; nil: there are none
	ended    chan struct{}      // closed when they have ended
	changing chan struct{}      // of capacity 1: held by who changes which generations there are
	running  sync.WaitGroup     // goroutines of generations

	warned string // what the log was told last; only keep's

	measures *measures

	mu        sync.Mutex // guards what follows, and pins against expiry
	declared  *Spec      // nil: it is not, or no longer
	withdrawn bool       // it is no longer declared: nothing of it runs
	removed   bool       // with its data, but for what is still read
	refused   string     // why its newest declaration is not taken
	live      *generation
	candidate *generation     // nil: none is built
	previous  *generation     // nil: there is none
	unequal   string          // candidate that does not take over by itself, for its state is another one
	leased    context.Context // nil: another node runs the projection
	readings  map[state.Keyspace]int
	emission  atomic.Pointer[catalog.Emission] // as the catalog has it, for the runners
	leaving   []*generation                    // that somebody still reads; then they are closed
	unchecked []catalog.Snapshot               // that may be gone
	mirror    *MirrorStatus                    // nil: there is none
	seen      []keptSeen                       // by watchers that may come back, the oldest first
}

func (e *Engine) newProjection(name string) *projection {
	return &projection{
		name: name, engine: e, log: e.log.With("projection", name),
		changing: make(chan struct{}, 1), readings: map[state.Keyspace]int{}, measures: newMeasures(),
	}
}

// lock waits until nobody else changes which generations there are.
func (p *projection) lock(ctx context.Context) error {
	select {
	case p.changing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *projection) unlock() { <-p.changing }

func (p *projection) record() catalog.Record { return p.engine.catalog.Projection(p.name) }

// update changes the projection's record.
func (p *projection) update(fn func(*catalog.Record) error) error {
	return p.engine.catalog.Update(p.name, fn)
}

// generationsLocked are those that there are, the one that is read first.
func (p *projection) generationsLocked() []*generation {
	var all []*generation
	for _, g := range []*generation{p.live, p.candidate, p.previous} {
		if g != nil {
			all = append(all, g)
		}
	}
	return all
}

// setRolesLocked changes which generations there are. Those that have no role then are to
// leave.
func (p *projection) setRolesLocked(live, candidate, previous *generation) {
	before := p.generationsLocked()
	p.live, p.candidate, p.previous = live, candidate, previous
	p.grantLocked()
	now := p.generationsLocked()
	for _, g := range now {
		g.runner.background.Store(g != live)
	}
	for _, g := range before {
		g.runner.changes() // for those who wait for what has a role
		if !slices.Contains(now, g) {
			p.leaving = append(p.leaving, g)
		}
	}
}

// run holds the lease and runs the generations until ctx ends.
func (p *projection) run(ctx context.Context) {
	for ctx.Err() == nil {
		lease, err := p.engine.leaser.Acquire(ctx, p.name)
		if err != nil {
			return // only the end of ctx ends the waiting
		}
		p.runUnder(ctx, lease)
		lease.Release()
	}
}

func (p *projection) runUnder(ctx context.Context, lease Lease) {
	ctx, cancel := context.WithCancel(ctx)
	p.mu.Lock()
	p.leased = ctx
	for _, g := range p.generationsLocked() {
		p.startLocked(g)
	}
	p.mu.Unlock()
	select {
	case <-lease.Lost():
	case <-ctx.Done():
	}
	p.mu.Lock()
	p.leased = nil
	p.mu.Unlock()
	cancel()
	p.running.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, g := range p.generationsLocked() {
		g.running, g.publishing = nil, nil
	}
}

// keep does what is due now and then: it makes commits durable, lets a candidate take
// over that is to do so by itself, and drops what is too old.
func (p *projection) keep(ctx context.Context) {
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		p.forgetSeen(false)
		p.report(p.sync(ctx), "make commits durable")
		p.report(p.checkSnapshots(), "drop snapshots that are gone")
		p.report(p.promoteItself(ctx), "let the candidate take over")
		p.report(p.retire(ctx), "give up the previous generation")
		p.report(p.sweep(), "remove what nobody needs")
		p.dropIdle()
		p.warn()
		if n%120 == 0 {
			p.report(p.expireSnapshots(), "drop old snapshots")
		}
	}
}

func (p *projection) report(err error, what string) {
	if err != nil && !errors.Is(err, context.Canceled) {
		p.log.Error(what, "error", err)
	}
}

// sync makes commits durable.
func (p *projection) sync(ctx context.Context) error {
	p.mu.Lock()
	var all []*generation
	var specs []*Spec
	for _, g := range p.generationsLocked() {
		if g.keyspace != nil && g.isUnsynced() {
			all, specs = append(all, g), append(specs, g.spec)
			p.readings[g.keyspace]++ // it stays open
		}
	}
	p.mu.Unlock()
	var errs []error
	for i, g := range all {
		p.keepHistory(g.keyspace, specs[i])
		began := time.Now()
		_, err := g.keyspace.Sync(ctx)
		p.measures.sync.Observe(time.Since(began))
		errs = append(errs, err)
		p.giveBack(g.keyspace)
	}
	err := errors.Join(errs...)
	if err == nil {
		p.measures.allSynced()
	}
	return err
}

// reads returns the generation of a role, with what it has committed.
func (p *projection) readsLocked(role Role) (*generation, error) {
	g := p.live
	switch role {
	case RoleCandidate:
		g = p.candidate
	case RolePrevious:
		g = p.previous
	}
	switch {
	case g == nil && role == RoleLive:
		return nil, fmt.Errorf("%w: %s", ErrNotReady, p.name)
	case g == nil:
		return nil, fmt.Errorf("%w: projection %s has no %s", ErrNoGeneration, p.name, role)
	case g.failed != nil:
		return nil, g.failed
	}
	return g, nil
}

// generation returns the generation of a role.
func (p *projection) generation(role Role) (*generation, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.readsLocked(role)
}

// read opens a reading of what is committed of a generation.
func (p *projection) read(role Role) (*Reading, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g, err := p.readsLocked(role)
	if err != nil {
		return nil, err
	}
	return p.readLocked(g)
}

func (p *projection) readLocked(g *generation) (*Reading, error) {
	ks, ck := g.keyspace, g.runner.Published()
	if ck.Version == 0 {
		return nil, fmt.Errorf("%w: %s", ErrNotReady, p.name)
	}
	v, err := ks.View(ck.Version)
	for err != nil && ks == g.keyspace && g.runner.Published().Version != ck.Version {
		// A commit came in between, and what was there before is no longer kept.
		ck = g.runner.Published()
		v, err = ks.View(ck.Version)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s at %d: %w", p.name, ck.Position.Sequence, err)
	}
	return p.readingLocked(g, v, ck), nil
}

// readingLocked is a reading of a view, which keeps the generation open.
func (p *projection) readingLocked(g *generation, v state.View, ck state.Checkpoint) *Reading {
	ks := g.keyspace
	p.readings[ks]++
	state, end := g.runner.standing()
	if g.stream != nil {
		end = max(end, g.stream.known().Last)
	}
	return &Reading{
		View: v, Checkpoint: ck, Generation: g.id, State: state, Behind: end - min(end, ck.Position.Sequence),
		keyspace: ks, projection: p, generation: g, done: sync.OnceFunc(func() { p.giveBack(ks) }),
	}
}

// setPaused pauses all generations, or lets them go on.
func (p *projection) setPaused(paused bool) error {
	if _, err := p.generation(RoleLive); err != nil {
		return err
	}
	err := p.update(func(r *catalog.Record) error { r.Paused = paused; return nil })
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, g := range p.generationsLocked() {
		if paused {
			g.runner.Pause()
		} else {
			g.runner.Resume()
		}
	}
	return nil
}

// status is what is known of the projection: of the generation that is read, in the first
// place.
func (p *projection) status() Status {
	record := p.record()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Status{Projection: p.name, Refused: p.refused, Mirror: p.mirror}
	g := p.live
	switch {
	case g == nil && p.withdrawn:
		s.State, s.Reason = Stopped, "it has no data, and is not declared"
		return s
	case g == nil && p.refused == "": // its declaration is under way
		s.State = Starting
		return s
	case g == nil:
		s.State, s.Reason = Halted, p.refused
		return s
	}
	p.reportLocked(&s, g, &record)
	if c := p.candidate; c != nil {
		s.Building = c.id
		s.Candidate = p.generationStatusLocked(c, RoleCandidate, &record)
	}
	if v := p.previous; v != nil {
		s.Previous = p.generationStatusLocked(v, RolePrevious, &record)
		if r := record.Find(v.id); r != nil && p.declared != nil {
			s.Previous.Until = r.Retired.Add(p.declared.KeepPrevious)
		}
	}
	return s
}

// statusOf is what is known of the generation of a role.
func (p *projection) statusOf(role Role) (Status, error) {
	record := p.record()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Status{Projection: p.name + "@" + string(role)}
	g, err := p.readsLocked(role)
	if g != nil {
		p.reportLocked(&s, g, &record)
		s.Hint = p.hintOf(role, s.Hint)
	}
	return s, err
}

// hintOf has a hint name the generation of a role, and not the one that is read.
func (p *projection) hintOf(role Role, hint string) string {
	for _, verb := range []string{" skip ", " retry "} {
		hint = strings.ReplaceAll(hint, verb+p.name+" ", verb+p.name+"@"+string(role)+" ")
	}
	return hint
}

// reportLocked fills in what a generation knows.
func (p *projection) reportLocked(s *Status, g *generation, r *catalog.Record) {
	s.Generation = g.id
	if record := r.Find(g.id); record != nil {
		s.Module = record.Module
	}
	ck := g.runner.Published()
	s.Stream = ck.Position.Stream
	if g.spec != nil {
		s.Stream, s.Module = g.spec.Stream, g.spec.Module.Digest()
	}
	s.Position, s.PositionTime = ck.Position.Sequence, ck.Position.Time
	s.Keys, s.Bytes, s.Digest, s.Aside = ck.Keys, ck.Bytes, ck.Digest, ck.Aside
	if g.stream != nil && g.spec != nil {
		reportStream(s, g.stream.known(), g.spec.asked())
	}
	g.runner.report(s)
	g.runner.reportEmits(s)
	if g.failed != nil {
		return
	}
	s.Durable = g.keyspace.Durable().Sequence()
	s.DiskBytes = g.keyspace.DiskBytes()
	var stream streams.Info
	if g.stream != nil {
		stream, s.EndUnknownSince = g.stream.known(), g.stream.unknownSince()
	}
	s.reportBehind(stream, g.runner.lastLevel())
}

func (p *projection) generationStatusLocked(g *generation, role Role, r *catalog.Record) *GenerationStatus {
	var s Status
	p.reportLocked(&s, g, r)
	out := &GenerationStatus{
		ID: g.id, Module: s.Module, State: s.State, Reason: s.Reason, Hint: p.hintOf(role, s.Hint), Position: s.Position, Behind: s.Behind,
		Keys: s.Keys, Digest: s.Digest, Rate: s.Rate, LeftMs: s.LeftMs, Failing: s.Failing,
	}
	if record := r.Find(g.id); record != nil {
		out.Auto = p.autoLocked(g, record)
	}
	return out
}

// autoLocked reports whether a candidate is to take over by itself.
func (p *projection) autoLocked(g *generation, r *catalog.Generation) bool {
	asks := r.Auto || g.spec != nil && g.spec.AutoPromote != PromoteByHand
	return asks && !r.Declined && p.unequal != g.id
}

// streamName is the stream that the generation which is read gets its events from.
func (p *projection) streamName() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.live == nil || p.live.spec == nil {
		return ""
	}
	return p.live.spec.Stream
}

// awaitSequence waits until the generation that is read, and a candidate, have committed
// a sequence, and until a candidate has taken over that does so by itself. It fails when
// one of them stops for good before.
func (p *projection) awaitSequence(ctx context.Context, sequence uint64) error {
	for {
		p.mu.Lock()
		live, candidate := p.live, p.candidate
		p.mu.Unlock()
		err := p.awaitGeneration(ctx, live, func() bool { return live.runner.reached(sequence) && live.runner.outbox.isEmpty() })
		if candidate != nil && ctx.Err() == nil {
			cerr := p.awaitGeneration(ctx, candidate, func() bool { return candidate.runner.reached(sequence) && !p.takesOver(candidate) })
			err = errors.Join(err, cerr)
		}
		p.mu.Lock()
		same := p.live == live && p.candidate == candidate
		p.mu.Unlock()
		if same || ctx.Err() != nil {
			return err
		}
	}
}

// awaitGeneration waits until done, or until the generation has another role.
func (p *projection) awaitGeneration(ctx context.Context, g *generation, done func() bool) error {
	if g == nil {
		return ErrNotReady
	}
	p.mu.Lock()
	live := p.live
	p.mu.Unlock()
	var stopped error
	err := g.runner.await(ctx, func() bool {
		p.mu.Lock()
		moved := p.live != live
		p.mu.Unlock()
		if stopped = nil; moved || done() {
			return true
		}
		stopped = g.runner.stopped()
		return stopped != nil
	})
	return errors.Join(err, stopped)
}

// close closes all generations. They must not run.
func (p *projection) close() error {
	p.forgetSeen(true)
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, g := range append(p.generationsLocked(), p.leaving...) {
		errs = append(errs, g.close())
		p.letGoLocked(g)
	}
	if p.declared != nil {
		p.release(p.declared)
	}
	p.live, p.candidate, p.previous, p.leaving, p.declared = nil, nil, nil, nil, nil
	return errors.Join(errs...)
}
