package engine

import (
	"fmt"
	"slices"

	"gnomon/engine/catalog"
	"gnomon/engine/state"
)

// History returns what happened to a projection, oldest first: which module ran from when
// on, and by which change. It goes back maxChanges changes. A projection that is no longer
// declared has one until it is removed. It fails with ErrNoProjection.
func (e *Engine) History(name string) ([]catalog.Change, error) {
	name, _, err := CutRole(name)
	if err != nil {
		return nil, err
	}
	record := e.catalog.Projection(name)
	e.mu.Lock()
	known := e.projections[name] != nil
	e.mu.Unlock()
	if !known && record.Live == "" {
		return nil, fmt.Errorf("%w: %q", ErrNoProjection, name)
	}
	return slices.Clone(record.Changes), nil
}

// Past is how much of a projection's history can be read, of the generation that a name
// means.
type Past struct {
	Generation string
	Oldest     state.Position // from which on every sequence can be read
	Newest     state.Position // that is served
	// Began is the sequence before the first event of the generation, from which on what is
	// not kept may be made again from the events (At.Replay), as long as the stream has them;
	// Refused says why it cannot be, if that is known.
	Began   uint64
	Refused string
}

// Past says how much of a projection's history can be read. It fails as Read does.
func (e *Engine) Past(name string) (past Past, err error) {
	p, role, err := e.find(name)
	if err != nil {
		return past, err
	}
	now, g, err := p.readGeneration(role)
	if err != nil {
		return past, err
	}
	defer now.Close()
	oldest, err := oldestAbove(now.keyspace, max(now.keyspace.Oldest(), 1)-1, now.Checkpoint)
	if err != nil {
		return past, fmt.Errorf("read the history of %s: %w", p.name, err)
	}
	past = Past{Generation: g.id, Oldest: oldest.Position, Newest: now.Checkpoint.Position}
	record := p.record()
	began, err := beginning(&record, oldest, oldest.Position.Sequence)
	if err == nil {
		_, err = firstOf(&record, g.id, oldest, began.Sequence)
	}
	if err != nil {
		past.Refused = err.Error()
	}
	past.Began = min(began.Sequence, oldest.Position.Sequence)
	return past, nil
}
