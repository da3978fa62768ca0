package engine

import (
	"context"
	"slices"
	"time"

	"gnomon/engine/catalog"
)

// retire gives up the previous generation once it has been kept for long enough.
func (p *projection) retire(ctx context.Context) error {
	p.mu.Lock()
	g, declared := p.previous, p.declared
	p.mu.Unlock()
	if g == nil || declared == nil || p.engine.calendar.now().Before(p.until(g.id, declared)) {
		return nil
	}
	if err := p.lock(ctx); err != nil {
		return err
	}
	defer p.unlock()
	p.mu.Lock()
	if p.previous != g {
		p.mu.Unlock()
		return nil
	}
	p.setRolesLocked(p.live, p.candidate, nil)
	p.mu.Unlock()
	err := p.update(func(r *catalog.Record) error { r.Discard(g.id, "keep_previous is over"); return nil })
	if err != nil {
		return err
	}
	p.log.Info("previous generation is given up", "generation", g.id)
	return p.leave(g)
}

// until is when a previous generation is given up.
func (p *projection) until(id string, declared *Spec) time.Time {
	record := p.record()
	g := record.Find(id)
	if g == nil {
		return time.Time{}
	}
	return g.Retired.Add(declared.KeepPrevious)
}

// sweep removes the keyspaces of generations that were given up and that nobody reads any
// more, and forgets their snapshots.
func (p *projection) sweep() error {
	record := p.record()
	var gone []string
	for _, g := range record.Generations {
		if !g.Dropped || p.isOpen(g.ID) {
			continue
		}
		if err := p.engine.store.Remove(p.name, g.ID); err != nil {
			return err
		}
		gone = append(gone, g.ID)
	}
	if len(gone) == 0 {
		return nil
	}
	return p.update(func(r *catalog.Record) error {
		for _, s := range r.Snapshots {
			if slices.Contains(gone, s.Generation) {
				p.log.Warn("snapshot dropped with its generation", "snapshot", s.Name, "sequence", s.Sequence)
			}
		}
		r.Generations = slices.DeleteFunc(r.Generations, func(g catalog.Generation) bool { return slices.Contains(gone, g.ID) })
		r.Snapshots = slices.DeleteFunc(r.Snapshots, func(s catalog.Snapshot) bool { return slices.Contains(gone, s.Generation) })
		return nil
	})
}

// isOpen reports whether the keyspace of a generation is open.
func (p *projection) isOpen(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	is := func(g *generation) bool { return g.id == id }
	return slices.ContainsFunc(p.generationsLocked(), is) || slices.ContainsFunc(p.leaving, is)
}
