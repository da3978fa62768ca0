package engine

import (
	"context"
	"errors"
	"fmt"

	"gnomon/engine/catalog"
	"gnomon/engine/measure"
	"gnomon/engine/state"
)

// generation is what one module, with its settings, makes of a stream: a keyspace and
// the runner that keeps it in step.
type generation struct {
	id       string
	keyspace state.Keyspace // nil when it cannot be opened
	runner   *Runner
	stream   *streamWatch
	failed   error // why it cannot be opened

	// Guarded by the projection's mu.
	spec       *Spec // nil when its module cannot be had any more: then it is read, and does not run
	running    *task // follows the stream; nil: it does not run
	publishing *task // publishes what it emits; nil: nobody does

	closing bool // it is being closed

	changing bool // its code is being exchanged, and it does not run: it is not started

	answers *answers // instances that answer queries; nil: there are none
}

// task is a goroutine that can be stopped.
type task struct {
	stop context.CancelFunc
	done chan struct{} // closed when it has ended
}

// beginTaskLocked begins a task of a generation, which the end of the lease ends, too. The lock
// is the projection's.
func (p *projection) beginTaskLocked(stage string, run func(ctx context.Context)) *task {
	ctx, stop := context.WithCancel(p.leased)
	t := &task{stop, make(chan struct{})}
	p.running.Go(func() {
		defer close(t.done)
		measure.Labelled(ctx, run, measure.LabelProjection, p.name, measure.LabelStage, stage)
	})
	return t
}

// endTask ends a task of a generation, and reports whether there was one.
func (p *projection) endTask(of **task) bool {
	p.mu.Lock()
	t := *of
	p.mu.Unlock()
	if t == nil {
		return false
	}
	t.stop()
	<-t.done
	p.mu.Lock()
	*of = nil
	p.mu.Unlock()
	return true
}

// close closes the keyspace. The generation must not run, nor be read.
func (g *generation) close() error {
	if g.keyspace == nil {
		return nil
	}
	if err := g.runner.trim(); err != nil { // then it is looked for in the target streams
		g.runner.log.Warn("what is published cannot be removed", "error", err)
	}
	return g.keyspace.Close()
}

// openGeneration opens a generation that the catalog knows of, and creates its keyspace
// when there is none. It runs what it ran, or the given spec where that is the same. One
// whose keyspace is damaged is halted.
func (p *projection) openGeneration(ctx context.Context, r *catalog.Record, id string, spec *Spec) (*generation, error) {
	e, g := p.engine, &generation{id: id}
	record := r.Find(id)
	if record == nil { // of a catalog from before generations were recorded
		record = &catalog.Generation{ID: id}
	}
	var why error
	if spec == nil || !spec.Runs(r, id) {
		spec, why = e.respec(ctx, p.name, record)
	}
	ks, err := e.store.Open(ctx, p.name, id, spec != nil)
	if errors.Is(err, state.ErrCorrupt) {
		g.failed, err = err, nil
	}
	if err != nil {
		return nil, err
	}
	if spec != nil && g.failed == nil { // a kill between a migration and its note
		if ck, err := ks.Latest(); err == nil && ck.Schema > spec.Schema {
			why = fmt.Errorf("its state was migrated to schema %d, and the module declares %d", ck.Schema, spec.Schema)
			spec = nil
		}
	}
	name := &Spec{Name: p.name}
	if spec != nil {
		name = spec
	}
	p.keepHistory(ks, spec)
	g.keyspace, g.runner = ks, newRunner(name, id, e, ks, p.log.With("generation", id))
	g.runner.measures = p.measures
	if g.spec = spec; spec != nil {
		spec.uses++
		g.stream = e.watch(spec.Stream)
	}
	switch {
	case g.failed != nil:
		g.keyspace = nil
		g.runner.enter(Halted, g.failed.Error(), haltHint(g.failed, p.name))
		p.log.Error("generation cannot be opened", "generation", id, "reason", g.failed)
		return g, nil
	case spec == nil:
		g.runner.enter(Stopped, fmt.Sprintf("its module cannot run it: %v", why), "it is read as it is, until the candidate takes over")
	case r.Paused:
		g.runner.Pause()
	}
	return g, g.serveStored()
}

// serveStored lets readers see what was committed before, whatever keeps the runner
// from going on: it may be paused, or its server away.
func (g *generation) serveStored() error {
	ck, err := g.keyspace.Latest()
	switch {
	case errors.Is(err, state.ErrNoCheckpoint):
		return nil
	case err != nil:
		return errors.Join(fmt.Errorf("open keyspace: %w", err), g.keyspace.Close())
	}
	g.runner.publish(ck)
	return nil
}

// respec makes the spec of a generation again, from what it was declared as.
func (e *Engine) respec(ctx context.Context, projection string, g *catalog.Generation) (*Spec, error) {
	if e.restore == nil || len(g.Declaration) == 0 {
		return nil, errors.New("what it was declared as is not recorded")
	}
	spec, err := e.restore(ctx, g.Declaration, g.Module)
	if err == nil && (spec.Name != projection || spec.Module.Digest() != g.Module) {
		err = fmt.Errorf("its declaration is that of %s with module %.12s", spec.Name, spec.Module.Digest())
	}
	if err != nil {
		return nil, err
	}
	return &spec, nil
}

// startLocked runs a generation, if this node is to run the projection. The lock is the
// projection's. One that runs already goes on.
func (p *projection) startLocked(g *generation) {
	p.startRelayLocked(g)
	if p.leased == nil || p.withdrawn || g.failed != nil || g.spec == nil || g.running != nil || g.changing {
		return
	}
	if g.runner.State() == Stopped {
		g.runner.enter(Starting, "", "")
	}
	g.running = p.beginTaskLocked(measure.StageApply, g.runner.Run)
}

// startRelayLocked publishes what a generation emits, also when it does not run any more.
func (p *projection) startRelayLocked(g *generation) {
	if p.leased == nil || p.withdrawn || g.keyspace == nil || g.publishing != nil || p.engine.outlet == nil {
		return
	}
	g.publishing = p.beginTaskLocked(measure.StageRelay, g.runner.relay)
}

// halt ends what runs of a generation, when what it applied is committed.
func (p *projection) halt(g *generation) {
	p.endTask(&g.publishing)
	if !p.endTask(&g.running) {
		return
	}
	g.runner.settleAdoption()
	g.runner.refuseOrders(fmt.Errorf("%w: the generation is stopped", context.Canceled))
}

// useLocked has a generation go on with another spec, at its next session. The lock is
// the projection's.
func (p *projection) useLocked(g *generation, spec *Spec) {
	if g.failed != nil || g.spec == spec {
		return
	}
	old := g.spec
	p.endAnswersLocked(g)
	spec.uses++
	g.spec, g.stream = spec, p.engine.watch(spec.Stream)
	if old != nil {
		p.engine.unwatch(old.Stream)
	}
	if g.running == nil { // it does not run
		g.runner.spec = spec
		g.runner.enter(Starting, "", "")
		if old != nil {
			p.release(old)
		}
		return
	}
	g.runner.adopt(spec, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.release(old)
	})
}

// release gives up one use of a spec. With the last one its modules are closed. The lock
// is the projection's.
func (p *projection) release(spec *Spec) {
	if spec.uses--; spec.uses > 0 {
		return
	}
	p.report(spec.closeModules(context.Background()), "close module")
}
