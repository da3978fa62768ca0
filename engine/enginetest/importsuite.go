package enginetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"gnomon/engine/state"
)

// ImportingStore is a store that keyspaces can be imported into.
type ImportingStore interface {
	state.Store
	state.Importer
}

// TestImporter checks what every state.Importer must do. For each of its subjects it
// asks for a new, empty store.
func TestImporter(t *testing.T, bench func(t *testing.T) ImportingStore) {
	for _, c := range []struct {
		name string
		test func(*testing.T, ImportingStore)
	}{
		{"a new keyspace is what was said, and goes on", importsNew},
		{"one that exists is left alone", importsOnce},
		{"a keyspace is brought forward from its base", importsOnto},
		{"a base that is not there is refused with both facts", importsNowhereElse},
		{"what is not what it is said to be leaves nothing", importsWholeOnly},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, bench(t)) })
	}
}

// freight is an import with its rows.
type freight struct {
	in   state.Import
	rows []freightRow
}

type freightRow struct {
	step int
	row  state.Row
	err  error // instead of the row
}

// open makes the import, from its first row on.
func (f *freight) open() state.Import {
	in, n := f.in, 0
	in.Next = func() (int, state.Row, error) {
		if n == len(f.rows) {
			return 0, state.Row{}, io.EOF
		}
		n++
		return f.rows[n-1].step, f.rows[n-1].row, f.rows[n-1].err
	}
	return in
}

// freightState is what there is at a step.
type freightState struct {
	state, letters map[string]string
	memory         [][]byte // that was taken there; nil: none was
}

// pack makes an import from one state to others, at the sequences 10, 20, and so on after
// the base. Base is the last step of an import before; nil: there is none.
func pack(base *state.Checkpoint, before freightState, steps ...freightState) *freight {
	f := &freight{in: state.Import{Base: base}}
	var last state.Checkpoint
	if base != nil {
		last = *base
	}
	for i, s := range steps {
		f.differing(i, state.OfState, before.state, s.state)
		f.differing(i, state.OfLetters, before.letters, s.letters)
		last = f.checkpoint(last, s)
		if s.memory != nil {
			f.remember(i, &last, s.memory)
		}
		f.in.Steps, before = append(f.in.Steps, last), s
	}
	return f
}

func (f *freight) differing(step int, kind state.RowKind, from, to map[string]string) {
	all := maps.Clone(from)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, to)
	for _, k := range slices.Sorted(maps.Keys(all)) {
		old, was := from[k]
		value, is := to[k]
		if was != is || old != value {
			f.rows = append(f.rows, freightRow{step: step, row: state.Row{Kind: kind, Key: []byte(k), Value: []byte(value), Deleted: !is}})
		}
	}
}

func (f *freight) checkpoint(last state.Checkpoint, s freightState) state.Checkpoint {
	created := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	seq := last.Position.Sequence + 10
	ck := state.Checkpoint{
		Version:  state.VersionAt(seq),
		Position: state.Position{Stream: "S", Created: created, Sequence: seq, Time: created.Add(time.Duration(seq)), Module: "m"},
		Anchors:  []state.Anchor{{Sequence: seq, Time: created, Subject: "e.x", Hash: "0011223344556677"}},
		Aside:    state.Aside{Skipped: 3, Letters: int64(len(s.letters))},
		Memories: last.Memories,
	}
	for k, v := range s.state {
		ck.Keys, ck.Bytes = ck.Keys+1, ck.Bytes+int64(len(k)+len(v))
		ck.Digest.Add(state.Term([]byte(k), []byte(v)))
	}
	return ck
}

func (f *freight) remember(step int, ck *state.Checkpoint, blobs [][]byte) {
	h := sha256.New()
	m := state.Memory{Version: ck.Version, Blobs: len(blobs)}
	_ = state.MemoryStream(blobs, 100_001, func(part []byte) error {
		h.Write(part)
		f.rows = append(f.rows, freightRow{step: step, row: state.Row{Kind: state.OfMemory, Value: part}})
		return nil
	})
	for _, b := range blobs {
		m.Bytes += int64(len(b))
	}
	m.SHA256 = hex.EncodeToString(h.Sum(nil))
	ck.Memories = []state.Memory{m}
}

func letterAt(sequence uint64) string { return string(state.LetterRow(sequence)) }

// letterText is a letter whose error has a size.
func letterText(sequence uint64, size int) string {
	return fmt.Sprintf(`{"seq":%d,"status":"dead","error":%q}`, sequence, strings.Repeat("e", size))
}

// The states that the subjects import.
var (
	firstState = freightState{
		state:   map[string]string{"": "empty key", "a": "1", "b\x00": "2", "large": strings.Repeat("x", 270_000), "none": ""},
		letters: map[string]string{letterAt(3): letterText(3, 10), letterAt(700): letterText(700, 270_000)},
		memory:  [][]byte{bytes.Repeat([]byte("memory"), 50_000), {}, []byte("more")},
	}
	nextState = freightState{
		state:   map[string]string{"": "empty key", "a": "one", "large": "small", "none": "", "new": strings.Repeat("z", 270_000)},
		letters: map[string]string{letterAt(700): letterText(700, 1), letterAt(11): letterText(11, 0)},
	}
	lastState = freightState{
		state:  map[string]string{"a": "1", "large": strings.Repeat("w", 300_000), "new": strings.Repeat("z", 270_000)},
		memory: [][]byte{},
	}
)

func mustImport(t *testing.T, s ImportingStore, f *freight) state.Checkpoint {
	t.Helper()
	ck, err := s.Import(context.Background(), "p", "g", f.open())
	if err != nil {
		t.Fatal(err)
	}
	return ck
}

// requireImported fails unless the keyspace stands at the last of some steps, and the
// states at all of them are as given.
func requireImported(t *testing.T, s ImportingStore, steps []state.Checkpoint, states ...freightState) {
	t.Helper()
	ks, err := s.Open(context.Background(), "p", "g", false)
	if err != nil {
		t.Fatal(err)
	}
	defer ks.Close()
	latest, err := ks.Latest()
	if err != nil {
		t.Fatal(err)
	}
	requireStep(t, latest, steps[len(steps)-1])
	for i, want := range states {
		at, err := ks.Checkpoint(steps[i].Version)
		if err != nil {
			t.Fatal(err)
		}
		requireStep(t, at, steps[i])
		view := viewAt(t, ks, at.Version)
		if got := content(t, view); !maps.Equal(got, want.state) {
			t.Errorf("step %d has %d keys, want %d", i, len(got), len(want.state))
		}
		letters := map[string]string{}
		err = view.Letters().Scan(nil, nil, func(key, value []byte) bool { letters[string(key)] = string(value); return true })
		if err != nil || !maps.Equal(letters, want.letters) {
			t.Errorf("step %d has %d letters, %v, want %d", i, len(letters), err, len(want.letters))
		}
		view.Close()
		if want.memory == nil {
			continue
		}
		if got, err := ks.Memory(at.Memories[0]); err != nil || !slices.EqualFunc(got, want.memory, bytes.Equal) {
			t.Errorf("step %d has a memory of %d blobs, %v, want %d", i, len(got), err, len(want.memory))
		}
	}
}

// requireStep compares checkpoints, but for where a store keeps a memory snapshot.
func requireStep(t *testing.T, got, want state.Checkpoint) {
	t.Helper()
	plain := func(c state.Checkpoint) state.Checkpoint {
		c.Memories = slices.Clone(c.Memories)
		for i := range c.Memories {
			c.Memories[i].First, c.Memories[i].Rows = 0, 0
		}
		return c
	}
	if g, w := plain(got), plain(want); !reflect.DeepEqual(g, w) {
		t.Errorf("checkpoint is %+v, want %+v", g, w)
	}
}

func importsNew(t *testing.T, s ImportingStore) {
	f := pack(nil, freightState{}, firstState, nextState)
	requireStep(t, mustImport(t, s, f), f.in.Steps[1])
	requireImported(t, s, f.in.Steps, firstState, nextState)

	ks, err := s.Open(context.Background(), "p", "g", false)
	if err != nil {
		t.Fatal(err)
	}
	if d := ks.Durable(); d != f.in.Steps[1].Version {
		t.Errorf("durable is %d, want %d", d, f.in.Steps[1].Version)
	}
	ck := checkpointAt(t, ks, 21)
	ck.Aside.Letters = 2
	stored := commitWhole(t, ks, state.Commit{
		Checkpoint: ck, Writes: []state.Write{{Key: "new", Delete: true, OldSize: 270_000}, put("b", "2")},
		Memory: [][]byte{[]byte("m")}, KeepMemories: 2,
	})
	if len(stored.Memories) != 2 {
		t.Errorf("memories %+v, want the new one and the imported one", stored.Memories)
	}
	if err := ks.Close(); err != nil {
		t.Fatal(err)
	}
	if ks, err = s.Open(context.Background(), "p", "g", false); err != nil {
		t.Fatal(err)
	}
	defer ks.Close()
	view := viewAt(t, ks, stored.Version)
	defer view.Close()
	want := map[string]string{"": "empty key", "a": "one", "b": "2", "large": "small", "none": ""}
	if got := content(t, view); !maps.Equal(got, want) {
		t.Errorf("after a commit there are %d keys, want %d", len(got), len(want))
	}
	for i, blobs := range [][][]byte{{[]byte("m")}, firstState.memory} {
		if got, err := ks.Memory(stored.Memories[i]); err != nil || !slices.EqualFunc(got, blobs, bytes.Equal) {
			t.Errorf("memory %d has %d blobs, %v", i, len(got), err)
		}
	}
}

func importsOnce(t *testing.T, s ImportingStore) {
	f := pack(nil, freightState{}, firstState)
	mustImport(t, s, f)
	other := pack(nil, freightState{}, nextState)
	if _, err := s.Import(context.Background(), "p", "g", other.open()); !errors.Is(err, state.ErrKeyspaceExists) {
		t.Errorf("a second import: %v", err)
	}
	requireImported(t, s, f.in.Steps, firstState)
}

func importsOnto(t *testing.T, s ImportingStore) {
	first := pack(nil, freightState{}, firstState)
	mustImport(t, s, first)
	f := pack(&first.in.Steps[0], firstState, nextState, lastState)
	requireStep(t, mustImport(t, s, f), f.in.Steps[1])
	requireImported(t, s, f.in.Steps[1:], lastState)
	requireStep(t, mustImport(t, s, f), f.in.Steps[1]) // once more: it is there already
	requireImported(t, s, f.in.Steps[1:], lastState)

	// One that made a part of the steps makes the others.
	again := pack(&first.in.Steps[0], firstState, nextState, lastState, nextState)
	requireStep(t, mustImport(t, s, again), again.in.Steps[2])
	requireImported(t, s, again.in.Steps[2:], nextState)
}

func importsNowhereElse(t *testing.T, s ImportingStore) {
	first := pack(nil, freightState{}, firstState)
	onto := pack(&first.in.Steps[0], firstState, nextState)
	if _, err := s.Import(context.Background(), "p", "g", onto.open()); !errors.Is(err, state.ErrNoKeyspace) {
		t.Errorf("without a keyspace: %v", err)
	}
	mustImport(t, s, first)
	base := first.in.Steps[0]
	base.Digest[0]++
	onto.in.Base = &base
	_, err := s.Import(context.Background(), "p", "g", onto.open())
	if !errors.Is(err, state.ErrBase) || !strings.Contains(err.Error(), base.Digest.String()) || !strings.Contains(err.Error(), first.in.Steps[0].Digest.String()) {
		t.Errorf("with another base: %v", err)
	}
	requireImported(t, s, first.in.Steps, firstState)
}

func importsWholeOnly(t *testing.T, s ImportingStore) {
	broken := errors.New("broken")
	first := pack(nil, freightState{}, firstState)
	mustImport(t, s, first)
	last := func(f *freight) *state.Checkpoint { return &f.in.Steps[len(f.in.Steps)-1] }
	for _, c := range []struct {
		name  string
		spoil func(f *freight)
		want  error
	}{
		{"another digest", func(f *freight) { last(f).Digest[5]++ }, state.ErrContent},
		{"another number of keys", func(f *freight) { last(f).Keys++ }, state.ErrContent},
		{"another size", func(f *freight) { last(f).Bytes++ }, state.ErrContent},
		{"another number of letters", func(f *freight) { last(f).Aside.Letters++ }, state.ErrContent},
		{"another digest on the way", func(f *freight) { f.in.Steps[0].Digest[5]++ }, state.ErrContent},
		{"a row less", func(f *freight) { f.rows = f.rows[1:] }, state.ErrContent},
		{"no rows", func(f *freight) { f.rows = nil }, state.ErrContent},
		{"a row twice", func(f *freight) { f.rows = slices.Insert(f.rows, 1, f.rows[0]) }, state.ErrContent},
		{"rows out of order", func(f *freight) { f.rows[0], f.rows[1] = f.rows[1], f.rows[0] }, state.ErrContent},
		{"a row of no step", func(f *freight) { f.rows = append(f.rows, freightRow{step: 9, row: f.rows[0].row}) }, state.ErrContent},
		{"a row of no kind", func(f *freight) { f.rows[0].row.Kind = 9 }, nil},
		{"a deletion of nothing", func(f *freight) {
			f.rows = slices.Insert(f.rows, 0, freightRow{row: state.Row{Kind: state.OfState, Key: []byte("\x00absent"), Deleted: true}})
		}, state.ErrContent},
		{"a letter with an odd key", func(f *freight) {
			f.rows = append(f.rows, freightRow{step: len(f.in.Steps) - 1, row: state.Row{Kind: state.OfLetters, Key: []byte("odd")}})
		}, state.ErrContent},
		{"a memory snapshot from nowhere", func(f *freight) {
			m := state.Memory{Version: last(f).Version - 1}
			last(f).Memories = []state.Memory{m}
		}, state.ErrContent},
		{"a memory snapshot that is not there", func(f *freight) {
			last(f).Memories = []state.Memory{{Version: last(f).Version, Blobs: 1, Bytes: 5}}
		}, state.ErrContent},
		{"an end that comes too early", func(f *freight) { f.rows[len(f.rows)-1].err = broken }, broken},
		{"no steps", func(f *freight) { f.in.Steps = nil }, state.ErrContent},
		{"steps that go back", func(f *freight) { last(f).Version = 1 }, state.ErrContent},
	} {
		t.Run(c.name+", anew", func(t *testing.T) {
			f := pack(nil, freightState{}, firstState, nextState)
			c.spoil(f)
			if _, err := s.Import(t.Context(), "p", "new", f.open()); err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("import: %v, want %v", err, c.want)
			}
			if _, err := s.Open(t.Context(), "p", "new", false); !errors.Is(err, state.ErrNoKeyspace) {
				t.Errorf("there is a keyspace: %v", err)
			}
		})
		t.Run(c.name+", onto another", func(t *testing.T) {
			f := pack(&first.in.Steps[0], firstState, nextState, lastState)
			c.spoil(f)
			if _, err := s.Import(t.Context(), "p", "g", f.open()); err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("import: %v, want %v", err, c.want)
			}
			requireImported(t, s, first.in.Steps, firstState)
		})
	}
	// What the failures left is in nobody's way.
	f := pack(&first.in.Steps[0], firstState, nextState, lastState)
	mustImport(t, s, f)
	requireImported(t, s, f.in.Steps[1:], lastState)
}
