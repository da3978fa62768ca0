package engine

import (
	"slices"

	"gnomon/engine/catalog"
	"gnomon/engine/state"
)

// Runs reports whether a generation on record is what the spec makes of its stream.
func (s *Spec) Runs(r *catalog.Record, id string) bool {
	g := r.Find(id)
	switch {
	case g == nil:
		return false
	case g.Identity != "":
		return g.Identity == s.Generation()
	}
	for n := range r.Rebuilds + 1 { // recorded before identities were
		if g.ID == s.rebuilt(n) {
			return true
		}
	}
	return false
}

// newID is the id of another generation of a spec.
func newID(r *catalog.Record, spec *Spec) string {
	for n := 0; ; n++ {
		if id := spec.rebuilt(n); r.Find(id) == nil {
			return id
		}
	}
}

// exchange notes that a generation goes on with another spec, from a version on.
func exchange(g *catalog.Generation, spec *Spec, from state.Version) {
	was := catalog.Stint{Identity: g.Identity, Module: g.Module, Schema: g.Schema, Through: from, Declaration: g.Declaration}
	describe(g, spec)
	if from == 0 || was.Identity == g.Identity {
		return
	}
	g.Past = append(g.Past, was)
	if over := len(g.Past) - catalog.MaxPast; over > 0 {
		g.Past = slices.Delete(g.Past, 0, over)
	}
}

// describe notes what a generation runs.
func describe(g *catalog.Generation, spec *Spec) {
	g.Identity, g.Source, g.Module = spec.Generation(), spec.Source(), spec.Module.Digest()
	g.Schema = spec.Schema
	g.Memory, g.Declaration = spec.Module.Traits().Memory, spec.Declaration
}
