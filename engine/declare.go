package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gnomon/engine/catalog"
	"gnomon/engine/state"
)

// Action is what a declaration asks an engine to do.
type Action string

// The actions.
const (
	ActNothing Action = "nothing" // it runs as declared, or is being built
	ActNew     Action = "new"     // there is no such projection yet
	ActAdjust  Action = "adjust"  // the same state under other limits or policies
	ActSwap    Action = "swap"    // the code is exchanged, the state stays
	ActRebuild Action = "rebuild" // a candidate is built beside what is read
	ActReturn  Action = "return"  // to the previous generation, whose state is there still
	ActStop    Action = "stop"    // it is no longer declared: its data is kept
)

// Plan is what a declaration would do, and why.
type Plan struct {
	Projection string `json:"projection"`
	Action     Action `json:"action"`
	Why        string `json:"why,omitempty"`
	Discards   string `json:"discards,omitempty"` // the candidate that nobody asks for any more
}

// planOf says what a declaration asks for. Schema is the one of the state that is read.
func planOf(r *catalog.Record, spec *Spec, schema int) Plan {
	p := Plan{Projection: spec.Name, Action: ActNothing}
	live := r.Find(r.Live)
	switch {
	case live == nil:
		p.Action, p.Why = ActNew, "it has no state yet"
	case spec.Runs(r, r.Live) && schema <= spec.Schema:
		if len(live.Declaration) > 0 && !sameJSON(live.Declaration, spec.Declaration) {
			p.Action, p.Why = ActAdjust, "module, settings and source are the same"
		}
		if !spec.Runs(r, r.Candidate) {
			p.Discards = r.Candidate
		}
	case spec.OnChange == SwapCode && spec.cannotSwap(live, schema) == "":
		p.Action, p.Why, p.Discards = ActSwap, whatChanged(live, spec), r.Candidate
		if spec.Schema > schema {
			p.Why += fmt.Sprintf("; migrate rewrites the state from schema %d to %d", schema, spec.Schema)
		}
	case spec.Runs(r, r.Candidate):
		p.Why = "it is being built"
	case spec.Runs(r, r.Previous):
		p.Action, p.Why, p.Discards = ActReturn, "the generation that was read before is just that", r.Candidate
	default:
		p.Action, p.Why, p.Discards = ActRebuild, whatChanged(live, spec), r.Candidate
		if spec.OnChange == SwapCode {
			p.Why += "; no swap: " + spec.cannotSwap(live, schema)
		}
	}
	return p
}

// sameJSON compares two JSON values, whatever space is in them: the catalog may write it
// otherwise.
func sameJSON(a, b []byte) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}

// whatChanged says in what a spec differs from what runs.
func whatChanged(live *catalog.Generation, spec *Spec) string {
	switch {
	case live.Source == "":
		return "module, settings or source changed"
	case live.Source != spec.Source():
		return "stream, subjects, start, key or upcasters changed"
	case live.Module != spec.Module.Digest():
		return fmt.Sprintf("the module changed, from %.12s to %.12s", live.Module, spec.Module.Digest())
	}
	if live.Schema != spec.Schema {
		return fmt.Sprintf("the schema changed, from %d to %d", live.Schema, spec.Schema)
	}
	return "the settings changed"
}

// cannotSwap says why code cannot take over the state of a generation; empty: it can.
func (s *Spec) cannotSwap(live *catalog.Generation, schema int) string {
	has := s.Module.Traits()
	switch {
	case live.Source != s.Source():
		return "it reads other events"
	case live.Memory != has.Memory:
		return "one of the modules keeps state in its own memory, the other in keys"
	case s.Schema < schema:
		return fmt.Sprintf("the state is of schema %d, and the module declares %d", schema, s.Schema)
	case s.Schema > schema && !has.Migrate:
		return fmt.Sprintf("the state is of schema %d, the module declares %d, and does not export migrate", schema, s.Schema)
	}
	return ""
}

// Declare says what a projection is. A new one begins to run. Of one that exists the
// running generation goes on where the declaration means the same state; otherwise a
// candidate is built beside it, or the code is exchanged, as the spec asks for. When it
// fails, what ran goes on. It may be called before Start, and at any time after it.
func (e *Engine) Declare(ctx context.Context, spec Spec) (Plan, error) {
	if err := spec.Check(); err != nil {
		return Plan{}, fmt.Errorf("projection %s: its module %w", spec.Name, err)
	}
	if err := e.checkOutlet(ctx, &spec); err != nil {
		return Plan{}, fmt.Errorf("projection %s: its module %w", spec.Name, err)
	}
	p, err := e.lock(ctx, spec.Name)
	if err != nil {
		return Plan{}, err
	}
	defer p.unlock()
	plan, err := p.declare(ctx, &spec)
	if err != nil {
		return plan, fmt.Errorf("projection %s: %w", spec.Name, err)
	}
	return plan, nil
}

// Refuse notes why the newest declaration of a projection cannot be taken, for its status;
// nil takes that back. What ran goes on; what ran before the last start, runs again. A
// projection that never ran is there with its reason.
func (e *Engine) Refuse(ctx context.Context, name string, why error) error {
	p, err := e.lock(ctx, name)
	if err != nil {
		return err
	}
	defer p.unlock()
	text := ""
	if why != nil {
		text = why.Error()
	}
	p.mu.Lock()
	again := text == p.refused
	p.refused = text
	p.mu.Unlock()
	if !again && why != nil {
		p.log.Error("declaration refused, what ran goes on", "reason", why)
	}
	return p.openRecorded(ctx, nil)
}

// Withdraw stops a projection that is no longer declared, or whose module is gone. Its
// data is kept, and can be read until the engine ends.
func (e *Engine) Withdraw(ctx context.Context, name, why string) error {
	p, err := e.lock(ctx, name)
	if err != nil {
		return err
	}
	defer p.unlock()
	p.mu.Lock()
	before := p.withdrawn
	p.declareLocked(nil)
	p.withdrawn = true
	p.mu.Unlock()
	if before {
		return nil
	}
	if err := p.openRecorded(ctx, nil); err != nil {
		return err
	}
	p.mu.Lock()
	all := p.generationsLocked()
	p.mu.Unlock()
	for _, g := range all {
		p.halt(g)
		g.runner.end(why, "declare it again, or remove its data with: engine remove "+p.name)
	}
	p.log.Warn("projection is stopped, its data is kept", "reason", why)
	return p.update(func(r *catalog.Record) error {
		if r.Live != "" && !r.Withdrawn() {
			r.Note(catalog.Change{Kind: catalog.Withdrawn, Generation: r.Live, Text: why})
		}
		return nil
	})
}

// ErrDeclared says that a projection cannot be removed while it is declared.
var ErrDeclared = errors.New("projection is declared")

// Remove removes a projection that is no longer declared, with all its data, for good: also
// one that has not been since the engine started.
func (e *Engine) Remove(ctx context.Context, name string) error {
	if _, _, err := e.find(name); err != nil && len(e.catalog.Projection(name).Generations) == 0 {
		return err
	}
	p, err := e.lock(ctx, name)
	if err != nil {
		return err
	}
	defer p.unlock()
	p.mu.Lock()
	declared := p.declared != nil || p.refused != "" // one that is refused is declared
	p.mu.Unlock()
	if declared {
		return fmt.Errorf("%w: %q; take it out of the configuration first", ErrDeclared, name)
	}
	err = p.update(func(r *catalog.Record) error {
		for i := range r.Generations {
			r.Generations[i].Dropped = true
		}
		*r = catalog.Record{Generations: r.Generations}
		return nil
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	all := p.generationsLocked()
	p.setRolesLocked(nil, nil, nil)
	p.removed = true
	p.mu.Unlock()
	for _, g := range all {
		err = errors.Join(err, p.leave(g))
	}
	e.delist(name)
	p.log.Info("projection removed")
	return errors.Join(err, p.sweep())
}

// PlanOf says what declaring a spec would do to a projection with that record.
func PlanOf(r catalog.Record, spec *Spec) (Plan, error) {
	if err := spec.Check(); err != nil {
		return Plan{}, fmt.Errorf("projection %s: its module %w", spec.Name, err)
	}
	schema := 0
	if live := r.Find(r.Live); live != nil {
		schema = live.Schema
	}
	return planOf(&r, spec, schema), nil
}

// declare carries out what a declaration asks for. The caller holds the lock.
func (p *projection) declare(ctx context.Context, spec *Spec) (Plan, error) {
	if err := p.openRecorded(ctx, spec); err != nil {
		return Plan{}, err
	}
	p.mu.Lock()
	p.withdrawn = false
	p.mu.Unlock()
	record := p.record()
	plan := planOf(&record, spec, p.schema())
	var err error
	switch plan.Action {
	case ActNew:
		err = p.build(ctx, spec, "it is new")
	case ActRebuild:
		err = p.build(ctx, spec, plan.Why)
	case ActReturn:
		err = p.returnToPrevious(plan.Why)
	case ActSwap:
		err = p.swap(ctx, spec, plan)
	}
	if err == nil && plan.Discards != "" {
		err = p.discardCandidate(plan.Discards, plan.Why)
	}
	if err == nil {
		err = p.adjust(ctx, spec)
	}
	if err != nil {
		return plan, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.declareLocked(spec)
	return plan, nil
}

// declareLocked notes what the projection is declared as; nil: it is not.
func (p *projection) declareLocked(spec *Spec) {
	if spec != nil {
		spec.uses++
	}
	if p.declared != nil {
		p.release(p.declared)
	}
	p.declared, p.refused, p.withdrawn = spec, "", false
}

// schema is that of the state that is read.
func (p *projection) schema() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.live == nil {
		return 0
	}
	return p.live.runner.Published().Schema
}

// openRecorded opens the generations that the catalog knows of, each with what it ran
// as, or with the spec where that is the same. It does nothing when they are open.
func (p *projection) openRecorded(ctx context.Context, spec *Spec) error {
	p.mu.Lock()
	open := p.live != nil
	p.mu.Unlock()
	record := p.record()
	if open || record.Live == "" {
		return nil
	}
	var opened [3]*generation
	for i, id := range []string{record.Live, record.Candidate, record.Previous} {
		if id == "" {
			continue
		}
		g, err := p.openGeneration(ctx, &record, id, spec)
		if err != nil {
			err = errors.Join(err, p.closeAll(opened[:i]))
		}
		if errors.Is(err, state.ErrNoKeyspace) { // the process ended before it was made, and now it cannot be
			if err := p.unbuild(id); err != nil {
				return err
			}
			return p.openRecorded(ctx, spec)
		}
		if err != nil {
			return err
		}
		opened[i] = g
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.setRolesLocked(opened[0], opened[1], opened[2])
	if err := p.pinSnapshotsLocked(); err != nil {
		return err
	}
	for _, g := range p.generationsLocked() {
		p.startLocked(g)
	}
	return nil
}

// closeAll closes generations that nobody has seen yet.
func (p *projection) closeAll(opened []*generation) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, g := range opened {
		if g != nil {
			errs = append(errs, g.close())
			p.letGoLocked(g)
		}
	}
	return errors.Join(errs...)
}

// build begins a new generation: the live one when there is none, else the candidate.
func (p *projection) build(ctx context.Context, spec *Spec, why string) error {
	record := p.record()
	id := newID(&record, spec)
	err := p.update(func(r *catalog.Record) error {
		r.Discard(r.Candidate, "another one is built in its place")
		g := catalog.Generation{ID: id, Created: time.Now().UTC()}
		describe(&g, spec)
		r.Generations = append(r.Generations, g)
		r.Note(catalog.Change{Kind: catalog.Created, Generation: id, Module: g.Module, Text: why})
		if r.Live == "" {
			r.Live = id
		} else {
			r.Candidate = id
		}
		record = *r
		return nil
	})
	if err != nil {
		return err
	}
	g, err := p.openGeneration(ctx, &record, id, spec)
	if err != nil {
		return errors.Join(err, p.unbuild(id))
	}
	p.mu.Lock()
	var old *generation
	if p.live == nil {
		p.setRolesLocked(g, nil, nil)
	} else {
		old = p.candidate
		p.setRolesLocked(p.live, g, p.previous)
		p.log.Info("a candidate is built", "generation", id, "reason", why)
	}
	p.startLocked(g)
	p.mu.Unlock()
	return p.leave(old)
}

// unbuild takes back a generation that could not be opened.
func (p *projection) unbuild(id string) error {
	return p.update(func(r *catalog.Record) error {
		r.Discard(id, "its keyspace cannot be opened")
		if r.Live == id {
			r.Live, r.Candidate = r.Candidate, ""
		}
		if r.Live == "" {
			r.Live, r.Previous = r.Previous, ""
		}
		return nil
	})
}

// returnToPrevious makes the generation that was read before the candidate.
func (p *projection) returnToPrevious(why string) error {
	err := p.update(func(r *catalog.Record) error {
		r.Note(catalog.Change{Kind: catalog.Created, Generation: r.Previous, Text: why})
		r.Discard(r.Candidate, why)
		r.Candidate, r.Previous = r.Previous, ""
		g := r.Find(r.Candidate)
		g.Retired, g.Declined = time.Time{}, false
		return nil
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	old := p.candidate
	p.setRolesLocked(p.live, p.previous, nil)
	p.mu.Unlock()
	return p.leave(old)
}

// discardCandidate gives up a candidate that nobody asks for any more.
func (p *projection) discardCandidate(id, why string) error {
	p.mu.Lock()
	g := p.candidate
	if g == nil || g.id != id {
		p.mu.Unlock()
		return nil
	}
	p.setRolesLocked(p.live, nil, p.previous)
	p.mu.Unlock()
	if why == "" {
		why = "what is read is as declared"
	}
	err := p.update(func(r *catalog.Record) error { r.Discard(id, why); return nil })
	p.log.Info("candidate given up", "generation", id, "reason", why)
	return errors.Join(err, p.leave(g))
}

// adjust has the generations of a spec go on under its limits and policies.
func (p *projection) adjust(ctx context.Context, spec *Spec) error {
	err := p.update(func(r *catalog.Record) error {
		for i := range r.Generations {
			if g := &r.Generations[i]; spec.Runs(r, g.ID) && !g.Dropped {
				describe(g, spec)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	record := p.record()
	for _, g := range p.generationsLocked() {
		if spec.Runs(&record, g.id) {
			p.useLocked(g, spec)
		}
		p.startLocked(g) // all of them stop when it is withdrawn
	}
	return nil
}
