package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"gnomon/engine/catalog"
	"gnomon/engine/measure"
	"gnomon/engine/state"
	"gnomon/engine/streams"
)

const (
	// syncEvery is how often commits are made durable against a crash of the machine.
	syncEvery = 500 * time.Millisecond
	// watchEvery is how often a stream's end is asked for, whatever its readers say.
	watchEvery = time.Second
	// endKnownFor is how long what the server said of a stream's end counts as known: more
	// than a question or two may take.
	endKnownFor = 5 * time.Second
)

// Engine runs projections. Declare them, then Start; or the other way round.
type Engine struct {
	source   *streams.Hub
	store    state.Store
	catalog  catalog.Catalog
	leaser   Leaser
	room     *room
	calendar *calendar
	first    precedence
	replays  chan struct{} // of capacity maxReplays: one for each replay of a part of a commit under way
	whole    chan struct{} // of capacity 1: a replay of everything under way, which may take very long
	past     pastRoom
	asking   chan struct{}  // of as many as may be asked at once: guests of queries under way
	outlet   streams.Outlet // nil: there is none
	tracer   Tracer         // nil: nobody is told
	restore  func(ctx context.Context, declaration []byte, module string) (Spec, error)
	log      *slog.Logger

	mu          sync.Mutex // guards what follows
	projections map[string]*projection
	streams     map[string]*streamWatch
	ctx         context.Context // from Start to Close; nil before
	cancel      context.CancelFunc

	tasks sync.WaitGroup // everything that was started
}

// Options are the parts that an Engine is made of.
type Options struct {
	Source  streams.Source
	Store   state.Store
	Catalog catalog.Catalog
	Leaser  Leaser         // nil: SoleNode
	Outlet  streams.Outlet // nil: nothing is published, and modules that emit are refused
	Tracer  Tracer         // nil: nothing is traced
	Log     *slog.Logger
	Clock   func() time.Time // of the machine, by which what is kept grows old; nil: time.Now

	Space   Space  // where the store is; nil: it is not watched
	Reserve uint64 // bytes of it that are kept free

	// Restore makes the spec of a generation again that runs beside the one that is
	// declared now, from what it was declared as and the digest of its module. Without
	// it such a generation is read as it is, and does not run.
	Restore func(ctx context.Context, declaration []byte, module string) (Spec, error)
}

// New makes an engine that runs nothing yet.
func New(o Options) *Engine {
	if o.Leaser == nil {
		o.Leaser = SoleNode{}
	}
	return &Engine{
		source: streams.NewHub(o.Source, streams.FeedLimit), store: o.Store, catalog: o.Catalog, leaser: o.Leaser, outlet: o.Outlet, tracer: o.Tracer, log: o.Log, restore: o.Restore,
		room:        newRoom(o.Space, o.Reserve),
		calendar:    newCalendar(o.Clock, o.Log),
		asking:      make(chan struct{}, max(1, runtime.GOMAXPROCS(0)-1)),
		replays:     make(chan struct{}, maxReplays),
		whole:       make(chan struct{}, 1),
		past:        pastRoom{most: pastBytes},
		projections: map[string]*projection{}, streams: map[string]*streamWatch{},
	}
}

// Start runs every projection, until Close.
func (e *Engine) Start(ctx context.Context) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ctx, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	e.tasks.Go(func() { e.room.run(e.ctx) })
	for _, w := range e.streams {
		e.beginWatchLocked(w)
	}
	for _, p := range e.projections {
		e.beginLocked(p)
	}
}

// beginLocked runs a projection, if the engine runs.
func (e *Engine) beginLocked(p *projection) {
	if e.ctx == nil || e.ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithCancel(e.ctx)
	p.end, p.ended = cancel, make(chan struct{})
	var both sync.WaitGroup
	both.Go(func() {
		measure.Labelled(ctx, p.run, measure.LabelProjection, p.name, measure.LabelStage, measure.StageApply)
	})
	both.Go(func() {
		measure.Labelled(ctx, p.keep, measure.LabelProjection, p.name, measure.LabelStage, measure.StageKeep)
	})
	e.tasks.Go(func() {
		both.Wait()
		close(p.ended)
	})
}

// enlist returns the projection of a name, and makes one when there is none.
func (e *Engine) enlist(name string) *projection {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.projections[name]
	if p == nil {
		p = e.newProjection(name)
		e.projections[name] = p
		e.beginLocked(p)
	}
	return p
}

// lock returns the projection of a name, and makes one when there is none, with its lock
// held. One that was removed while its lock was waited for is another one by then.
func (e *Engine) lock(ctx context.Context, name string) (*projection, error) {
	for {
		p := e.enlist(name)
		if err := p.lock(ctx); err != nil {
			return nil, err
		}
		p.mu.Lock()
		removed := p.removed
		p.mu.Unlock()
		if !removed {
			return p, nil
		}
		p.unlock()
	}
}

// delist forgets a projection, and ends what runs of it.
func (e *Engine) delist(name string) {
	e.mu.Lock()
	p := e.projections[name]
	delete(e.projections, name)
	e.mu.Unlock()
	if p != nil && p.end != nil {
		p.end()
		<-p.ended
	}
}

// find returns a projection by its name, which may end in a role.
func (e *Engine) find(name string) (*projection, Role, error) {
	name, role, err := CutRole(name)
	if err != nil {
		return nil, "", err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.projections[name]
	if p == nil {
		return nil, "", fmt.Errorf("%w: %q", ErrNoProjection, name)
	}
	return p, role, nil
}

// all are the projections, by name.
func (e *Engine) all() []*projection {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.SortedFunc(maps.Values(e.projections), func(a, b *projection) int { return strings.Compare(a.name, b.name) })
}

// Close stops every projection, commits and syncs what was applied, and closes
// the keyspaces. Readings must be closed before. It may be called more than once.
func (e *Engine) Close() error {
	e.mu.Lock()
	if e.cancel != nil {
		e.cancel()
	}
	e.mu.Unlock()
	e.tasks.Wait()
	var errs []error
	for _, p := range e.all() {
		errs = append(errs, p.close())
	}
	return errors.Join(errs...)
}

// Projections returns the status of every projection, by name.
func (e *Engine) Projections() []Status {
	all := []Status{}
	for _, p := range e.all() {
		all = append(all, p.status())
	}
	return all
}

// Status returns the status of a projection, or, by NAME@candidate and NAME@previous, of
// another generation than the one that is read. It fails with ErrNoProjection or
// ErrNoGeneration.
func (e *Engine) Status(name string) (Status, error) {
	p, role, err := e.find(name)
	if err != nil {
		return Status{}, err
	}
	if role == RoleLive {
		return p.status(), nil
	}
	return p.statusOf(role)
}

// Spec returns what a generation runs. Its functions belong to its runner.
func (e *Engine) Spec(name string) (Spec, error) {
	p, role, err := e.find(name)
	if err != nil {
		return Spec{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	g, err := p.readsLocked(role)
	if err != nil {
		return Spec{}, err
	}
	if g.spec == nil {
		return Spec{}, fmt.Errorf("%w: the module of generation %s is gone", ErrNotReady, g.id)
	}
	return *g.spec, nil
}

// Read opens a reading of the state that a projection serves, or, by NAME@candidate and
// NAME@previous, of another generation's. It fails with ErrNoProjection, with
// ErrNoGeneration, or with ErrNotReady before the first commit.
func (e *Engine) Read(name string) (*Reading, error) {
	p, role, err := e.find(name)
	if err != nil {
		return nil, err
	}
	return p.read(role)
}

// Ready reports whether every projection is live, and of those that are not, why.
func (e *Engine) Ready() (bool, []string) {
	var reasons []string
	for _, s := range e.Projections() {
		if s.State.Serves() {
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
	p, _, err := e.find(name)
	if err != nil {
		return err
	}
	return p.setPaused(paused)
}

// runner returns the runner of a generation, by the projection's name and its role.
func (e *Engine) runner(name string) (*Runner, error) {
	p, role, err := e.find(name)
	if err != nil {
		return nil, err
	}
	g, err := p.generation(role)
	if err != nil {
		return nil, err
	}
	return g.runner, nil
}

// AwaitEnd waits until every projection has committed, and serves, what its stream
// held when AwaitEnd was called. It fails with what keeps some of them from it, after
// it has waited for the others.
func (e *Engine) AwaitEnd(ctx context.Context) error {
	ends := map[string]uint64{}
	unknown := map[string]error{}
	for _, stream := range e.streamNames() {
		info, err := e.source.Stream(ctx, stream)
		ends[stream], unknown[stream] = info.Last, err
	}
	var errs []error
	for _, p := range e.all() {
		stream := p.streamName()
		err := unknown[stream]
		if err == nil {
			err = p.awaitSequence(ctx, ends[stream])
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("projection %s: %w", p.name, err))
		}
	}
	return errors.Join(errs...)
}

func (e *Engine) streamNames() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Sorted(maps.Keys(e.streams))
}

// watch returns the watch of a stream that one generation more reads.
func (e *Engine) watch(stream string) *streamWatch {
	e.source.Expect(stream, 1)
	e.mu.Lock()
	defer e.mu.Unlock()
	w := e.streams[stream]
	if w == nil {
		w = &streamWatch{name: stream, told: time.Now()}
		e.streams[stream] = w
		e.beginWatchLocked(w)
	}
	return w
}

// unwatch is called when a generation no longer reads a stream.
func (e *Engine) unwatch(stream string) { e.source.Expect(stream, -1) }

func (e *Engine) beginWatchLocked(w *streamWatch) {
	if ctx := e.ctx; ctx != nil && ctx.Err() == nil {
		e.tasks.Go(func() { w.run(ctx, e.source) })
	}
}

// streamWatch asks the server for a stream's end, so that a silent reader is not
// taken for one that has nothing to read.
type streamWatch struct {
	name string
	mu   sync.Mutex
	info streams.Info // as the server last said; zero before it did
	told time.Time    // when the server last said something of it, or the watch began
}

func (w *streamWatch) run(ctx context.Context, src streams.Source) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		w.take(src.Stream(ctx, w.name))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// take takes in what the server said, if it said something: that there is no such stream, too.
func (w *streamWatch) take(info streams.Info, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.info = info
	}
	if err == nil || errors.Is(err, streams.ErrNoStream) {
		w.told = time.Now()
	}
}

// unknownSince is when the server last said where the stream ends, once that is longer ago
// than endKnownFor; zero: it is known.
func (w *streamWatch) unknownSince() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.told) <= endKnownFor {
		return time.Time{}
	}
	return w.told
}

func (w *streamWatch) known() streams.Info {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.info
}
