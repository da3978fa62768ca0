package enginetest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"gnomon/engine/catalog"
	"gnomon/engine/state"
)

// Store keeps keyspaces in memory. They outlive their Close, so that a second
// engine on the same Store goes on where the first one stopped.
type Store struct {
	mu        sync.Mutex
	keyspaces map[string]*Keyspace
	opened    map[string]int // how often
	damaged   string         // projection
}

// Damage makes the keyspaces of a projection fail to open.
func (s *Store) Damage(projection string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.damaged = projection
}

// Open implements state.Store.
func (s *Store) Open(_ context.Context, projection, generation string, create bool) (state.Keyspace, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := projection + "/" + generation
	if projection == s.damaged {
		return nil, fmt.Errorf("open keyspace %s: %w", name, state.ErrCorrupt)
	}
	if s.keyspaces == nil {
		s.keyspaces = map[string]*Keyspace{}
	}
	if s.keyspaces[name] == nil {
		if !create {
			return nil, state.ErrNoKeyspace
		}
		s.keyspaces[name] = NewKeyspace()
	}
	if s.opened == nil {
		s.opened = map[string]int{}
	}
	s.opened[name]++
	return s.keyspaces[name], nil
}

// Opened lists the generations of a projection whose keyspaces are open, sorted.
func (s *Store) Opened(projection string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for name, ks := range s.keyspaces {
		if generation, ok := strings.CutPrefix(name, projection+"/"); ok && s.opened[name] > int(ks.Closed()) {
			all = append(all, generation)
		}
	}
	slices.Sort(all)
	return all
}

// Abandon forgets who has keyspaces open: their process has died.
func (s *Store) Abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, ks := range s.keyspaces {
		s.opened[name] = int(ks.Closed())
	}
}

// Remove implements state.Store. To remove what is open is a mistake of the engine.
func (s *Store) Remove(projection, generation string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := projection + "/" + generation
	if ks := s.keyspaces[name]; ks != nil && s.opened[name] > int(ks.Closed()) {
		panic("keyspace " + name + " is removed while it is open")
	}
	delete(s.keyspaces, name)
	delete(s.opened, name)
	return nil
}

// Generations lists the generations of a projection that there are, sorted.
func (s *Store) Generations(projection string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for name := range s.keyspaces {
		if generation, ok := strings.CutPrefix(name, projection+"/"); ok {
			all = append(all, generation)
		}
	}
	slices.Sort(all)
	return all
}

// Catalog keeps records in memory.
type Catalog struct {
	mu      sync.Mutex
	records map[string]catalog.Record
}

// Projection implements catalog.Catalog.
func (c *Catalog) Projection(name string) catalog.Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	return copyRecord(c.records[name])
}

// Update implements catalog.Catalog.
func (c *Catalog) Update(name string, fn func(*catalog.Record) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := copyRecord(c.records[name])
	if err := fn(&r); err != nil {
		return err
	}
	if c.records == nil {
		c.records = map[string]catalog.Record{}
	}
	c.records[name] = r
	return nil
}

// Names implements catalog.Catalog.
func (c *Catalog) Names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.records))
}

func copyRecord(r catalog.Record) catalog.Record {
	r.Generations, r.Snapshots, r.Changes = slices.Clone(r.Generations), slices.Clone(r.Snapshots), slices.Clone(r.Changes)
	if r.Origin != nil {
		origin := *r.Origin
		r.Origin = &origin
	}
	return r
}
