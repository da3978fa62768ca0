package engine

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// rebuilds hands a new generation over to the goroutine that runs a projection.
type rebuilds struct {
	open func(context.Context, CatalogRecord) (*generation, error)

	mu   sync.Mutex
	next *generation        // that is to run; nil: none
	done chan struct{}      // closed when it does
	stop context.CancelFunc // of the run under way; nil: none
}

// Rebuild has a projection built from the beginning of its stream, in a keyspace of its
// own, while what it serves now is served until the new state has caught up. It returns
// when that has begun.
func (e *Engine) Rebuild(ctx context.Context, name string) error {
	p, err := e.projection(name)
	if err != nil {
		return err
	}
	if p.failed != nil {
		return p.failed
	}
	var record CatalogRecord
	err = p.catalog.Update(name, func(r *CatalogRecord) error {
		r.Rebuilds++
		r.Origin = nil // of the stream that there is now
		record = *r
		return nil
	})
	if err != nil {
		return fmt.Errorf("note rebuild of %s: %w", name, err)
	}
	g, err := p.rebuilds.open(ctx, record)
	if err != nil {
		return err
	}
	done := p.rebuilds.put(g)
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err() // it begins all the same
	}
}

// put asks for a generation to run instead of the one that does.
func (r *rebuilds) put(g *generation) (done <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next != nil { // it has not begun yet
		_ = r.next.keyspace.Close()
	} else {
		r.done = make(chan struct{})
	}
	r.next = g
	if r.stop != nil {
		r.stop()
	}
	return r.done
}

// begin notes how a run is stopped, and reports whether there is something to run.
func (r *rebuilds) begin(stop context.CancelFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stop = stop
	if r.next != nil {
		stop()
	}
}

// take returns the generation that is to run; nil when none is.
func (r *rebuilds) take() (g *generation, done chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	g, done = r.next, r.done
	r.next = nil
	return g, done
}

// takeOver lets the generation that was asked for run, if one was. What ran before is
// read until that has caught up, unless another one is read already.
func (p *projection) takeOver() error {
	g, done := p.rebuilds.take()
	if g == nil {
		return nil
	}
	defer close(done)
	p.changing.Lock()
	defer p.changing.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.running.Swap(g)
	old.runner.refuseOrders(fmt.Errorf("%w: the projection is rebuilt", context.Canceled))
	if ck := old.runner.Published(); p.former == nil && ck.Version > 0 {
		p.former = &former{id: old.id, keyspace: old.keyspace, checkpoint: ck}
	} else if err := p.leaveLocked(old.keyspace); err != nil {
		return err
	}
	old.runner.changes()
	p.log.Info("rebuilding", "generation", g.id, "former", old.id)
	return p.register()
}

// leaveLocked closes a keyspace that is no longer needed, or has the last reading of it
// do so.
func (p *projection) leaveLocked(ks Keyspace) error {
	if p.readings[ks] == 0 {
		return ks.Close()
	}
	if !slices.Contains(p.leaving, ks) {
		p.leaving = append(p.leaving, ks)
	}
	return nil
}
