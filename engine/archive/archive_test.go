package archive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gnomon/engine/archive"
	"gnomon/engine/state"
)

// A state that is exported and imported is the same one at the same version: with its
// letters and the guest's memory. Exported again it makes the same file.
func TestTravels(t *testing.T) {
	for name, open := range stores {
		for _, memory := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, memory %v", name, memory), func(t *testing.T) {
				ks := keyspace(t, open(t))
				h := newHistory(1, memory)
				for range 40 {
					h.commit(t, ks)
				}
				file := export(t, ks, h.last.Version, 0)

				there := open(t)
				if ck := mustLoad(t, there, file); ck.Digest != h.last.Digest || ck.Version != h.last.Version {
					t.Errorf("imported %+v, want %+v", ck, h.last)
				}
				arrived := keyspace(t, there)
				h.freeze().require(t, arrived)
				if again := export(t, arrived, h.last.Version, 0); !bytes.Equal(content(t, again), content(t, file)) {
					t.Error("exported again it is another file")
				}
				h.last.Memories = h.last.Memories[:min(1, len(h.last.Memories))]
				for range 10 { // it goes on
					h.commit(t, arrived)
				}
				view, err := arrived.View(h.last.Version)
				if err != nil {
					t.Fatal(err)
				}
				defer view.Close()
				requireRows(t, view, h.state)
				requireRows(t, view.Letters(), h.letters)
			})
		}
	}
}

// What a guest with memory goes on from travels too: the newest snapshot of its memory,
// and the state as it was then, although the archive is of a later version.
func TestMemoryTravels(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			ks := keyspace(t, open(t))
			h := newHistory(3, true)
			var at frozen // at the newest memory snapshot
			for at.ck.Version == 0 || h.last.Position.Sequence < 60 || at.ck.Version == h.last.Version {
				if ck := h.commit(t, ks); ck.Memories[0].Version == ck.Version {
					at = h.freeze()
				}
			}
			blobs, err := ks.Memory(h.last.Memories[0])
			if err != nil {
				t.Fatal(err)
			}
			there := open(t)
			mustLoad(t, there, export(t, ks, h.last.Version, 0))
			arrived := keyspace(t, there)
			ck, err := arrived.Checkpoint(at.ck.Version)
			if err != nil || ck.Version != at.ck.Version || ck.Digest != at.ck.Digest {
				t.Fatalf("checkpoint of the memory: %+v, %v", ck, err)
			}
			got, err := arrived.Memory(ck.Memories[0])
			if err != nil || !slices.EqualFunc(got, blobs, bytes.Equal) {
				t.Errorf("memory of %d blobs, %v, want %d", len(got), err, len(blobs))
			}
			view, err := arrived.View(ck.Version)
			if err != nil {
				t.Fatal(err)
			}
			defer view.Close()
			requireRows(t, view, at.state)
			requireRows(t, view.Letters(), at.letters)
		})
	}
}

// A full archive at one version and what changed up to another make what a full archive
// at the other one makes, byte for byte; whatever was committed, and however often.
func TestIncremental(t *testing.T) {
	histories := 6
	if testing.Short() {
		histories = 2
	}
	for name, open := range stores {
		for n := range histories {
			seed := rand.Uint64()
			t.Run(fmt.Sprintf("%s, %d, seed %d", name, n, seed), func(t *testing.T) {
				source := open(t)
				ks := keyspace(t, source)
				h := newHistory(seed, n%2 == 1)
				for range 1 + h.rnd.IntN(30) {
					h.commit(t, ks)
				}
				there := open(t)
				mustLoad(t, there, export(t, ks, h.last.Version, 0))
				for range 3 {
					base := h.last.Version
					ks.Pin(base)
					for range 1 + h.rnd.IntN(25) {
						h.commit(t, ks)
						if h.rnd.IntN(8) == 0 {
							makeDurable(t, ks)
						}
					}
					file := export(t, ks, h.last.Version, base)
					ks.Unpin(base)
					mustLoad(t, there, file)
					mustLoad(t, there, file) // once more changes nothing
					arrived, err := there.Open(t.Context(), "p", "g", false)
					if err != nil {
						t.Fatal(err)
					}
					h.freeze().require(t, arrived)
					if got, want := export(t, arrived, h.last.Version, 0), export(t, ks, h.last.Version, 0); !bytes.Equal(content(t, got), content(t, want)) {
						t.Error("the rows are others than those of a full archive")
					}
					if err := arrived.Close(); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	}
}

func makeDurable(t *testing.T, ks state.Keyspace) {
	t.Helper()
	if _, err := ks.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// An incremental archive has the rows that differ, and no others.
func TestIncrementalIsSmall(t *testing.T) {
	ks := keyspace(t, stores["disk"](t))
	h := newHistory(5, false)
	h.keys = 1000
	for range 200 {
		h.commit(t, ks)
	}
	ck := h.last
	ks.Pin(ck.Version)
	value := h.state["key/1"]
	next := ck
	next.Version, next.Position.Sequence = ck.Version.Next(ck.Position.Sequence+1), ck.Position.Sequence+1
	next.Bytes += 3
	next.Keys++
	next.Digest.Add(state.Term([]byte("n"), []byte("12")))
	c := state.Commit{Checkpoint: next, Writes: []state.Write{{Key: "n", Value: []byte("12")}, {Key: "key/1", Value: value, OldSize: len(value)}}}
	if h.state["key/1"] == nil {
		t.Fatal("choose another seed")
	}
	if _, err := ks.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	rows := rowsOf(t, export(t, ks, next.Version, ck.Version))
	if want := `0 1 "n" false "12"`; len(rows) != 1 || rows[0] != want {
		t.Errorf("rows %.200q, want %q", rows, want)
	}
}

// An export is of the version that it was asked for, whatever is committed meanwhile.
func TestExportUnderLoad(t *testing.T) {
	ks := keyspace(t, stores["disk"](t))
	h := newHistory(6, true)
	for range 100 {
		h.commit(t, ks)
	}
	at := h.freeze()
	view, err := ks.View(at.ck.Version) // as a reading has it
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	for _, m := range at.ck.Memories {
		ks.Pin(m.Version)
	}
	ctx, stop := context.WithCancel(t.Context())
	committed := make(chan int)
	go func() {
		n := 0
		for ; ctx.Err() == nil; n++ {
			if _, err := h.next(ks); err != nil {
				t.Error(err)
				break
			}
			if n%10 == 0 {
				if _, err := ks.Sync(context.Background()); err != nil {
					t.Error(err)
				}
			}
		}
		committed <- n
	}()
	there := stores["disk"](t)
	mustLoad(t, there, export(t, ks, at.ck.Version, 0))
	for range 3 {
		export(t, ks, at.ck.Version, 0)
	}
	stop()
	if n := <-committed; n == 0 {
		t.Error("nothing was committed meanwhile")
	}
	at.require(t, keyspace(t, there))
}

// What is read is held against the checkpoint: an export of a state that is not what it
// should be fails, and its file is none.
func TestExportChecks(t *testing.T) {
	ks := keyspace(t, stores["fake"](t))
	h := newHistory(7, false)
	for range 10 {
		h.commit(t, ks)
	}
	good := h.last
	h.last.Digest[3]++
	bad := h.commit(t, ks)
	for _, c := range []struct {
		name  string
		x     archive.Export
		want  error
		words string
	}{
		{"another digest", archive.Export{Version: bad.Version}, state.ErrContent, "digest"},
		{"another digest than since", archive.Export{Version: bad.Version, Since: good.Version}, state.ErrContent, "export all of it"},
		{"no commit there", archive.Export{Version: good.Version + 1}, state.ErrNoCheckpoint, ""},
		{"no commit since then", archive.Export{Version: good.Version, Since: 1}, state.ErrNoCheckpoint, ""},
		{"since later", archive.Export{Version: good.Version, Since: bad.Version}, nil, "older"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var file bytes.Buffer
			c.x.Source, c.x.About = ks, about
			_, err := archive.Write(t.Context(), &file, c.x)
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !bytes.Contains([]byte(err.Error()), []byte(c.words)) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if _, err := load(stores["fake"](t), file.Bytes()); err == nil {
				t.Error("what it left can be imported")
			}
		})
	}
}

// A version whose guest's memory is no longer kept cannot be gone on from, and so is not
// exported.
func TestExportWithoutMemory(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			ks := keyspace(t, open(t))
			h := newHistory(9, false)
			for range 3 {
				h.now = true
				h.commit(t, ks)
			}
			pinned := h.commit(t, ks).Version
			ks.Pin(pinned)
			export(t, ks, pinned, 0)
			for range 3 {
				h.now = true
				h.commit(t, ks)
				makeDurable(t, ks)
			}
			h.commit(t, ks)
			makeDurable(t, ks)
			_, err := archive.Write(t.Context(), new(bytes.Buffer), archive.Export{Source: ks, Version: pinned, About: about})
			if err == nil || !strings.Contains(err.Error(), "no longer kept") || !strings.Contains(err.Error(), "export what is served now") {
				t.Errorf("%v", err)
			}
			export(t, ks, h.last.Version, 0)
		})
	}
}

// An export ends when its caller does.
func TestExportStops(t *testing.T) {
	ks := keyspace(t, stores["fake"](t))
	h := newHistory(8, false)
	h.keys = 5000
	for range 100 {
		h.commit(t, ks)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	_, err := archive.Write(ctx, new(bytes.Buffer), archive.Export{Source: ks, Version: h.last.Version, About: about})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
