package store

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"

	"gnomon/engine/catalog"
)

// CatalogFile is the file of a data directory that the catalog is kept in.
const CatalogFile = "catalog.json"

// Catalog keeps what operators decide, and what is under way across restarts, in one
// small file that is replaced whole at every change. It implements catalog.Catalog.
type Catalog struct {
	dir string

	updating sync.Mutex // held while a record is read, changed and written

	mu   sync.Mutex // guards file
	file catalogContent
}

var _ catalog.Catalog = (*Catalog)(nil)

type catalogContent struct {
	Format      int                       `json:"format"`
	Engine      string                    `json:"engine"` // random; tells data directories apart
	Projections map[string]catalog.Record `json:"projections"`
	Seeds       map[string]string         `json:"seeds,omitempty"` // files, by the stream that has only a part of them
}

// openCatalog reads a catalog, and writes an empty one when there is none.
func openCatalog(dir string) (*Catalog, error) {
	c := &Catalog{dir: dir}
	err := c.read()
	if errors.Is(err, fs.ErrNotExist) {
		c.file = catalogContent{Format: Format, Engine: rand.Text(), Projections: map[string]catalog.Record{}}
		err = writeJSON(filepath.Join(dir, CatalogFile), c.file)
	}
	if err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	return c, nil
}

// ReadCatalog returns the records of a data directory, also while an engine runs on it: the
// file is replaced whole. It fails with fs.ErrNotExist when there is none.
func ReadCatalog(dir string) (map[string]catalog.Record, error) {
	c := &Catalog{dir: dir}
	if err := c.read(); err != nil {
		return nil, fmt.Errorf("read catalog: %w", err)
	}
	return c.file.Projections, nil
}

func (c *Catalog) read() error {
	if err := readJSON(filepath.Join(c.dir, CatalogFile), &c.file); err != nil {
		return err
	}
	if c.file.Projections == nil {
		c.file.Projections = map[string]catalog.Record{}
	}
	return nil
}

func (c *Catalog) id() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.file.Engine
}

// Projection implements catalog.Catalog.
func (c *Catalog) Projection(name string) catalog.Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.file.Projections[name]
	r.Generations = slices.Clone(r.Generations)
	r.Snapshots = slices.Clone(r.Snapshots)
	r.Accepted = slices.Clone(r.Accepted)
	r.Changes = slices.Clone(r.Changes)
	return r
}

// Update implements catalog.Catalog. Fn may read the catalog, not update it.
func (c *Catalog) Update(name string, fn func(*catalog.Record) error) error {
	c.updating.Lock()
	defer c.updating.Unlock()
	r := c.Projection(name)
	before, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := fn(&r); err != nil {
		return err
	}
	after, err := json.Marshal(r)
	if err != nil || string(after) == string(before) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	next := c.file
	next.Projections = maps.Clone(c.file.Projections)
	next.Projections[name] = r
	return c.replace(next)
}

// replace writes the whole file anew. The caller holds mu.
func (c *Catalog) replace(next catalogContent) error {
	if err := writeJSON(filepath.Join(c.dir, CatalogFile), next); err != nil {
		return fmt.Errorf("write catalog: %w", err)
	}
	c.file = next
	return nil
}

// Seeding returns the file that a stream is being filled from; ok is false when none
// is, for then what the stream holds is its user's own.
func (c *Catalog) Seeding(stream string) (file string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	file, ok = c.file.Seeds[stream]
	return file, ok
}

// BeginSeed notes that a stream is being filled from a file. The note is on disk when
// it returns, and stays until EndSeed.
func (c *Catalog) BeginSeed(stream, file string) error {
	return c.updateSeeds(func(seeds map[string]string) { seeds[stream] = file })
}

// EndSeed notes that a stream has all of the file.
func (c *Catalog) EndSeed(stream string) error {
	return c.updateSeeds(func(seeds map[string]string) { delete(seeds, stream) })
}

func (c *Catalog) updateSeeds(change func(map[string]string)) error {
	c.updating.Lock()
	defer c.updating.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	next := c.file
	next.Seeds = map[string]string{}
	maps.Copy(next.Seeds, c.file.Seeds)
	change(next.Seeds)
	return c.replace(next)
}

// Names implements catalog.Catalog.
func (c *Catalog) Names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.file.Projections))
}
