package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"gnomon/engine"
	"gnomon/engine/catalog"
)

// simRole is a generation in its role, and how the engine calls it.
type simRole struct {
	*simGeneration
	role engine.Role
	as   string
}

// roles are the generations of a projection that have one, the one that is read first.
func (w *simWorld) roles(p *simProjection) (all []simRole) {
	r := w.catalog.Projection(p.name)
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, id := range []string{r.Live, r.Candidate, r.Previous} {
		if g := w.gens[p.name+id]; g != nil {
			role := []engine.Role{engine.RoleLive, engine.RoleCandidate, engine.RolePrevious}[i]
			all = append(all, simRole{g, role, p.name + "@" + string(role)})
		}
	}
	return all
}

// generation is the one that is read; nil: there is none yet.
func (w *simWorld) generation(p *simProjection) *simGeneration {
	if all := w.roles(p); len(all) > 0 && all[0].role == engine.RoleLive {
		return all[0].simGeneration
	}
	return nil
}

// isNewest reports whether nothing of a projection was built after a generation.
func (w *simWorld) isNewest(g *simGeneration) bool {
	all := w.catalog.Projection(g.name).Generations
	return len(all) > 0 && all[len(all)-1].ID == g.id
}

// recorded holds a change of the catalog against what may follow on what: readers go over
// to a generation that was named before, has what they saw, and would survive a crash of
// the machine.
func (w *simWorld) recorded(name string, before, after catalog.Record) {
	w.recordedEmits(name, before, after)
	roles := []string{after.Live, after.Candidate, after.Previous}
	for i, id := range roles {
		at := slices.IndexFunc(after.Generations, func(g catalog.Generation) bool { return g.ID == id })
		if id != "" && (at < 0 || after.Generations[at].Dropped || slices.Contains(roles[:i], id)) {
			w.violate("%s: the catalog names %v, of %+v", name, roles, after.Generations)
		}
	}
	if before.Live == "" || before.Live == after.Live {
		return
	}
	if after.Live == "" || after.Live != before.Candidate && after.Live != before.Previous {
		w.violate("%s: after %s, %s is read, which was neither candidate nor previous", name, before.Live, after.Live)
	}
	w.mu.Lock()
	var wrong string
	for _, p := range w.projections {
		g := w.gens[name+after.Live]
		if p.name == name && g != nil && p.floor.any && !p.floor.loose && g.keyspace.Durable().Sequence() < p.floor.seen {
			wrong = fmt.Sprintf("%s: readers saw %d, and go over to %s, which is durable up to %d", name, p.floor.seen, after.Live, g.keyspace.Durable().Sequence())
		}
	}
	w.mu.Unlock()
	if wrong != "" {
		w.violate("%s", wrong)
	}
}

// restorer makes the specs of generations again that were declared before.
func (w *simWorld) restorer(r *rand.Rand, l *life) func(context.Context, []byte, string) (engine.Spec, error) {
	if !w.restores {
		return nil
	}
	drawn := r.Uint64()
	return func(_ context.Context, declaration []byte, module string) (engine.Spec, error) {
		for _, p := range w.projections {
			spec := w.specOf(rand.New(rand.NewPCG(drawn, 0)), l, p, p.as(declaration))
			if spec.Module.Digest() == module && strings.Contains(string(declaration), fmt.Sprintf("%q", p.name)) {
				return spec, nil
			}
		}
		return engine.Spec{}, errors.New("its module is gone")
	}
}

// failIfNot fails when a reading is not what its checkpoint says.
func (w *simWorld) failIfNot(r *engine.Reading) {
	if d := digestOf(scanned(r.View)); d != r.Checkpoint.Digest {
		w.failf("a reading of %s at %d has digest %.8s, its checkpoint says %.8s", r.Generation, r.Checkpoint.Position.Sequence, d, r.Checkpoint.Digest)
	}
}

// settled reports whether the generations of a projection have nothing more to do.
func (w *simWorld) settled(p *simProjection) bool {
	for _, g := range w.roles(p) {
		s, err := w.life.engine.Status(g.as)
		if err != nil || s.Generation != g.id || !w.rests(g, s) {
			return false
		}
	}
	c := w.status(p).Candidate
	return c == nil || c.State != engine.Live || !c.Auto
}

// rests reports whether a generation has nothing more to do.
func (w *simWorld) rests(g simRole, s engine.Status) bool {
	switch s.State {
	case engine.Live:
		return s.Position == w.last() && s.Applied == w.last() && w.published(g, s)
	case engine.Halted:
		return w.published(g, s)
	case engine.Stalled:
		return waitsForLive(s)
	case engine.Stopped:
		return !w.restores && !w.isDeclared(g) && w.published(g, s)
	case engine.Diverged:
		if !g.other {
			w.failf("%s (%+v) has diverged, though the history is what it was: %s", g.as, g.simTraits, s.Reason)
		}
		return true
	}
	return false
}

// isDeclared reports whether a generation is what its projection is declared as.
func (w *simWorld) isDeclared(g simRole) bool {
	for _, p := range w.projections {
		for _, r := range w.catalog.Projection(g.name).Generations {
			if p.name == g.name && r.ID == g.id {
				return p.as(r.Declaration).version == p.version && p.as(r.Declaration).build == p.build
			}
		}
	}
	return false
}

// any reports whether something is so of one of the generations of a projection.
func (w *simWorld) any(p *simProjection, is func(g simRole, s engine.Status) bool) bool {
	return slices.ContainsFunc(w.roles(p), func(g simRole) bool {
		s, err := w.life.engine.Status(g.as)
		return err == nil && is(g, s)
	})
}

// checkKept holds what there is of a projection at rest against what the catalog names.
func (w *simWorld) checkKept(p *simProjection) {
	record := w.catalog.Projection(p.name)
	named := func(id string) bool {
		return slices.ContainsFunc(record.Generations, func(g catalog.Generation) bool {
			return g.ID == id && (!g.Dropped || slices.ContainsFunc(w.held, func(h heldReading) bool { return h.Generation == id }))
		})
	}
	open := []string{}
	for _, g := range w.roles(p) {
		open = append(open, g.id)
	}
	slices.Sort(open)
	if opened := w.store.Opened(p.name); len(w.held) == 0 && !slices.Equal(opened, open) {
		w.failf("%s: open are %v, want %v", p.name, opened, open)
	}
	for _, id := range w.store.Generations(p.name) {
		if !named(id) {
			w.failf("%s: keyspace %s is still there, of %+v", p.name, id, record.Generations)
		}
	}
	for _, s := range record.Snapshots {
		if !named(s.Generation) {
			w.failf("%s: snapshot %s is of generation %s, which is gone", p.name, s.Name, s.Generation)
		}
	}
}
