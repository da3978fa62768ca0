package enginetest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"gnomon/engine/state"
)

// changesBetween: what changed between any two versions, laid over the older one, is the
// newer one; for the state and for the letters, and for any part of their keys.
func changesBetween(t *testing.T, open func() state.Keyspace) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 2))
	ks := open()
	defer func() { ks.Close() }()
	h := newChanging(rnd)
	for seq := uint64(1); seq <= 40; seq++ {
		h.commit(t, ks, seq)
		if seq == 20 { // what is in tables by now, and what is still in memory
			if err := ks.Close(); err != nil {
				t.Fatal(err)
			}
			ks = open()
			for _, v := range h.versions {
				ks.Pin(v)
			}
		}
	}
	for range 60 {
		i := rnd.IntN(len(h.versions) + 1)
		j := i + rnd.IntN(len(h.versions)+1-i)
		for _, kind := range []state.RowKind{state.OfState, state.OfLetters} {
			if err := h.between(ks, kind, i, j); err != nil {
				t.Fatalf("seed %d: kind %d between commits %d and %d: %v", seed, kind, i, j, err)
			}
		}
	}
	n := 0
	err := ks.Changes(state.OfState, 0, h.versions[len(h.versions)-1], state.KeyRange{}, func(state.Row) bool { n++; return n < 2 })
	if err != nil || n != 2 {
		t.Errorf("after false it went on to row %d: %v", n, err)
	}
}

// changing makes random commits and remembers what there was after each.
type changing struct {
	rnd      *rand.Rand
	versions []state.Version
	states   []map[state.RowKind]map[string]string // [0] is before the first commit
}

func newChanging(rnd *rand.Rand) *changing {
	return &changing{rnd: rnd, states: []map[state.RowKind]map[string]string{{state.OfState: {}, state.OfLetters: {}}}}
}

func (h *changing) commit(t *testing.T, ks state.Keyspace, seq uint64) {
	t.Helper()
	now := map[state.RowKind]map[string]string{}
	for kind, rows := range h.states[len(h.states)-1] {
		now[kind] = maps.Clone(rows)
	}
	ck := checkpointAt(t, ks, seq)
	c := state.Commit{
		Writes:  h.writes(now[state.OfState], func(n int) string { return fmt.Sprintf("k%d", n) }, 400_000),
		Letters: h.writes(now[state.OfLetters], func(n int) string { return string(state.LetterRow(uint64(n))) }, 500),
	}
	ck.Aside.Letters = int64(len(now[state.OfLetters]))
	c.Checkpoint = ck
	ck = commitWhole(t, ks, c)
	ks.Pin(ck.Version)
	h.versions, h.states = append(h.versions, ck.Version), append(h.states, now)
}

// writes changes some rows, now and then to a value of a size.
func (h *changing) writes(rows map[string]string, key func(int) string, large int) (writes []state.Write) {
	for _, n := range h.rnd.Perm(12)[:h.rnd.IntN(5)] {
		k := key(n)
		old, there := rows[k]
		w := state.Write{Key: k, OldSize: len(old), Delete: there && h.rnd.IntN(2) == 0}
		if w.Delete {
			delete(rows, k)
		} else {
			size := h.rnd.IntN(30)
			if h.rnd.IntN(10) == 0 {
				size = large
			}
			w.Value = []byte(strings.Repeat(string(rune('a'+h.rnd.IntN(26))), size))
			rows[k] = string(w.Value)
		}
		writes = append(writes, w)
	}
	return writes
}

// part is all keys of a kind, or some of them.
func (h *changing) part(kind state.RowKind) (keys state.KeyRange) {
	row := func() []byte {
		if n := h.rnd.IntN(14); kind == state.OfState {
			return fmt.Appendf(nil, "k%d", n)
		} else {
			return state.LetterRow(uint64(n))
		}
	}
	if h.rnd.IntN(3) == 0 {
		keys.Prefix = row()
	}
	if h.rnd.IntN(3) == 0 {
		keys.After = row()
	}
	return keys
}

// between checks the changes from after commit i to after commit j; 0 is before the first.
func (h *changing) between(ks state.Keyspace, kind state.RowKind, i, j int) error {
	version := func(n int) state.Version {
		if n == 0 {
			return 0
		}
		return h.versions[n-1]
	}
	keys := h.part(kind)
	outside := func(key, _ string) bool {
		return !strings.HasPrefix(key, string(keys.Prefix)) || len(keys.After) > 0 && key <= string(keys.After)
	}
	got, want := maps.Clone(h.states[i][kind]), maps.Clone(h.states[j][kind])
	maps.DeleteFunc(got, outside)
	maps.DeleteFunc(want, outside)
	var last []byte
	var bad error
	n := 0
	err := ks.Changes(kind, version(i), version(j), keys, func(r state.Row) bool {
		if outside(string(r.Key), "") {
			bad = fmt.Errorf("key %q is not of %q", r.Key, keys)
		}
		if n++; n > 1 && bytes.Compare(r.Key, last) <= 0 {
			bad = fmt.Errorf("key %q after %q", r.Key, last)
		}
		if r.Kind != kind {
			bad = fmt.Errorf("row of kind %d", r.Kind)
		}
		last = append(last[:0], r.Key...)
		if delete(got, string(r.Key)); !r.Deleted {
			got[string(r.Key)] = string(r.Value)
		}
		return true
	})
	switch {
	case err != nil || bad != nil:
		return errors.Join(err, bad)
	case !maps.Equal(got, want):
		return fmt.Errorf("%d rows, want %d", len(got), len(want))
	case i == j && n > 0:
		return fmt.Errorf("%d rows changed by no commit", n)
	}
	return nil
}
