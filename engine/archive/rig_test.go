package archive_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gnomon/engine/archive"
	"gnomon/engine/catalog"
	"gnomon/engine/enginetest"
	"gnomon/engine/state"
	"gnomon/engine/store"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// dir opens a data directory until the test ends.
func dir(t testing.TB, path string) *store.Dir {
	t.Helper()
	d, err := store.OpenDir(path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// keyspace opens the keyspace p/g until the test ends.
func keyspace(t testing.TB, s state.Store) state.Keyspace {
	t.Helper()
	ks, err := s.Open(context.Background(), "p", "g", true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ks.Close() })
	return ks
}

// stores are what every test of both kinds of store runs on.
var stores = map[string]func(t testing.TB) enginetest.ImportingStore{
	"disk": func(t testing.TB) enginetest.ImportingStore { return dir(t, filepath.Join(t.TempDir(), "data")) },
	"fake": func(testing.TB) enginetest.ImportingStore { return new(enginetest.Store) },
}

// history makes random commits in a keyspace: of keys small and large, of letters, and
// now and then of a memory snapshot.
type history struct {
	rnd     *rand.Rand
	state   map[string][]byte
	letters map[string][]byte
	memory  bool // the guest keeps state there
	now     bool // the next commit takes a snapshot of it
	keys    int  // there are so many different ones
	pace    int  // fewer are written by a commit
	large   int  // one value of so many is
	last    state.Checkpoint
}

func newHistory(seed uint64, memory bool) *history {
	return &history{rnd: rand.New(rand.NewPCG(seed, 7)), state: map[string][]byte{}, letters: map[string][]byte{}, memory: memory, keys: 300, pace: 20, large: 60}
}

var created = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)

// commit makes the next commit.
func (h *history) commit(t testing.TB, ks state.Keyspace) state.Checkpoint {
	t.Helper()
	ck, err := h.next(ks)
	if err != nil {
		t.Fatal(err)
	}
	return ck
}

func (h *history) next(ks state.Keyspace) (state.Checkpoint, error) {
	ck := h.last
	seq := ck.Position.Sequence + 1 + uint64(h.rnd.IntN(3))
	ck.Version = ck.Version.Next(seq)
	ck.Position = state.Position{Stream: "S", Created: created, Sequence: seq, Time: created.Add(time.Duration(seq) * time.Second), Module: "module"}
	ck.Anchors = []state.Anchor{{Sequence: seq, Time: ck.Position.Time, Subject: "e.x", Hash: fmt.Sprintf("%016x", seq)}}
	c := state.Commit{KeepMemories: 2}
	for range h.rnd.IntN(h.pace) {
		c.Writes = append(c.Writes, h.write(&ck, c.Writes)...)
	}
	for range h.rnd.IntN(3) {
		c.Letters = append(c.Letters, h.letter(seq, c.Letters)...)
	}
	ck.Aside = state.Aside{Skipped: int64(seq / 10), Letters: int64(len(h.letters))}
	if h.now || h.memory && (len(ck.Memories) == 0 || h.rnd.IntN(6) == 0) {
		h.now = false
		c.Memory = [][]byte{[]byte(fmt.Sprint("memory at ", seq)), {}, bytes.Repeat([]byte{byte(seq)}, h.rnd.IntN(600_000))}
	}
	c.Checkpoint = ck
	var err error
	h.last, err = ks.Commit(context.Background(), c)
	return h.last, err
}

// write changes a key that no other write of the commit does.
func (h *history) write(ck *state.Checkpoint, others []state.Write) []state.Write {
	key := fmt.Sprintf("key/%d", h.rnd.IntN(h.keys))
	if slices.ContainsFunc(others, func(w state.Write) bool { return w.Key == key }) {
		return nil
	}
	old, had := h.state[key]
	if had {
		ck.Keys, ck.Bytes = ck.Keys-1, ck.Bytes-int64(len(key)+len(old))
		ck.Digest.Sub(state.Term([]byte(key), old))
	}
	if had && h.rnd.IntN(3) == 0 {
		delete(h.state, key)
		return []state.Write{{Key: key, Delete: true, OldSize: len(old)}}
	}
	value := bytes.Repeat([]byte(fmt.Sprint(h.rnd.IntN(1000), ",")), h.rnd.IntN(20))
	if h.rnd.IntN(h.large) == 0 {
		value = bytes.Repeat(value, 8000)
	}
	h.state[key] = value
	ck.Keys, ck.Bytes = ck.Keys+1, ck.Bytes+int64(len(key)+len(value))
	ck.Digest.Add(state.Term([]byte(key), value))
	return []state.Write{{Key: key, Value: value, OldSize: len(old)}}
}

// letter sets an event aside, or changes or removes one that was.
func (h *history) letter(seq uint64, others []state.Write) []state.Write {
	if len(h.letters) > 0 && h.rnd.IntN(3) > 0 {
		seq = binary.BigEndian.Uint64([]byte(slices.Sorted(maps.Keys(h.letters))[h.rnd.IntN(len(h.letters))]))
	}
	key := string(state.LetterRow(seq))
	if slices.ContainsFunc(others, func(w state.Write) bool { return w.Key == key }) {
		return nil
	}
	old, had := h.letters[key]
	if had && h.rnd.IntN(2) == 0 {
		delete(h.letters, key)
		return []state.Write{{Key: key, Delete: true, OldSize: len(old)}}
	}
	h.letters[key] = fmt.Appendf(nil, `{"seq":%d,"status":"dead","error":%q}`, seq, strings.Repeat("e", h.rnd.IntN(50)))
	return []state.Write{{Key: key, Value: h.letters[key], OldSize: len(old)}}
}

// frozen is what a history was at a checkpoint.
type frozen struct {
	ck             state.Checkpoint
	state, letters map[string][]byte
}

func (h *history) freeze() frozen {
	return frozen{h.last, maps.Clone(h.state), maps.Clone(h.letters)}
}

// require fails unless a keyspace goes on from just there.
func (f frozen) require(t testing.TB, ks state.Keyspace) {
	t.Helper()
	got, err := ks.Latest()
	if err != nil {
		t.Fatal(err)
	}
	want := f.ck
	want.Memories = want.Memories[:min(1, len(want.Memories))]
	if len(want.Memories) == 0 {
		want.Memories = nil
	}
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Errorf("checkpoint is %s, want %s", g, w)
	}
	if _, err := store.Verify(ks); err != nil {
		t.Error(err)
	}
	view, err := ks.View(got.Version)
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	requireRows(t, view, f.state)
	requireRows(t, view.Letters(), f.letters)
}

func requireRows(t testing.TB, rows state.Rows, want map[string][]byte) {
	t.Helper()
	got := map[string][]byte{}
	err := rows.Scan(nil, nil, func(key, value []byte) bool { got[string(key)] = bytes.Clone(value); return true })
	if err != nil || !maps.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("%d rows, %v, want %d, or others than these", len(got), err, len(want))
	}
}

var about = archive.About{
	Engine: "v1", Projection: "p", Generation: "g", Identity: "0123", Source: "4567", Module: "module", Settings: []byte(`{"a":1}`),
	Origin: &catalog.Origin{Stream: "S", Created: created, Start: "first"},
}

// export writes an archive of a keyspace at a version, since another one.
func export(t testing.TB, ks state.Keyspace, at, since state.Version) []byte {
	t.Helper()
	var file bytes.Buffer
	s, err := archive.Write(context.Background(), &file, archive.Export{Source: ks, Version: at, Since: since, About: about})
	if err != nil {
		t.Fatal(err)
	}
	if s.Bytes != int64(file.Len()) {
		t.Errorf("the summary says %d bytes, there are %d", s.Bytes, file.Len())
	}
	return file.Bytes()
}

// load imports an archive as p/g.
func load(s state.Importer, file []byte) (state.Checkpoint, error) {
	r, err := archive.NewReader(bytes.NewReader(file))
	if err != nil {
		return state.Checkpoint{}, err
	}
	return r.Import(context.Background(), s, "p", "g")
}

func mustLoad(t testing.TB, s state.Importer, file []byte) state.Checkpoint {
	t.Helper()
	ck, err := load(s, file)
	if err != nil {
		t.Fatal(err)
	}
	return ck
}

// content is an archive without its manifest, which has the time at which it was
// written, and its trailer, which depends on that.
func content(t testing.TB, file []byte) []byte {
	t.Helper()
	b := file[20+binary.LittleEndian.Uint32(file[12:]):]
	for at := 0; at < len(b); {
		if b[at] == 'E' {
			return b[:at]
		}
		at += 13 + int(binary.LittleEndian.Uint32(b[at+5:]))
	}
	t.Fatal("no trailer")
	return nil
}

// rowsOf reads all rows of an archive, as text.
func rowsOf(t testing.TB, file []byte) (rows []string) {
	t.Helper()
	r, err := archive.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for {
		step, row, err := r.Next()
		if errors.Is(err, io.EOF) {
			return rows
		}
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, fmt.Sprintf("%d %d %q %v %q", step, row.Kind, row.Key, row.Deleted, row.Value))
	}
}

// child is this test binary run once more, see TestKilledImport.
const childRole = "GNOMON_ARCHIVE_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childRole) != "" {
		os.Exit(childMain())
	}
	os.Exit(m.Run())
}
