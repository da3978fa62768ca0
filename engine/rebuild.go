package engine

import (
	"context"
	"fmt"

	"gnomon/engine/catalog"
)

// Rebuild has a projection built from the beginning of its stream, in a keyspace of its
// own, while what it serves now is served until the new state has caught up: then that
// takes over by itself. It returns when the building has begun.
func (e *Engine) Rebuild(ctx context.Context, name string) error {
	p, _, err := e.find(name)
	if err != nil {
		return err
	}
	if err := p.lock(ctx); err != nil {
		return err
	}
	defer p.unlock()
	p.mu.Lock()
	spec := p.declared
	if spec == nil && p.live != nil {
		spec = p.live.spec
	}
	p.mu.Unlock()
	if spec == nil {
		return fmt.Errorf("%w: %s", ErrNotReady, name)
	}
	err = p.update(func(r *catalog.Record) error {
		r.Rebuilds++
		return nil
	})
	if err != nil {
		return err
	}
	if err := p.build(ctx, spec, "an operator asked for it"); err != nil {
		return err
	}
	return p.update(func(r *catalog.Record) error {
		if g := r.Find(r.Candidate); g != nil {
			g.Auto = true
		}
		return nil
	})
}

// swap exchanges the code of the generation that is read, between two events.
func (p *projection) swap(ctx context.Context, spec *Spec, plan Plan) error {
	p.mu.Lock()
	g, runs := p.live, p.live.running != nil
	g.changing = !runs
	p.mu.Unlock()
	from := g.runner.Published().Schema
	var err error
	if runs {
		err = g.runner.swap(ctx, spec)
	} else {
		err = g.runner.tryOut(ctx, spec)
		p.mu.Lock()
		if g.changing = false; err == nil {
			p.useLocked(g, spec)
		}
		p.startLocked(g) // the node may have got the projection meanwhile
		p.mu.Unlock()
	}
	if err != nil {
		return fmt.Errorf("the module cannot take over, what ran goes on: %w", err)
	}
	p.mu.Lock()
	if runs {
		p.endAnswersLocked(g)
		spec.uses++
		p.release(g.spec)
		g.spec = spec
	}
	at := g.runner.Published().Position.Sequence
	p.mu.Unlock()
	p.log.Info("code exchanged", "generation", g.id, "module", spec.Module.Digest(), "sequence", at, "reason", plan.Why)
	return p.update(func(r *catalog.Record) error {
		exchange(r.Find(g.id), spec, g.runner.took)
		c := catalog.Change{Kind: catalog.Swapped, Generation: g.id, Module: spec.Module.Digest(), Sequence: at, Text: plan.Why}
		r.Note(c)
		if spec.Schema > from {
			c.Kind, c.Text = catalog.Migrated, fmt.Sprintf("from schema %d to %d", from, spec.Schema)
			r.Note(c)
		}
		return nil
	})
}
