package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gnomon/engine/catalog"
	"gnomon/engine/state"
)

// record is a catalog record with everything in it.
func record() catalog.Record {
	at := time.Date(2024, 5, 6, 7, 8, 9, 123456789, time.UTC)
	return catalog.Record{
		Live:   "g2",
		Paused: true,
		Generations: []catalog.Generation{
			{ID: "g1", Module: "sha256:aa", Created: at, Retired: at.Add(time.Hour)},
			{ID: "g2", Module: "sha256:bb", Created: at.Add(time.Minute)},
		},
		Snapshots: []catalog.Snapshot{{
			Name: "may", Generation: "g2", Version: state.VersionAt(7) + 1, Sequence: 7, Time: at, Created: at.Add(time.Second),
			Keys: 3, Bytes: 99, Digest: state.Term([]byte("k"), []byte("v")),
		}},
	}
}

func set(r catalog.Record) func(*catalog.Record) error {
	return func(into *catalog.Record) error { *into = r; return nil }
}

// What operators decided is found again, whole, when the directory is opened
// anew, by an engine and for reading alike.
func TestCatalogSurvives(t *testing.T) {
	path := t.TempDir()
	d := openDir(t, path)
	c := d.Catalog()
	if r := c.Projection("p"); !reflect.DeepEqual(r, catalog.Record{}) || len(c.Names()) > 0 {
		t.Fatalf("new catalog has %v, %+v", c.Names(), r)
	}
	if err := errors.Join(c.Update("p", set(record())), c.Update("a", set(catalog.Record{Paused: true}))); err != nil {
		t.Fatal(err)
	}
	id := c.id()
	check := func(c *Catalog) {
		t.Helper()
		if r := c.Projection("p"); !reflect.DeepEqual(r, record()) {
			t.Errorf("record is %+v", r)
		}
		if n := c.Names(); !slices.Equal(n, []string{"a", "p"}) {
			t.Errorf("names are %v", n)
		}
		if c.id() != id || len(id) < 20 {
			t.Errorf("id is %q, was %q", c.id(), id)
		}
	}
	check(c)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	check(openOffline(t, path).Catalog())
}

// An update that fails, in its function or on its way to the disk, changes
// nothing: not the record, not the file, not what a caller got before.
func TestFailedUpdate(t *testing.T) {
	path := t.TempDir()
	d := openDir(t, path)
	c := d.Catalog()
	if err := c.Update("p", set(record())); err != nil {
		t.Fatal(err)
	}
	before := hashTree(t, path)
	spoil := func(r *catalog.Record) {
		r.Live, r.Generations[0].ID, r.Snapshots[0].Name = "other", "other", "other"
		r.Snapshots = append(r.Snapshots, catalog.Snapshot{})
	}
	refused := errors.New("refused")
	for _, name := range []string{"p", "new"} {
		err := c.Update(name, func(r *catalog.Record) error {
			if name == "p" {
				spoil(r)
			}
			r.Paused = !r.Paused
			return refused
		})
		if !errors.Is(err, refused) {
			t.Errorf("%s: update: %v", name, err)
		}
	}

	t.Run("on the disk", func(t *testing.T) {
		blocked := filepath.Join(path, CatalogFile+".new")
		if err := os.Mkdir(blocked, 0o700); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(blocked)
		if err := c.Update("p", func(r *catalog.Record) error { spoil(r); return nil }); err == nil || !strings.Contains(err.Error(), "write catalog") {
			t.Errorf("update that cannot be written: %v", err)
		}
	})

	got := c.Projection("p")
	spoil(&got) // the caller's own
	if r := c.Projection("p"); !reflect.DeepEqual(r, record()) || !slices.Equal(c.Names(), []string{"p"}) {
		t.Errorf("record is %+v of %v", r, c.Names())
	}
	if after := hashTree(t, path); after != before {
		t.Error("the directory was changed")
	}
	if err := c.Update("p", set(catalog.Record{Live: "g3"})); err != nil || c.Projection("p").Live != "g3" {
		t.Errorf("a later update: %v", err)
	}
}

// Updates made at the same time, of one projection or of several, are all kept; keyspaces are
// made meanwhile.
func TestConcurrentUpdates(t *testing.T) {
	const writers, each = 6, 10
	path := t.TempDir()
	d := openDir(t, path)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				err := d.Catalog().Update(fmt.Sprintf("p%d", w%2), func(r *catalog.Record) error {
					r.Snapshots = append(r.Snapshots, catalog.Snapshot{Name: fmt.Sprintf("%d-%d", w, i)})
					return nil
				})
				if err != nil {
					t.Error(err)
				}
				d.Catalog().Names()
			}
		})
	}
	openKeyspaceOf(t, d)
	wg.Wait()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"p0", "p1"} {
		got := map[string]bool{}
		for _, s := range openOffline(t, path).Catalog().Projection(name).Snapshots {
			got[s.Name] = true
		}
		if len(got) != writers*each/2 {
			t.Errorf("%s has %d snapshots, want %d", name, len(got), writers*each/2)
		}
	}
}

// A file of ours that is damaged or of a newer format is refused by name, with
// what to do when that is known, and stays as it is.
func TestRefusedFiles(t *testing.T) {
	dir := t.TempDir()
	d := openDir(t, dir)
	if err := d.Catalog().Update("p", set(record())); err != nil {
		t.Fatal(err)
	}
	ks := openKeyspaceOf(t, d)
	model{}.commit(t, ks, 3, map[string][]byte{"k": []byte("v")})
	if err := errors.Join(ks.Close(), d.Close()); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{CatalogFile, filepath.Join("projections", "p", "g", identityFile)} {
		for _, tc := range []struct {
			name    string
			change  func(string) string
			want    string
			corrupt bool
		}{
			{"empty", func(string) string { return "" }, "unexpected end", true},
			{"zeros", func(s string) string { return strings.Repeat("\x00", len(s)) }, "invalid character", true},
			{"no object", func(string) string { return "null" }, "does not say its format", true},
			{"empty object", func(string) string { return "{}" }, "does not say its format", true},
			{"cut", func(s string) string { return s[:len(s)/2] }, "unexpected end", true},
			{"more behind it", func(s string) string { return s + "{}" }, "after top-level value", true},
			{"unknown field", func(s string) string { return strings.Replace(s, "{", `{"odd": 1,`, 1) }, `unknown field "odd"`, true},
			{"wrong type", func(s string) string { return strings.Replace(s, `"engine": "`, `"engine": 5, "x": "`, 1) }, "cannot unmarshal", true},
			{"newer format", func(s string) string { return strings.Replace(s, `"format": 1`, `"format": 2, "odd": {}`, 1) },
				"is of format 2, this engine knows up to 1: use the newer engine that wrote it", false},
		} {
			t.Run(filepath.Base(file)+"/"+tc.name, func(t *testing.T) {
				damaged := copyTree(t, dir)
				path := filepath.Join(damaged, file)
				rewrite(t, path, func(b []byte) []byte { return []byte(tc.change(string(b))) })
				before := hashTree(t, filepath.Dir(path))
				_, _, online := read(t, damaged)
				for how, err := range map[string]error{"online": online, "offline": readOffline(t, damaged)} {
					if err == nil || errors.Is(err, state.ErrCorrupt) != tc.corrupt || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), tc.want) {
						t.Errorf("%s: %v; want %q", how, err, tc.want)
					}
				}
				if filepath.Base(path) == identityFile && hashTree(t, filepath.Dir(path)) != before {
					t.Error("the keyspace was changed")
				}
			})
		}
	}
}

// readOffline opens the keyspace p/g of a data directory for reading, and closes it.
func readOffline(t *testing.T, path string) error {
	t.Helper()
	o, err := OpenOffline(path, quiet())
	if err != nil {
		return err
	}
	defer o.Close()
	ks, err := o.Open(t.Context(), "p", "g", false)
	if err != nil {
		return err
	}
	return ks.Close()
}
