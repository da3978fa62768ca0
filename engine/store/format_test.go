package store

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gnomon/engine/catalog"
	"gnomon/engine/state"
)

var update = flag.Bool("update", false, "make the kept data directory anew")

// The kept data directory and what it holds.
const (
	keptData  = "testdata/format1.tar.gz"
	keptFacts = "testdata/format1.json"
)

// facts is what a kept data directory must be read as.
type facts struct {
	Catalog   map[string]catalog.Record
	Keyspaces map[string]keyspaceFacts // by generation
}

type keyspaceFacts struct {
	Version    state.Version
	Checkpoint state.Checkpoint
	Older      map[state.Version]state.Checkpoint // that are kept readable
	State      map[string]string                  // see brief
	Memories   [][]string                         // their blobs, see brief; newest first
}

// A data directory that an earlier build wrote, of format 1, is read as it was
// written: by an engine, which can go on from it, and offline. One of its
// keyspaces was closed, the other is that of a killed process.
func TestKeptFormat(t *testing.T) {
	t.Parallel()
	if *update {
		keep(t)
	}
	b, err := os.ReadFile(keptFacts)
	if err != nil {
		t.Fatal(err)
	}
	var want facts
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}

	kept := unpack(t)
	t.Run("offline", func(t *testing.T) {
		dir := copyTree(t, kept)
		before := hashTree(t, dir)
		o := openOffline(t, dir)
		requireFacts(t, o, o.Catalog(), want)
		if hashTree(t, dir) != before {
			t.Error("the directory was changed")
		}
	})
	t.Run("engine", func(t *testing.T) {
		d := openDir(t, kept)
		requireFacts(t, d, d.Catalog(), want)
		requireFacts(t, d, d.Catalog(), want) // once more, after it was closed by this build
		for generation := range want.Keyspaces {
			ks, err := d.Open(t.Context(), "kept", generation, false)
			if err != nil {
				t.Fatal(err)
			}
			m := keptHistory(t, nil)
			at := requireLatest(t, ks, 5)
			m.commit(t, ks, at.Version.Sequence()+1, map[string][]byte{"large": []byte("small"), "new": []byte("1")})
			requireState(t, ks, state.VersionAt(6), m)
			if err := ks.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// requireFacts fails unless a store is read as was recorded.
func requireFacts(t *testing.T, s state.Store, c catalog.Catalog, want facts) {
	t.Helper()
	got := facts{Catalog: map[string]catalog.Record{}, Keyspaces: map[string]keyspaceFacts{}}
	for _, name := range c.Names() {
		got.Catalog[name] = c.Projection(name)
	}
	for generation := range want.Keyspaces {
		ks, err := s.Open(t.Context(), "kept", generation, false)
		if err != nil {
			t.Fatal(err)
		}
		got.Keyspaces[generation] = factsOf(t, ks)
		if err := ks.Close(); err != nil {
			t.Fatal(err)
		}
	}
	g, w := indent(t, got), indent(t, want)
	if !bytes.Equal(g, w) {
		t.Errorf("read is\n%.4000s\nwant\n%.4000s", g, w)
	}
}

func indent(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// factsOf reads everything that a keyspace holds.
func factsOf(t *testing.T, ks state.Keyspace) keyspaceFacts {
	t.Helper()
	ck, err := Verify(ks)
	if err != nil {
		t.Fatal(err)
	}
	f := keyspaceFacts{Version: ck.Version, Checkpoint: ck, State: map[string]string{}, Older: map[state.Version]state.Checkpoint{}}
	state, err := stateAt(ks, ck.Version)
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range state {
		f.State[key] = brief(value)
	}
	for _, m := range ck.Memories {
		blobs, err := ks.Memory(m)
		if err != nil {
			t.Fatal(err)
		}
		var text []string
		for _, b := range blobs {
			text = append(text, brief(b))
		}
		f.Memories = append(f.Memories, text)
		if f.Older[m.Version], err = ks.Checkpoint(m.Version); err != nil {
			t.Fatal(err)
		}
		if _, err := stateAt(ks, m.Version); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// brief is a short value as text; of a longer one its size and hash.
func brief(b []byte) string {
	if len(b) <= 64 {
		return string(b)
	}
	return fmt.Sprintf("%d bytes, SHA-256 %x", len(b), sha256.Sum256(b))
}

// keptHistory makes the commits that the kept keyspaces hold, and returns their
// state. The last ones have memory snapshots, the first of which is dropped.
func keptHistory(t *testing.T, ks state.Keyspace) model {
	t.Helper()
	at := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	m := model{}
	var last state.Checkpoint
	for n, changes := range []map[string][]byte{
		{"": []byte("empty key"), "a": []byte("1"), "a\x00b": []byte("binary"), "gone": []byte("soon")},
		{"large": lines("first", chunkSize+1000), "a": []byte("2"), "gone": nil, "shrunk": lines("long", 2*chunkSize)},
		{"größe": []byte("naïve"), "shrunk": []byte("short")},
		{"large": lines("second", 2*chunkSize+5), "none": {}},
		{"a": []byte("5")},
	} {
		sequence := uint64(n + 1)
		c := state.Commit{Writes: m.change(changes)}
		if ks == nil {
			continue
		}
		ck := m.checkpoint(last.Version.Next(sequence))
		ck.Position = state.Position{Stream: "KEPT", Created: at, Sequence: sequence, Time: at.Add(time.Duration(n) * time.Minute), Module: "sha256:00ff"}
		ck.Anchors = append([]state.Anchor{{Sequence: sequence, Time: ck.Position.Time, Subject: "events.kept", Hash: fmt.Sprintf("%016x", n)}}, last.Anchors...)
		ck.Memories = last.Memories
		if sequence%2 == 1 {
			c.Memory, c.KeepMemories = [][]byte{fmt.Appendf(nil, "memory %d", n), {}, lines("memory", 50_000)}, 2
		}
		c.Checkpoint = ck
		var err error
		if last, err = ks.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if _, err := ks.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// lines is a text of a size that packs well.
func lines(word string, size int) []byte {
	var b bytes.Buffer
	for n := 0; b.Len() < size; n++ {
		fmt.Fprintf(&b, "%s %d %s\n", word, n, strings.Repeat(word, 500))
	}
	return b.Bytes()[:size]
}

// keep makes the kept data directory and its facts.
func keep(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	d := openDir(t, dir)
	kept := facts{Catalog: map[string]catalog.Record{"kept": record()}, Keyspaces: map[string]keyspaceFacts{}}
	if err := d.Catalog().Update("kept", set(record())); err != nil {
		t.Fatal(err)
	}
	for _, generation := range []string{"closed", "killed"} {
		ks, err := d.Open(t.Context(), "kept", generation, true)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ks.Close() })
		keptHistory(t, ks)
		kept.Keyspaces[generation] = factsOf(t, ks)
		if generation == "closed" {
			if err := ks.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(pack(dir, keptData), os.WriteFile(keptFacts, append(indent(t, kept), '\n'), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// pack makes an archive of a directory. Badger's own lock is left out, for it
// tells nothing.
func pack(dir, archive string) error {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return err
	}
	w := tar.NewWriter(z)
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || strings.HasSuffix(path, "/db/LOCK") {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		head := &tar.Header{Name: filepath.ToSlash(path[len(dir)+1:]), Mode: 0o600, Size: int64(len(content)), Format: tar.FormatUSTAR}
		if err := w.WriteHeader(head); err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	})
	return errors.Join(err, w.Close(), z.Close(), os.WriteFile(archive, b.Bytes(), 0o644))
}

// unpack unpacks the kept data directory.
func unpack(t *testing.T) string {
	t.Helper()
	f, err := os.Open(keptData)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for r := tar.NewReader(z); ; {
		head, err := r.Next()
		if err == io.EOF {
			return dir
		}
		if err == nil {
			err = unpackFile(r, filepath.Join(dir, filepath.FromSlash(head.Name)), head.Size)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func unpackFile(r io.Reader, path string, size int64) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(&sparseWriter{f: f}, r, make([]byte, 1<<20))
	return errors.Join(err, f.Truncate(size), f.Close())
}
