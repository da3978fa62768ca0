package catalog

import (
	"slices"
	"time"
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

// Note adds to the history of a projection.
func (r *Record) Note(c Change) {
	c.Time = time.Now().UTC()
	r.Changes = append(r.Changes, c)
	if over := len(r.Changes) - maxChanges; over > 0 {
		r.Changes = slices.Delete(r.Changes, 0, over)
	}
}

// generation returns the record of a generation, or nil.
func (r *Record) Find(id string) *Generation {
	for i := range r.Generations {
		if id != "" && r.Generations[i].ID == id {
			return &r.Generations[i]
		}
	}
	return nil
}

// Discard has a generation removed.
func (r *Record) Discard(id, why string) {
	g := r.Find(id)
	if g == nil {
		return
	}
	g.Dropped = true
	r.Note(Change{Kind: Discarded, Generation: id, Module: g.Module, Text: why})
	switch id {
	case r.Candidate:
		r.Candidate = ""
	case r.Previous:
		r.Previous = ""
	}
}
