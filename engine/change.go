package engine

import (
	"slices"
	"time"

	"gnomon/engine/state"
)

// Change is something that happened to a projection: which module ran from when on, and
// why.
type Change struct {
	Time       time.Time  `json:"time"`
	Kind       ChangeKind `json:"kind"`
	Generation string     `json:"generation,omitempty"` // that it is about
	Module     string     `json:"module,omitempty"`     // digest
	Sequence   uint64     `json:"seq"`                  // that was applied last before it took effect
	Text       string     `json:"text,omitempty"`       // why, or what else is worth knowing
}

// ChangeKind names what happened.
type ChangeKind string

// The kinds of change.
const (
	Created    ChangeKind = "created"     // a generation began to be built
	Promoted   ChangeKind = "promoted"    // readers went over to a generation
	RolledBack ChangeKind = "rolled-back" // readers went back to a generation
	Swapped    ChangeKind = "swapped"     // a generation goes on with another module, or other settings
	Migrated   ChangeKind = "migrated"    // and its state was rewritten for it
	Discarded  ChangeKind = "discarded"   // a generation was given up, and its data removed
	Withdrawn  ChangeKind = "withdrawn"   // it is no longer declared; its data is kept
)

// maxChanges bounds what is remembered of a projection's past.
const maxChanges = 1000

// note adds to the history of a projection.
func (r *CatalogRecord) note(c Change) {
	c.Time = time.Now().UTC()
	r.Changes = append(r.Changes, c)
	if over := len(r.Changes) - maxChanges; over > 0 {
		r.Changes = slices.Delete(r.Changes, 0, over)
	}
}

// generation returns the record of a generation, or nil.
func (r *CatalogRecord) generation(id string) *GenerationRecord {
	for i := range r.Generations {
		if id != "" && r.Generations[i].ID == id {
			return &r.Generations[i]
		}
	}
	return nil
}

// Runs reports whether a generation is what a spec makes of its stream.
func (r *CatalogRecord) Runs(id string, spec *Spec) bool {
	g := r.generation(id)
	switch {
	case g == nil:
		return false
	case g.Identity != "":
		return g.Identity == spec.Generation()
	}
	for n := range r.Rebuilds + 1 { // recorded before identities were
		if g.ID == spec.rebuilt(n) {
			return true
		}
	}
	return false
}

// newID is the id of another generation of a spec.
func (r *CatalogRecord) newID(spec *Spec) string {
	for n := 0; ; n++ {
		if id := spec.rebuilt(n); r.generation(id) == nil {
			return id
		}
	}
}

// discard has a generation removed.
func (r *CatalogRecord) discard(id, why string) {
	g := r.generation(id)
	if g == nil {
		return
	}
	g.Dropped = true
	r.note(Change{Kind: Discarded, Generation: id, Module: g.Module, Text: why})
	switch id {
	case r.Candidate:
		r.Candidate = ""
	case r.Previous:
		r.Previous = ""
	}
}

// exchange notes that a generation goes on with another spec, from a version on.
func (g *GenerationRecord) exchange(spec *Spec, from state.Version) {
	was := Stint{Identity: g.Identity, Module: g.Module, Schema: g.Schema, Through: from, Declaration: g.Declaration}
	g.describe(spec)
	if from == 0 || was.Identity == g.Identity {
		return
	}
	g.Past = append(g.Past, was)
	if over := len(g.Past) - maxPast; over > 0 {
		g.Past = slices.Delete(g.Past, 0, over)
	}
}

// describe notes what a generation runs.
func (g *GenerationRecord) describe(spec *Spec) {
	g.Identity, g.Source, g.Module = spec.Generation(), spec.Source(), spec.Module.Digest()
	g.Schema = spec.Schema
	g.Memory, g.Declaration = spec.Module.Traits().Memory, spec.Declaration
}
