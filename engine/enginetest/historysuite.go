package enginetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"gnomon/engine"
)

// What is to be kept stays readable at every version, also across restarts; what is not is
// refused, and never answered otherwise.
func keepsHistory(t *testing.T, open func() engine.Keyspace) {
	ks := open()
	if got := ks.Oldest(); got != 0 {
		t.Errorf("a new keyspace has versions from %d on", got)
	}
	ks.Keep(1)
	var all []engine.Checkpoint
	grow := func(to uint64) {
		for seq := uint64(len(all)) + 1; seq <= to; seq++ {
			w := []engine.Write{put("k", fmt.Sprint(seq)), put(fmt.Sprint("at", seq), "x")}
			if seq > 3 {
				w = append(w, engine.Write{Key: fmt.Sprint("at", seq-3), Delete: true, OldSize: 1})
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
	again := func(keep engine.Version) {
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
	ks.Keep(engine.MaxVersion)
	grow(33)
	check(33)
	if err := ks.Close(); err != nil {
		t.Fatal(err)
	}
}

// A keyspace that nobody told to keep anything keeps what is needed to go on.
func keepsNothing(t *testing.T, open func() engine.Keyspace) {
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
