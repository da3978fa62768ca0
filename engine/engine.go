package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// syncEvery is how often commits are made durable against a crash of the machine.
	syncEvery = 500 * time.Millisecond
	// watchEvery is how often a stream's end is asked for, whatever its readers say.
	watchEvery = time.Second
)

// Engine runs projections. Add them, then Start.
type Engine struct {
	source  *hub
	store   Store
	catalog Catalog
	leaser  Leaser
	room    *room
	log     *slog.Logger

	projections map[string]*projection // unchanged after Start
	streams     map[string]*streamWatch

	cancel context.CancelFunc // set by Start
	tasks  sync.WaitGroup     // everything that Start started
}

// Options are the parts that an Engine is made of.
type Options struct {
	Source  Source
	Store   Store
	Catalog Catalog
	Leaser  Leaser // nil: SoleNode
	Log     *slog.Logger

	Space   Space  // where the store is; nil: it is not watched
	Reserve uint64 // bytes of it that are kept free
}

// New makes an engine that runs nothing yet.
func New(o Options) *Engine {
	if o.Leaser == nil {
		o.Leaser = SoleNode{}
	}
	return &Engine{
		source: newHub(o.Source, feedLimit), store: o.Store, catalog: o.Catalog, leaser: o.Leaser, log: o.Log,
		room:        newRoom(o.Space, o.Reserve),
		projections: map[string]*projection{}, streams: map[string]*streamWatch{},
	}
}

// Add opens a projection's keyspace, or creates it. It does not run it yet. One whose
// keyspace is damaged is added as halted.
func (e *Engine) Add(ctx context.Context, spec Spec) error {
	if e.projections[spec.Name] != nil {
		return fmt.Errorf("projection %s: exists already", spec.Name)
	}
	if err := spec.Check(); err != nil {
		return fmt.Errorf("projection %s: its module %w", spec.Name, err)
	}
	p, err := e.openProjection(ctx, &spec)
	if errors.Is(err, ErrCorrupt) {
		p, err = e.damagedProjection(&spec, err), nil
	}
	if err != nil {
		return fmt.Errorf("projection %s: %w", spec.Name, err)
	}
	e.projections[spec.Name] = p
	e.source.expect(spec.Stream)
	if e.streams[spec.Stream] == nil {
		e.streams[spec.Stream] = &streamWatch{name: spec.Stream}
	}
	p.stream = e.streams[spec.Stream]
	return nil
}

// Start runs every projection, until Close.
func (e *Engine) Start(ctx context.Context) {
	ctx, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	e.tasks.Go(func() { e.room.run(ctx) })
	for _, w := range e.streams {
		e.tasks.Go(func() { w.run(ctx, e.source) })
	}
	for _, p := range e.projections {
		e.tasks.Go(func() { labelled(ctx, p.run, labelProjection, p.spec.Name, labelStage, stageApply) })
		e.tasks.Go(func() { labelled(ctx, p.keep, labelProjection, p.spec.Name, labelStage, stageKeep) })
	}
}

// Close stops every projection, commits and syncs what was applied, and closes
// the keyspaces. Readings must be closed before. It may be called more than once.
func (e *Engine) Close() error {
	if e.cancel != nil {
		e.cancel()
	}
	e.tasks.Wait()
	var errs []error
	for _, p := range e.projections {
		errs = append(errs, p.close())
	}
	return errors.Join(errs...)
}

// Projections returns the status of every projection, by name.
func (e *Engine) Projections() []Status {
	all := make([]Status, 0, len(e.projections))
	for _, p := range e.projections {
		all = append(all, p.status())
	}
	slices.SortFunc(all, func(a, b Status) int { return strings.Compare(a.Projection, b.Projection) })
	return all
}

// Status returns the status of a projection, or ErrNoProjection.
func (e *Engine) Status(name string) (Status, error) {
	p, err := e.projection(name)
	if err != nil {
		return Status{}, err
	}
	return p.status(), nil
}

// Read opens a reading of the state that a projection serves. It fails with
// ErrNoProjection, or with ErrNotReady before the first commit.
func (e *Engine) Read(name string) (*Reading, error) {
	p, err := e.projection(name)
	if err != nil {
		return nil, err
	}
	return p.read(false)
}

// ReadRunning opens a reading of the generation that runs: the one that is served,
// except while a changed projection is being rebuilt.
func (e *Engine) ReadRunning(name string) (*Reading, error) {
	p, err := e.projection(name)
	if err != nil {
		return nil, err
	}
	return p.read(true)
}

// Ready reports whether every projection is live, and of those that are not, why.
func (e *Engine) Ready() (bool, []string) {
	var reasons []string
	for _, s := range e.Projections() {
		if s.State.Serves() && s.Building == "" {
			continue
		}
		reason := fmt.Sprintf("projection %s is %s at %d of %d", s.Projection, s.State, s.Position, s.StreamLast)
		if s.Reason != "" {
			reason += ": " + s.Reason
		}
		reasons = append(reasons, reason)
	}
	return len(reasons) == 0, reasons
}

// Pause stops a projection until Resume, also across restarts.
func (e *Engine) Pause(name string) error { return e.setPaused(name, true) }

// Resume lets a paused projection go on.
func (e *Engine) Resume(name string) error { return e.setPaused(name, false) }

func (e *Engine) setPaused(name string, paused bool) error {
	p, err := e.projection(name)
	if err != nil {
		return err
	}
	if p.failed != nil {
		return p.failed
	}
	err = e.catalog.Update(name, func(r *CatalogRecord) error { r.Paused = paused; return nil })
	if err != nil {
		return fmt.Errorf("note pause of %s: %w", name, err)
	}
	if paused {
		p.running.Load().runner.Pause()
	} else {
		p.running.Load().runner.Resume()
	}
	return nil
}

// AwaitEnd waits until every projection has committed, and serves, what its stream
// held when AwaitEnd was called. It fails with what keeps some of them from it, after
// it has waited for the others.
func (e *Engine) AwaitEnd(ctx context.Context) error {
	ends := map[string]uint64{}
	unknown := map[string]error{}
	for stream := range e.streams {
		info, err := e.source.Stream(ctx, stream)
		ends[stream], unknown[stream] = info.Last, err
	}
	var errs []error
	for _, name := range e.names() {
		p := e.projections[name]
		err := unknown[p.spec.Stream]
		if err == nil {
			err = p.awaitSequence(ctx, ends[p.spec.Stream])
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("projection %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

func (e *Engine) names() []string {
	names := make([]string, 0, len(e.projections))
	for name := range e.projections {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (e *Engine) projection(name string) (*projection, error) {
	p := e.projections[name]
	if p == nil {
		return nil, fmt.Errorf("%w: %q", ErrNoProjection, name)
	}
	return p, nil
}

// streamWatch asks the server for a stream's end, so that a silent reader is not
// taken for one that has nothing to read.
type streamWatch struct {
	name string
	mu   sync.Mutex
	info StreamInfo // as the server last said; zero before it did
}

func (w *streamWatch) run(ctx context.Context, src Source) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		if info, err := src.Stream(ctx, w.name); err == nil {
			w.mu.Lock()
			w.info = info
			w.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (w *streamWatch) known() StreamInfo {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.info
}
