package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gnomon/engine/catalog"
	"gnomon/engine/state"
)

// Errors of ReadSnapshot and Arrive.
var (
	// ErrHasState says that a projection has a state already.
	ErrHasState = errors.New("projection has a state already")
	// ErrNotDeclaredSo says that a generation is not what its projection is declared as.
	ErrNotDeclaredSo = errors.New("projection is declared as something else")
)

// ReadSnapshot opens a reading of a named snapshot. Name is a projection's, or ends in the
// role of the generation that the snapshot must be of. It fails with ErrNoProjection,
// ErrNoGeneration or ErrNoSnapshot.
func (e *Engine) ReadSnapshot(name, snapshot string) (*Reading, error) {
	p, role, err := e.find(name)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock() // guards the pin against expiry
	g, err := p.readsLocked(role)
	if err != nil {
		return nil, err
	}
	s, err := p.record().Snapshot(snapshot, g.id)
	if err != nil {
		return nil, err
	}
	return p.readAtLocked(g, s.Version)
}

// readAtLocked opens a reading of a generation at a version that is kept.
func (p *projection) readAtLocked(g *generation, v state.Version) (*Reading, error) {
	view, err := g.keyspace.View(v)
	if err != nil {
		return nil, fmt.Errorf("read %s at %d: %w", p.name, v.Sequence(), err)
	}
	ck, err := g.keyspace.Checkpoint(v)
	if err != nil {
		view.Close()
		return nil, fmt.Errorf("read %s at %d: %w", p.name, v.Sequence(), err)
	}
	return p.readingLocked(g, view, ck), nil
}

// Keyspace is what the reading reads, which stays open until the reading is closed. It is
// not to be committed to, nor to be closed.
func (r *Reading) Keyspace() state.Keyspace { return r.keyspace }

// Arrival is a state that was made elsewhere and becomes a generation here.
type Arrival struct {
	Spec *Spec // of the generation, and of the projection
	// Origin is where the projection began there; nil: it is not known.
	Origin *catalog.Origin
	// Candidate has it become the candidate of a projection that has a state. Without it that
	// is refused.
	Candidate bool
	Why       string // for the history
	// Load makes the keyspace, all of it or nothing, and returns its newest checkpoint.
	Load func(ctx context.Context, generation string) (state.Checkpoint, error)
}

// Arrive makes a generation of an arrival: the live one of a projection without a state, or
// the candidate of one that has one. No engine may run on the catalog. It returns the
// generation, and fails with ErrHasState, ErrNotDeclaredSo, or the error of Load; then
// nothing has changed.
//
// Until its keyspace is whole, the catalog says that the generation is to be removed; so
// does an engine that starts after a crash, or the next arrival.
func Arrive(ctx context.Context, store state.Store, records catalog.Catalog, a Arrival) (id string, ck state.Checkpoint, err error) {
	record := records.Projection(a.Spec.Name)
	if err := a.check(record); err != nil {
		return "", ck, err
	}
	if err := removeDropped(store, records, a.Spec.Name); err != nil {
		return "", ck, err
	}
	err = records.Update(a.Spec.Name, func(r *catalog.Record) error {
		id = newID(r, a.Spec)
		g := catalog.Generation{ID: id, Created: time.Now().UTC(), Auto: a.Spec.AutoPromote != PromoteByHand, Dropped: true}
		describe(&g, a.Spec)
		g.Declaration = nil // the engine notes it when it declares the projection
		r.Generations = append(r.Generations, g)
		return nil
	})
	if err != nil {
		return "", ck, err
	}
	// A keyspace without a record is one that a crash left.
	if err = store.Remove(a.Spec.Name, id); err == nil {
		ck, err = a.Load(ctx, id)
	}
	if err != nil {
		return "", ck, errors.Join(err, removeDropped(store, records, a.Spec.Name))
	}
	return id, ck, records.Update(a.Spec.Name, func(r *catalog.Record) error { a.take(r, id, ck); return nil })
}

// check refuses an arrival that the projection has no use for.
func (a *Arrival) check(r catalog.Record) error {
	switch {
	case r.Live == "":
		return nil
	case !a.Candidate:
		return fmt.Errorf("%w: generation %s of %s is read", ErrHasState, r.Live, a.Spec.Name)
	}
	schema := 0
	if live := r.Find(r.Live); live != nil {
		schema = live.Schema
	}
	if p := planOf(&r, a.Spec, schema); p.Action == ActSwap {
		return fmt.Errorf("%w: its code would be exchanged (on_change = \"swap\"), and no candidate be built", ErrNotDeclaredSo)
	}
	return nil
}

// take notes that a generation is whole, and what it is.
func (a *Arrival) take(r *catalog.Record, id string, ck state.Checkpoint) {
	g := r.Find(id)
	g.Dropped = false
	r.Note(catalog.Change{Kind: catalog.Created, Generation: id, Module: g.Module, Sequence: ck.Position.Sequence, Text: a.Why})
	if r.Live != "" {
		r.Discard(r.Candidate, "an imported one takes its place")
		r.Candidate = id
	} else {
		r.Live = id
	}
	if r.Origin == nil {
		r.Origin = a.Origin
	}
}

// removeDropped removes the generations of a projection that were given up. None may be
// open.
func removeDropped(store state.Store, records catalog.Catalog, projection string) error {
	for _, g := range records.Projection(projection).Generations {
		if !g.Dropped {
			continue
		}
		if err := store.Remove(projection, g.ID); err != nil {
			return err
		}
		err := records.Update(projection, func(r *catalog.Record) error {
			is := func(o catalog.Generation) bool { return o.ID == g.ID }
			r.Generations = slices.DeleteFunc(r.Generations, is)
			r.Snapshots = slices.DeleteFunc(r.Snapshots, func(s catalog.Snapshot) bool { return s.Generation == g.ID })
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
