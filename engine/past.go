package engine

import (
	"fmt"
	"slices"
)

// History returns what happened to a projection, oldest first: which module ran from when
// on, and by which change. It goes back maxChanges changes. A projection that is no longer
// declared has one until it is removed. It fails with ErrNoProjection.
func (e *Engine) History(name string) ([]Change, error) {
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
