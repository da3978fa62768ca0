package enginetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"gnomon/engine/state"
)

// What is to be kept stays readable at every version, also across restarts; what is not is
// refused, and never answered otherwise.
func keepsHistory(t *testing.T, open func() state.Keyspace) {
	ks := open()
	if got := ks.Oldest(); got != 0 {
		t.Errorf("a new keyspace has versions from %d on", got)
	}
	ks.Keep(1)
	var all []state.Checkpoint
	grow := func(to uint64) {
		for seq := uint64(len(all)) + 1; seq <= to; seq++ {
			w := []state.Write{put("k", fmt.Sprint(seq)), put(fmt.Sprint("at", seq), "x")}
			if seq > 3 {
				w = append(w, state.Write{Key: fmt.Sprint("at", seq-3), Delete: true, OldSize: 1})
			}
			all = append(all, commit(t, ks, seq, w...))
			if _, err := ks.Sync(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func(oldest uint64) {
		t.Helper()
		if got := ks.Oldest(); got > all[oldest-1].Version || oldest > 1 && got <= all[oldest-2].Version {
			t.Errorf("the oldest version is %d, want that of %d", got, oldest)
		}
		for i, ck := range all {
			seq := uint64(i + 1)
			view, err := ks.View(ck.Version)
			if kept := seq >= oldest; (err == nil) != kept {
				t.Fatalf("view at %d, with all from %d on kept: %v", seq, oldest, err)
			}
			if err != nil {
				continue
			}
			want := map[string]string{"k": fmt.Sprint(seq)}
			for s := max(seq, 3) - 2; s <= seq; s++ {
				want[fmt.Sprint("at", s)] = "x"
			}
			if got := content(t, view); !reflect.DeepEqual(got, want) {
				t.Errorf("at %d: %v, want %v", seq, got, want)
			}
			view.Close()
			if got, err := ks.Checkpoint(ck.Version); err != nil || got.Version != ck.Version {
				t.Errorf("checkpoint at %d is of %d, %v", seq, got.Version.Sequence(), err)
			}
		}
	}
	again := func(keep state.Version) {
		t.Helper()
		if err := ks.Close(); err != nil {
			t.Fatal(err)
		}
		ks = open()
		ks.Keep(keep)
	}
	grow(20)
	check(1)
	again(1)
	check(1)
	grow(30)
	check(1)
	ks.Keep(all[9].Version)
	grow(31)
	check(10)
	again(1) // what is gone does not come back
	grow(32)
	check(10)
	ks.Keep(state.MaxVersion)
	grow(33)
	check(33)
	if err := ks.Close(); err != nil {
		t.Fatal(err)
	}
}

// A keyspace that nobody told to keep anything keeps what is needed to go on.
func keepsNothing(t *testing.T, open func() state.Keyspace) {
	ks := open()
	ks.Keep(1)
	old := commit(t, ks, 1, put("k", "old"))
	commit(t, ks, 2, put("k", "new"))
	if err := ks.Close(); err != nil {
		t.Fatal(err)
	}
	ks = open()
	commit(t, ks, 3, put("k", "newer"))
	if _, err := ks.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := ks.View(old.Version); err == nil {
		t.Error("a version is read that nobody keeps")
	}
	if err := errors.Join(ks.Close()); err != nil {
		t.Fatal(err)
	}
}

// The versions at which a key was written or deleted are found, newest first, and those of
// keys that begin alike are not among them.
func revisionsFound(t *testing.T, open func() state.Keyspace) {
	ks := open()
	ks.Keep(1)
	versions := map[uint64]state.Version{}
	for seq := uint64(1); seq <= 40; seq++ {
		w := []state.Write{put(fmt.Sprint("k", seq%2), fmt.Sprint(seq)), put(fmt.Sprint("k1", seq), "x")}
		if seq%4 == 3 {
			w[0] = state.Write{Key: "k1", Delete: true, OldSize: 1}
		}
		versions[seq] = commit(t, ks, seq, w...).Version
		if seq == 20 {
			if err := ks.Close(); err != nil {
				t.Fatal(err)
			}
			ks = open()
			ks.Keep(1)
		}
	}
	for _, span := range [][2]uint64{{0, 40}, {7, 30}, {10, 10}, {8, 9}} {
		for _, limit := range []int{1, 3, 100} {
			var got, want []state.Version
			for seq := span[1]; seq > span[0] && len(want) < limit; seq-- {
				if seq%2 == 1 {
					want = append(want, versions[seq])
				}
			}
			err := ks.Revisions([]byte("k1"), versions[span[0]], versions[span[1]], func(v state.Version) bool {
				got = append(got, v)
				return len(got) < limit
			})
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("after %d to %d: %v, %v, want %v", span[0], span[1], got, err, want)
			}
		}
	}
	if err := ks.Close(); err != nil {
		t.Fatal(err)
	}
}
