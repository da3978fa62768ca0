package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gnomon/engine/catalog"
)

// The note that a stream is being filled outlives the process that wrote it, and is
// gone when the stream was filled; records of projections are left as they are.
func TestSeedIsNotedUntilItIsComplete(t *testing.T) {
	path := t.TempDir()
	expect := func(c *Catalog, stream, file string) {
		t.Helper()
		if got, ok := c.Seeding(stream); got != file || ok != (file != "") {
			t.Errorf("stream %s is being filled from %q (%v), want %q", stream, got, ok, file)
		}
	}
	d := openDir(t, path)
	expect(d.Catalog(), "LOG", "")
	if err := errors.Join(
		d.Catalog().BeginSeed("LOG", "log.jsonl"), d.Catalog().BeginSeed("OTHER", "other.jsonl"),
		d.Catalog().Update("p", set(catalog.Record{Paused: true})), d.Close(),
	); err != nil {
		t.Fatal(err)
	}
	d = openDir(t, path)
	expect(d.Catalog(), "LOG", "log.jsonl")
	expect(d.Catalog(), "OTHER", "other.jsonl")
	if err := errors.Join(d.Catalog().EndSeed("LOG"), d.Catalog().EndSeed("OTHER"), d.Close()); err != nil {
		t.Fatal(err)
	}
	c := openDir(t, path).Catalog()
	expect(c, "LOG", "")
	expect(c, "OTHER", "")
	if !c.Projection("p").Paused {
		t.Error("the record of a projection is lost")
	}
	b, err := os.ReadFile(filepath.Join(path, CatalogFile))
	if err != nil || strings.Contains(string(b), "seeds") {
		t.Errorf("the catalog still speaks of seeds: %s (%v)", b, err)
	}
}

// A note that cannot be written is an error, and is not believed.
func TestSeedThatCannotBeNoted(t *testing.T) {
	path := t.TempDir()
	c := openDir(t, path).Catalog()
	c.dir = filepath.Join(path, "gone")
	if err := c.BeginSeed("LOG", "log.jsonl"); err == nil || !strings.HasPrefix(err.Error(), "write catalog: ") {
		t.Errorf("error = %v, want that the catalog cannot be written", err)
	}
	if file, ok := c.Seeding("LOG"); ok {
		t.Errorf("the stream counts as being filled from %s", file)
	}
}
