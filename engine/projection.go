package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// projection is a projection of an Engine: the generation that runs, and the one
// that is read. They are the same, except while a changed projection catches up:
// a live model is never emptied.
type projection struct {
	spec    *Spec
	catalog Catalog
	leaser  Leaser
	log     *slog.Logger
	stream  *streamWatch
	running atomic.Pointer[generation]

	failed error // why its keyspace cannot be opened; nothing of it runs then

	warned string // what the log was told last; only keep's

	changing sync.RWMutex // held while another generation takes over, and read-held while commits are made durable
	rebuilds rebuilds

	mu       sync.Mutex // guards what follows, and pins against expiry
	former   *former    // the generation that is read while the running one catches up; nil otherwise
	readings map[Keyspace]int
	leaving  []Keyspace // of former generations, that somebody reads still
}

// generation is what runs of a projection.
type generation struct {
	id       string
	keyspace Keyspace // nil when it cannot be opened
	runner   *Runner
}

// former is a generation that is read but no longer runs.
type former struct {
	id         string
	keyspace   Keyspace
	checkpoint Checkpoint
}

// openProjection opens the generation that a spec asks for, and the one that is
// read so far when that is another.
func (e *Engine) openProjection(ctx context.Context, spec *Spec) (*projection, error) {
	p := e.newProjection(spec)
	record := e.catalog.Projection(spec.Name)
	g, err := e.openGeneration(ctx, p, record)
	if err != nil {
		return nil, err
	}
	p.running.Store(g)
	if record.Live != "" && record.Live != g.id {
		if p.former, err = openFormer(ctx, e.store, spec.Name, record.Live); err != nil {
			return nil, errors.Join(err, g.keyspace.Close())
		}
	}
	if err := p.register(); err != nil {
		return nil, errors.Join(err, p.close())
	}
	if err := p.pinSnapshots(); err != nil {
		return nil, errors.Join(err, p.close())
	}
	if err := g.serveStored(); err != nil {
		return nil, errors.Join(err, p.close())
	}
	p.rebuilds.open = func(ctx context.Context, record CatalogRecord) (*generation, error) {
		return e.openGeneration(ctx, p, record)
	}
	return p, nil
}

// openGeneration opens the keyspace of the generation that a spec and the rebuilds that
// were asked for make, and creates it when there is none.
func (e *Engine) openGeneration(ctx context.Context, p *projection, record CatalogRecord) (*generation, error) {
	id := p.spec.rebuilt(record.Rebuilds)
	ks, err := e.store.Open(ctx, p.spec.Name, id, true)
	if err != nil {
		return nil, err
	}
	g := &generation{id: id, keyspace: ks, runner: newRunner(p.spec, e.source, ks, e.catalog, e.room, p.log)}
	if record.Paused {
		g.runner.Pause()
	}
	return g, nil
}

// serveStored lets readers see what was committed before, whatever keeps the runner
// from going on: it may be paused, or its server away.
func (g *generation) serveStored() error {
	ck, err := g.keyspace.Latest()
	switch {
	case errors.Is(err, ErrNoCheckpoint):
		return nil
	case err != nil:
		return fmt.Errorf("open keyspace: %w", err)
	}
	g.runner.publish(ck)
	return nil
}

func (e *Engine) newProjection(spec *Spec) *projection {
	return &projection{
		spec: spec, catalog: e.catalog, leaser: e.leaser,
		log: e.log.With("projection", spec.Name), readings: map[Keyspace]int{},
	}
}

// damagedProjection is a projection whose keyspace is damaged: it is halted, and the
// others run.
func (e *Engine) damagedProjection(spec *Spec, err error) *projection {
	p := e.newProjection(spec)
	p.failed = err
	g := &generation{id: spec.rebuilt(e.catalog.Projection(spec.Name).Rebuilds), runner: newRunner(spec, e.source, nil, e.catalog, e.room, p.log)}
	g.runner.enter(Halted, err.Error(), haltHint(err))
	p.running.Store(g)
	p.log.Error("projection cannot be opened", "reason", err)
	return p
}

// openFormer opens the generation that is read so far. One that holds nothing is
// not worth keeping up.
func openFormer(ctx context.Context, st Store, projection, id string) (*former, error) {
	ks, err := st.Open(ctx, projection, id, false)
	if errors.Is(err, ErrNoKeyspace) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open former generation %s: %w", id, err)
	}
	ck, err := ks.Latest()
	if errors.Is(err, ErrNoCheckpoint) {
		return nil, ks.Close()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open former generation %s: %w", id, err), ks.Close())
	}
	return &former{id: id, keyspace: ks, checkpoint: ck}, nil
}

// register notes the running generation in the catalog, as the live one unless a
// former one is read.
func (p *projection) register() error {
	id := p.running.Load().id
	return p.catalog.Update(p.spec.Name, func(r *CatalogRecord) error {
		known := false
		for _, g := range r.Generations {
			known = known || g.ID == id
		}
		if !known {
			r.Generations = append(r.Generations, GenerationRecord{ID: id, Module: p.spec.Module.Digest(), Created: time.Now().UTC()})
		}
		if p.former == nil {
			r.makeLive(id)
		}
		return nil
	})
}

// makeLive makes a generation the one that is read.
func (r *CatalogRecord) makeLive(id string) {
	for i := range r.Generations {
		g := &r.Generations[i]
		switch {
		case g.ID == id:
			g.Retired = time.Time{}
		case g.ID == r.Live:
			g.Retired = time.Now().UTC()
		}
	}
	r.Live = id
}

// run holds the lease and runs the runner until ctx ends.
func (p *projection) run(ctx context.Context) {
	if p.failed != nil {
		return
	}
	for ctx.Err() == nil {
		lease, err := p.leaser.Acquire(ctx, p.spec.Name)
		if err != nil {
			return // only the end of ctx ends the waiting
		}
		p.runUnder(ctx, lease)
		lease.Release()
		p.report(p.takeOver(), "begin the rebuild")
	}
}

func (p *projection) runUnder(ctx context.Context, lease Lease) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.rebuilds.begin(cancel)
	go func() {
		select {
		case <-lease.Lost():
			cancel()
		case <-ctx.Done():
		}
	}()
	p.running.Load().runner.Run(ctx)
}

// keep makes commits durable, hands reads over to the running generation once it
// has caught up, and drops snapshots that are too old.
func (p *projection) keep(ctx context.Context) {
	if p.failed != nil {
		return
	}
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		p.report(p.sync(ctx), "make commits durable")
		p.report(p.handOver(), "hand reads over to the new generation")
		p.warn()
		if n%120 == 0 {
			p.report(p.expireSnapshots(), "drop old snapshots")
		}
	}
}

func (p *projection) report(err error, what string) {
	if err != nil {
		p.log.Error(what, "error", err)
	}
}

func (p *projection) sync(ctx context.Context) error {
	p.changing.RLock()
	defer p.changing.RUnlock()
	g := p.running.Load()
	if g.runner.Published().Version == g.keyspace.Durable() {
		return nil
	}
	_, err := g.keyspace.Sync(ctx)
	return err
}

// handOver lets readers see the running generation instead of the former one, as
// soon as it is live and not behind what they have seen.
func (p *projection) handOver() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.running.Load()
	if p.former == nil || g.runner.State() != Live {
		return nil
	}
	was, is := p.former.checkpoint.Position, g.runner.Published().Position
	// A crash of the machine must not take back what readers have seen, and a stream that
	// lost its tail will not bring it.
	durable := g.keyspace.Durable()
	if durable == 0 || was.Stream == is.Stream && was.Created.Equal(is.Created) && durable.Sequence() < min(was.Sequence, g.runner.knownEnd()) {
		return nil
	}
	err := p.catalog.Update(p.spec.Name, func(r *CatalogRecord) error { r.makeLive(g.id); return nil })
	if err != nil {
		return err
	}
	p.log.Info("new generation caught up and is read now", "generation", g.id, "former", p.former.id, "seq", is.Sequence)
	old := p.former.keyspace
	p.former = nil
	g.runner.changes()
	return p.leaveLocked(old)
}

// giveBack ends a reading.
func (p *projection) giveBack(ks Keyspace) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.readings[ks]--; p.readings[ks] > 0 {
		return
	}
	delete(p.readings, ks)
	if i := slices.Index(p.leaving, ks); i >= 0 {
		p.leaving = slices.Delete(p.leaving, i, i+1)
		p.report(ks.Close(), "close former generation")
	}
}

// building reports whether readers do not see the running generation yet.
func (p *projection) building() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.former != nil
}

// read opens a reading of what is served, or of what runs, which is another
// generation while a changed projection catches up.
func (p *projection) read(runs bool) (*Reading, error) {
	if p.failed != nil {
		return nil, p.failed
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.running.Load()
	ks, ck, id := g.keyspace, g.runner.Published(), g.id
	if p.former != nil && !runs {
		ks, ck, id = p.former.keyspace, p.former.checkpoint, p.former.id
	}
	if ck.Version == 0 {
		return nil, fmt.Errorf("%w: %s", ErrNotReady, p.spec.Name)
	}
	v, err := ks.View(ck.Version)
	for err != nil && ks == g.keyspace && g.runner.Published().Version != ck.Version {
		// A commit came in between, and what was there before is no longer kept.
		ck = g.runner.Published()
		v, err = ks.View(ck.Version)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s at %d: %w", p.spec.Name, ck.Position.Sequence, err)
	}
	p.readings[ks]++
	return &Reading{View: v, Checkpoint: ck, Generation: id, keyspace: ks, done: sync.OnceFunc(func() { p.giveBack(ks) })}, nil
}

func (p *projection) status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.running.Load()
	s := Status{Projection: p.spec.Name, Stream: p.spec.Stream, Generation: g.id, Module: p.spec.Module.Digest()}
	ck := g.runner.Published()
	if p.former != nil {
		ck, s.Generation, s.Building = p.former.checkpoint, p.former.id, g.id
	}
	s.Position, s.PositionTime = ck.Position.Sequence, ck.Position.Time
	s.Keys, s.Bytes, s.Digest, s.Aside = ck.Keys, ck.Bytes, ck.Digest, ck.Aside
	p.stream.known().report(&s, p.spec.Subjects)
	g.runner.report(&s)
	if p.failed != nil {
		return s
	}
	s.Durable = g.keyspace.Durable().Sequence()
	s.DiskBytes = g.keyspace.DiskBytes()
	s.Behind = s.StreamLast - min(s.StreamLast, s.Position)
	return s
}

// awaitSequence waits until the runner has committed a sequence. It fails when
// the projection stops for good before.
func (p *projection) awaitSequence(ctx context.Context, sequence uint64) error {
	for {
		var stopped error
		r := p.running.Load().runner
		err := r.await(ctx, func() bool {
			if p.running.Load().runner != r || p.failed == nil && r.reached(sequence) && !p.building() {
				return true
			}
			stopped = r.stopped()
			return stopped != nil
		})
		if err != nil || p.running.Load().runner == r {
			return errors.Join(err, stopped)
		}
	}
}

// close syncs and closes the keyspaces.
func (p *projection) close() error {
	if p.failed != nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.running.Load().keyspace.Close()
	if g, done := p.rebuilds.take(); g != nil {
		err = errors.Join(err, g.keyspace.Close())
		close(done)
	}
	if p.former != nil {
		err = errors.Join(err, p.former.keyspace.Close())
	}
	for _, ks := range p.leaving {
		err = errors.Join(err, ks.Close())
	}
	return err
}
