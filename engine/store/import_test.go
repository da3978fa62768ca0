package store

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gnomon/engine/state"
)

// What changed since a version that is held is told in full, deletions too, after Badger
// has merged its tables and dropped all that nobody holds.
func TestChangesAfterCompaction(t *testing.T) {
	ks := openKeyspaceOf(t, openDir(t, t.TempDir()))
	m, states := model{}, map[uint64]model{}
	rnd := rand.New(rand.NewPCG(1, 2))
	commit := func(n uint64) {
		changes := map[string][]byte{}
		for range 30 {
			key := "key/" + string(rune('a'+rnd.IntN(26))) + string(rune('a'+rnd.IntN(10)))
			if changes[key] = pattern(rnd.IntN(1000), rnd.IntN(300)); rnd.IntN(3) == 0 {
				changes[key] = nil
			}
		}
		m.commit(t, ks, n, changes)
		states[n] = maps.Clone(m)
	}
	for n := uint64(1); n <= 50; n++ {
		commit(n)
	}
	held := state.VersionAt(50)
	ks.Pin(held)
	for n := uint64(51); n <= 300; n++ {
		commit(n)
	}
	if _, err := ks.Sync(t.Context()); err != nil { // the horizon advances to what is held
		t.Fatal(err)
	}
	if err := ks.db.Flatten(1); err != nil {
		t.Fatal(err)
	}
	for _, at := range []uint64{51, 120, 300} {
		got, deleted := maps.Clone(states[50]), 0
		err := ks.Changes(state.OfState, held, state.VersionAt(at), state.KeyRange{}, func(r state.Row) bool {
			if delete(got, string(r.Key)); r.Deleted {
				deleted++
			} else {
				got[string(r.Key)] = bytes.Clone(r.Value)
			}
			return true
		})
		if err != nil || !maps.EqualFunc(got, states[at], bytes.Equal) || deleted == 0 {
			t.Errorf("from 50 to %d: %d keys, want %d; %d deleted; %v", at, len(got), len(states[at]), deleted, err)
		}
	}
	ks.Unpin(held)
	m.commit(t, ks, 301, nil)
	if _, err := ks.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := ks.Changes(state.OfState, held, state.VersionAt(301), state.KeyRange{}, func(state.Row) bool { return true })
	if err == nil || !strings.Contains(err.Error(), "no longer kept") {
		t.Errorf("since a version that nobody holds: %v", err)
	}
}

// importOf is an import of a state at a sequence, as one step.
func importOf(m model, sequence uint64) state.Import {
	keys := slices.Sorted(maps.Keys(m))
	return state.Import{
		Steps: []state.Checkpoint{m.checkpoint(state.VersionAt(sequence))},
		Next: func() (int, state.Row, error) {
			if len(keys) == 0 {
				return 0, state.Row{}, io.EOF
			}
			key := keys[0]
			keys = keys[1:]
			return 0, state.Row{Kind: state.OfState, Key: []byte(key), Value: m[key]}, nil
		},
	}
}

// What an import leaves that was cut off is removed when the directory is opened again,
// and so is nothing else.
func TestCutOffImportIsRemoved(t *testing.T) {
	data := t.TempDir()
	d := openDir(t, data)
	m := history(30)
	if _, err := d.Import(t.Context(), "p", "g", importOf(m, 30)); err != nil {
		t.Fatal(err)
	}
	in, stop := importOf(m, 30), make(chan struct{})
	next, n := in.Next, 0
	in.Next = func() (int, state.Row, error) {
		if n++; n == 20 {
			stop <- struct{}{}
			<-stop
			return 0, state.Row{}, errors.New("given up")
		}
		return next()
	}
	ended := make(chan error, 1)
	go func() {
		_, err := d.Import(t.Context(), "p", "other", in)
		ended <- err
	}()
	<-stop
	cut := copyTree(t, data) // as a kill would leave it
	stop <- struct{}{}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "given up") {
		t.Errorf("import: %v", err)
	}
	names := func(data string) []string {
		t.Helper()
		entries, err := os.ReadDir(filepath.Join(data, "projections", "p"))
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, e := range entries {
			all = append(all, e.Name())
		}
		return all
	}
	if got := names(data); !slices.Equal(got, []string{"g"}) {
		t.Errorf("an import that failed leaves %v", got)
	}
	if got := names(cut); len(got) != 2 {
		t.Fatalf("while it is made there are %v", got)
	}
	d = openDir(t, cut)
	if got := names(cut); !slices.Equal(got, []string{"g"}) {
		t.Errorf("after a kill there are %v", got)
	}
	requireState(t, openKeyspaceOf(t, d), state.VersionAt(30), m)
}

// An imported keyspace is durable at once: a crash of the machine takes nothing back.
func TestImportIsDurable(t *testing.T) {
	data := t.TempDir()
	d := openDir(t, data)
	m := history(40)
	if _, err := d.Import(t.Context(), "p", "g", importOf(m, 40)); err != nil {
		t.Fatal(err)
	}
	base := m.checkpoint(state.VersionAt(40))
	writes := m.change(historyAt(41))
	step := m.checkpoint(state.VersionAt(41))
	in := state.Import{Base: &base, Steps: []state.Checkpoint{step}, Next: func() (int, state.Row, error) {
		for len(writes) > 0 {
			w := writes[0]
			writes = writes[1:]
			if !w.Delete || w.OldSize > 0 {
				return 0, state.Row{Kind: state.OfState, Key: []byte(w.Key), Value: w.Value, Deleted: w.Delete}, nil
			}
		}
		return 0, state.Row{}, io.EOF
	}}
	if _, err := d.Import(t.Context(), "p", "g", in); err != nil {
		t.Fatal(err)
	}
	rebooted(t, "second")
	ks := openKeyspaceOf(t, openDir(t, copyTree(t, data)))
	requireState(t, ks, requireLatest(t, ks, 41).Version, m)
}

// An import that was cut off between two steps goes on from there; one that was cut off
// before the first leaves rows above its base that nobody sees, and that the commits of
// a runner pass over as well as another import.
func TestImportGoesOn(t *testing.T) {
	first, second := history(30), history(40)
	third := history(50)
	base := first.checkpoint(state.VersionAt(30))
	onto := func(last model) state.Import {
		steps := []state.Checkpoint{second.checkpoint(state.VersionAt(40)), last.checkpoint(state.VersionAt(50))}
		rows := append(differing(0, first, second), differing(1, second, last)...)
		return state.Import{Base: &base, Steps: steps, Next: func() (int, state.Row, error) {
			if len(rows) == 0 {
				return 0, state.Row{}, io.EOF
			}
			r := rows[0]
			rows = rows[1:]
			return r.step, r.Row, nil
		}}
	}
	// torn leaves the rows of both steps, but so many of their checkpoints only.
	torn := func(t *testing.T, checkpoints int) *Dir {
		d := openDir(t, t.TempDir())
		if _, err := d.Import(t.Context(), "p", "g", importOf(first, 30)); err != nil {
			t.Fatal(err)
		}
		ks, err := d.Open(t.Context(), "p", "g", false)
		if err != nil {
			t.Fatal(err)
		}
		in := onto(third)
		k := ks.(*Keyspace)
		taking := &intake{keyspace: k, in: in, tally: state.NewTally(in, 0), last: k.latest}
		if err := taking.rows(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, ck := range taking.made[:checkpoints] {
			if err := k.commitStep(ck); err != nil {
				t.Fatal(err)
			}
		}
		ks.Keep(1)
		if err := ks.Close(); err != nil {
			t.Fatal(err)
		}
		return d
	}
	for checkpoints, want := range []model{first, second, third} {
		d := torn(t, checkpoints)
		at := uint64(30 + 10*checkpoints)
		ks, err := d.Open(t.Context(), "p", "g", false)
		if err != nil {
			t.Fatal(err)
		}
		requireState(t, ks, requireLatest(t, ks, at).Version, want)
		if err := ks.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Import(t.Context(), "p", "g", onto(third)); err != nil {
			t.Fatalf("again after %d steps: %v", checkpoints, err)
		}
		ks = openKeyspaceOf(t, d)
		requireState(t, ks, state.VersionAt(40), second)
		requireState(t, ks, requireLatest(t, ks, 50).Version, third)
	}
	t.Run("another import is made", func(t *testing.T) {
		other := maps.Clone(second)
		other["other"] = []byte("1")
		d := torn(t, 0)
		if _, err := d.Import(t.Context(), "p", "g", onto(other)); err != nil {
			t.Fatal(err)
		}
		ks := openKeyspaceOf(t, d)
		requireState(t, ks, state.VersionAt(40), second)
		requireState(t, ks, requireLatest(t, ks, 50).Version, other)
	})
	t.Run("a runner goes on", func(t *testing.T) {
		ks := openKeyspaceOf(t, torn(t, 0))
		m := history(30)
		for n := uint64(31); n <= 60; n += 3 { // not the events that were imported
			changes := historyAt(n)
			changes["other"] = pattern(int(n), 20)
			delete(changes, "count")
			ck := m.commit(t, ks, n, changes)
			requireState(t, ks, ck.Version, m)
		}
		if _, err := Verify(ks); err != nil {
			t.Fatal(err)
		}
	})
}

type stepRow struct {
	step int
	state.Row
}

func differing(step int, from, to model) (rows []stepRow) {
	all := maps.Clone(from)
	maps.Copy(all, to)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		value, is := to[key]
		if old, was := from[key]; was != is || !bytes.Equal(old, value) {
			rows = append(rows, stepRow{step, state.Row{Kind: state.OfState, Key: []byte(key), Value: value, Deleted: !is}})
		}
	}
	return rows
}

// On a disk that is full, or fills on the way, an import is an error that leaves nothing.
func TestImportWithoutRoom(t *testing.T) {
	data := t.TempDir()
	d := openDir(t, data)
	if err := d.CheckRoom(1); err != nil {
		t.Skip(err) // this machine's disk is full
	}
	free, asked := d.free, 0
	m := history(100)
	for _, enough := range []int{0, 1, 2} { // times that there is room
		asked = 0
		d.free = func(dir string) (uint64, error) {
			if asked++; asked > enough && asked < 4 {
				return 5 << 20, nil
			}
			return free(dir)
		}
		if _, err := d.Import(t.Context(), "p", "g", importOf(m, 100)); err == nil || !strings.Contains(err.Error(), "make room") {
			t.Errorf("with room %d times: %v", enough, err)
		}
		if left, err := filepath.Glob(filepath.Join(data, "projections", "p", "*")); err != nil || len(left) > 0 {
			t.Errorf("with room %d times there is %v, %v", enough, left, err)
		}
	}
	d.free = free
	if _, err := d.Import(t.Context(), "p", "g", importOf(m, 100)); err != nil {
		t.Fatal(err)
	}
	ks := openKeyspaceOf(t, d)
	requireState(t, ks, requireLatest(t, ks, 100).Version, m)
}

// An import that replaces or deletes large values leaves no parts of them.
func TestImportLeavesNoParts(t *testing.T) {
	d := openDir(t, t.TempDir())
	first := model{"deleted": pattern(1, 3*chunkSize), "shrunk": pattern(2, 4*chunkSize), "small": pattern(3, chunkSize+1), "stays": pattern(4, chunkSize+1)}
	if _, err := d.Import(t.Context(), "p", "g", importOf(first, 10)); err != nil {
		t.Fatal(err)
	}
	second := maps.Clone(first)
	delete(second, "deleted")
	second["shrunk"], second["small"] = pattern(5, 2*chunkSize), []byte("small")
	base, rows := first.checkpoint(state.VersionAt(10)), differing(0, first, second)
	_, err := d.Import(t.Context(), "p", "g", state.Import{
		Base: &base, Steps: []state.Checkpoint{second.checkpoint(state.VersionAt(20))},
		Next: func() (int, state.Row, error) {
			if len(rows) == 0 {
				return 0, state.Row{}, io.EOF
			}
			r := rows[0]
			rows = rows[1:]
			return r.step, r.Row, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ks := openKeyspaceOf(t, d)
	requireState(t, ks, state.VersionAt(20), second)
	if n, want := partsOf(t, ks, state.VersionAt(20)), chunks(2*chunkSize)+chunks(chunkSize+1); n != want {
		t.Errorf("%d parts are stored, want %d", n, want)
	}
}
