package engine

import (
	"errors"
	"slices"

	"gnomon/engine/state"
)

// leave stops a generation that has no role any more, and closes it, or has the last
// reading of it do so.
func (p *projection) leave(g *generation) error {
	if g == nil {
		return nil
	}
	p.halt(g)
	g.runner.end("it is given up", "")
	p.forgetSeen(false)
	return p.closeUnread()
}

// giveBack ends a reading.
func (p *projection) giveBack(ks state.Keyspace) {
	p.mu.Lock()
	if p.readings[ks]--; p.readings[ks] == 0 {
		delete(p.readings, ks)
	}
	removed := p.removed
	p.mu.Unlock()
	p.report(p.closeUnread(), "close generation")
	if removed { // nobody else sweeps any more
		p.report(p.sweep(), "remove what nobody needs")
	}
}

// closeUnread closes the generations without a role that neither run nor are read. Until
// one is closed it counts as open, so that nobody removes its files.
func (p *projection) closeUnread() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for {
		i := slices.IndexFunc(p.leaving, func(g *generation) bool {
			return g.running == nil && g.publishing == nil && !g.closing && p.readings[g.keyspace] == 0
		})
		if i < 0 {
			return errors.Join(errs...)
		}
		g := p.leaving[i]
		g.closing = true
		p.mu.Unlock() // for that takes time
		err := g.close()
		p.mu.Lock()
		p.leaving = slices.DeleteFunc(p.leaving, func(o *generation) bool { return o == g })
		p.letGoLocked(g)
		errs = append(errs, err)
	}
}

// letGoLocked gives up what a generation used.
func (p *projection) letGoLocked(g *generation) {
	p.endAnswersLocked(g)
	if g.spec != nil {
		p.engine.unwatch(g.spec.Stream)
		p.release(g.spec)
	}
}
