package enginetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"gnomon/engine/state"
)

// TestKeyspace checks what every state.Keyspace must do. For each of its subjects
// it asks for a new bench: a function that opens one keyspace, which holds what was
// committed when it was open before.
func TestKeyspace(t *testing.T, bench func(t *testing.T) (open func() state.Keyspace)) {
	for _, c := range []struct {
		name string
		test func(*testing.T, func() state.Keyspace)
	}{
		{"a new one has no checkpoint", newHasNone},
		{"a commit is found as it was made", commitIsFound},
		{"views stay at their version", viewsStay},
		{"scans see prefix, order and end", scans},
		{"it agrees with a map at every version", agreesWithMap},
		{"memory snapshots come back, the last few", memories},
		{"durable follows sync", durable},
		{"a commit may take back what came after an older one", takesBack},
		{"letters are apart from the state", lettersApart},
		{"the outbox is apart, and is not taken back", outboxApart},
		{"pinned versions stay readable", pinned},
		{"history stays readable as long as it is kept", keepsHistory},
		{"nothing is kept unasked", keepsNothing},
		{"the versions of a key are found", revisionsFound},
		{"values of any size come back", sizes},
		{"changes between two versions make the one of the other", changesBetween},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, bench(t)) })
	}
}

// commit commits writes at a sequence, on top of the newest checkpoint.
func commit(t *testing.T, ks state.Keyspace, sequence uint64, writes ...state.Write) state.Checkpoint {
	t.Helper()
	return commitWhole(t, ks, state.Commit{Checkpoint: checkpointAt(t, ks, sequence), Writes: writes})
}

func commitWhole(t *testing.T, ks state.Keyspace, c state.Commit) state.Checkpoint {
	t.Helper()
	c.Checkpoint.Keys = countAfter(t, ks, c.Writes)
	stored, err := ks.Commit(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

// countAfter is how many keys there are after writes on top of the newest
// checkpoint: keyspaces may use the count to notice what is missing.
func countAfter(t *testing.T, ks state.Keyspace, writes []state.Write) int64 {
	t.Helper()
	keys := map[string]string{}
	if last, err := ks.Latest(); err == nil {
		view := viewAt(t, ks, last.Version)
		keys = content(t, view)
		view.Close()
	}
	for _, w := range writes {
		if keys[w.Key] = ""; w.Delete {
			delete(keys, w.Key)
		}
	}
	return int64(len(keys))
}

// checkpointAt is a checkpoint for a sequence that follows the newest one.
func checkpointAt(t *testing.T, ks state.Keyspace, sequence uint64) state.Checkpoint {
	t.Helper()
	last, err := ks.Latest()
	if err != nil && !errors.Is(err, state.ErrNoCheckpoint) {
		t.Fatal(err)
	}
	created := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	last.Version = last.Version.Next(sequence)
	last.Position = state.Position{Stream: "S", Created: created, Sequence: sequence, Time: created.Add(time.Duration(sequence)), Module: "m"}
	last.Bytes, last.Digest = int64(2*sequence), state.Digest{byte(sequence), 7}
	last.Anchors = []state.Anchor{{Sequence: sequence, Time: created, Subject: "e.x", Hash: "0011223344556677"}}
	return last
}

func put(key, value string) state.Write { return state.Write{Key: key, Value: []byte(value)} }

func viewAt(t *testing.T, ks state.Keyspace, v state.Version) state.View {
	t.Helper()
	view, err := ks.View(v)
	if err != nil {
		t.Fatal(err)
	}
	return view
}

// content reads everything that a view shows, by Scan, and checks it by Get.
func content(t *testing.T, v state.View) map[string]string {
	t.Helper()
	all := map[string]string{}
	if err := v.Scan(nil, nil, func(key, value []byte) bool { all[string(key)] = string(value); return true }); err != nil {
		t.Fatal(err)
	}
	for key, want := range all {
		if got, ok, err := v.Get([]byte(key)); err != nil || !ok || string(got) != want {
			t.Fatalf("key %q: Get says %d bytes, %v, %v, and Scan %d bytes", key, len(got), ok, err, len(want))
		}
	}
	return all
}

func newHasNone(t *testing.T, open func() state.Keyspace) {
	ks := open()
	defer ks.Close()
	if _, err := ks.Latest(); !errors.Is(err, state.ErrNoCheckpoint) {
		t.Errorf("Latest: %v", err)
	}
	if _, err := ks.Checkpoint(state.VersionAt(10)); !errors.Is(err, state.ErrNoCheckpoint) {
		t.Errorf("Checkpoint: %v", err)
	}
	if limit := ks.Limit(); limit.Writes < 1 || limit.Bytes < 1 {
		t.Errorf("limit %+v", limit)
	}
}

func commitIsFound(t *testing.T, open func() state.Keyspace) {
	ks := open()
	first := commit(t, ks, 3, put("a", "1"))
	second := commit(t, ks, 9, put("a", "2"))
	again := commit(t, ks, 9, put("a", "3"))
	for v, want := range map[state.Version]state.Checkpoint{
		first.Version: first, second.Version - 1: first, second.Version: second, again.Version: again, state.VersionAt(100): again,
	} {
		if got, err := ks.Checkpoint(v); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("checkpoint at %d is %+v, %v, want %+v", v, got, err, want)
		}
	}
	if _, err := ks.Checkpoint(first.Version - 1); !errors.Is(err, state.ErrNoCheckpoint) {
		t.Errorf("before the first: %v", err)
	}
	if err := ks.Close(); err != nil {
		t.Fatal(err)
	}
	ks = open()
	defer ks.Close()
	if got, err := ks.Latest(); err != nil || !reflect.DeepEqual(got, again) {
		t.Errorf("after opening again the latest is %+v, %v, want %+v", got, err, again)
	}
}

func viewsStay(t *testing.T, open func() state.Keyspace) {
	ks := open()
	defer ks.Close()
	a := commit(t, ks, 1, put("k", "old"), put("gone", "x"))
	view := viewAt(t, ks, a.Version)
	defer view.Close()
	commit(t, ks, 2, put("k", "new"), put("more", "y"), state.Write{Key: "gone", Delete: true, OldSize: 1})
	if got, want := content(t, view), (map[string]string{"k": "old", "gone": "x"}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	now := viewAt(t, ks, state.VersionAt(3))
	defer now.Close()
	if got, want := content(t, now), (map[string]string{"k": "new", "more": "y"}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, ok, err := now.Get([]byte("absent")); ok || err != nil {
		t.Errorf("absent key: %v, %v", ok, err)
	}
}

func scans(t *testing.T, open func() state.Keyspace) {
	ks := open()
	defer ks.Close()
	keys := []string{"\x00", "a", "a\x00", "a\xff", "a\xff\xff", "b", "ba", "\xff", "\xff\xff"}
	var writes []state.Write
	for _, k := range keys {
		writes = append(writes, put(k, "v"+k))
	}
	view := viewAt(t, ks, commit(t, ks, 1, writes...).Version)
	defer view.Close()
	for _, c := range []struct{ prefix, after string }{
		{"", ""}, {"a", ""}, {"a", "a"}, {"a\xff", ""}, {"\xff", ""}, {"\xff", "\xff"}, {"", "a\xff"}, {"b", "a"}, {"a", "b"}, {"c", ""},
	} {
		var want []string
		for _, k := range keys {
			if strings.HasPrefix(k, c.prefix) && (c.after == "" || k > c.after) {
				want = append(want, k)
			}
		}
		slices.Sort(want)
		for stop := 1; stop <= len(want)+1; stop++ {
			var got []string
			err := view.Scan([]byte(c.prefix), []byte(c.after), func(key, value []byte) bool {
				if string(value) != "v"+string(key) {
					t.Errorf("key %q has value %q", key, value)
				}
				got = append(got, string(key))
				return len(got) < stop
			})
			if first := want[:min(stop, len(want))]; err != nil || !slices.Equal(got, first) {
				t.Errorf("prefix %q after %q: %q, %v, want %q", c.prefix, c.after, got, err, first)
			}
		}
	}
}

func agreesWithMap(t *testing.T, open func() state.Keyspace) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	ks := open()
	defer func() { ks.Close() }()
	st := map[string]string{}
	history := map[state.Version]map[string]string{}
	for seq := uint64(1); seq <= 60; seq++ {
		changed := map[string]state.Write{}
		for range rnd.IntN(8) {
			key := fmt.Sprintf("k%d", rnd.IntN(20))
			value := strings.Repeat("x", rnd.IntN(200)) + fmt.Sprint(seq)
			w := state.Write{Key: key, Value: []byte(value), Delete: rnd.IntN(3) == 0, OldSize: len(st[key])}
			if _, twice := changed[key]; twice {
				continue
			}
			changed[key] = w
			if st[key] = value; w.Delete {
				delete(st, key)
			}
		}
		var writes []state.Write
		for _, w := range changed {
			writes = append(writes, w)
		}
		copied := map[string]string{}
		for k, v := range st {
			copied[k] = v
		}
		history[commit(t, ks, seq, writes...).Version] = copied
		if rnd.IntN(20) == 0 {
			if err := ks.Close(); err != nil {
				t.Fatal(err)
			}
			ks = open()
			history = map[state.Version]map[string]string{} // older versions need not be readable
			view := viewAt(t, ks, state.VersionAt(seq+1))
			if got := content(t, view); !reflect.DeepEqual(got, st) {
				t.Fatalf("seed %d: opened again at %d: %v, want %v", seed, seq, got, st)
			}
			view.Close()
		}
		for v := range history {
			ks.Pin(v)
		}
	}
	for v, want := range history {
		view := viewAt(t, ks, v)
		if got := content(t, view); !reflect.DeepEqual(got, want) {
			t.Errorf("seed %d: at %d: %v, want %v", seed, v.Sequence(), got, want)
		}
		view.Close()
	}
}

func memories(t *testing.T, open func() state.Keyspace) {
	ks := open()
	blobs := func(n uint64) [][]byte {
		return [][]byte{bytes.Repeat([]byte{byte(n)}, 300_000), {}, []byte(fmt.Sprint(n))}
	}
	for n := uint64(1); n <= 4; n++ {
		commitWhole(t, ks, state.Commit{Checkpoint: checkpointAt(t, ks, 2*n), Memory: blobs(n), KeepMemories: 2})
		commit(t, ks, 2*n+1, put("k", fmt.Sprint(n)))
	}
	if err := ks.Close(); err != nil {
		t.Fatal(err)
	}
	ks = open()
	defer ks.Close()
	latest, err := ks.Latest()
	if err != nil || len(latest.Memories) != 2 {
		t.Fatalf("memories %+v, %v, want the last 2", latest.Memories, err)
	}
	for i, n := range []uint64{4, 3} {
		m := latest.Memories[i]
		if m.Version.Sequence() != 2*n {
			t.Errorf("memory %d is of sequence %d, want %d", i, m.Version.Sequence(), 2*n)
		}
		if got, err := ks.Memory(m); err != nil || !reflect.DeepEqual(got, blobs(n)) {
			t.Errorf("memory of %d: %d blobs, %v", 2*n, len(got), err)
		}
		at, err := ks.Checkpoint(m.Version)
		if err != nil || at.Position.Sequence != 2*n {
			t.Errorf("checkpoint of the memory: %+v, %v", at, err)
		}
		// What the guest saw when it wrote its memory is still readable.
		view := viewAt(t, ks, m.Version)
		if got, want := content(t, view), (map[string]string{"k": fmt.Sprint(n - 1)}); !reflect.DeepEqual(got, want) {
			t.Errorf("state at the memory of %d: %v, want %v", 2*n, got, want)
		}
		view.Close()
	}
}

func durable(t *testing.T, open func() state.Keyspace) {
	ks := open()
	defer ks.Close()
	a := commit(t, ks, 5, put("k", "v"))
	if got, err := ks.Sync(context.Background()); err != nil || got != a.Version || ks.Durable() != a.Version {
		t.Errorf("after Sync durable is %d (%d), %v, want %d", got, ks.Durable(), err, a.Version)
	}
	b := commit(t, ks, 6, put("k", "w"))
	if got := ks.Durable(); got > b.Version || got < a.Version {
		t.Errorf("durable is %d, committed %d", got, b.Version)
	}
	if got, err := ks.Sync(context.Background()); err != nil || got != b.Version {
		t.Errorf("after Sync durable is %d, %v, want %d", got, err, b.Version)
	}
}

// A commit since an older version takes back what came after that, but for those who
// look at it.
func lettersApart(t *testing.T, open func() state.Keyspace) {
	ks := open()
	large := strings.Repeat("x", 900_000)
	row := func(sequence uint64, value string) state.Write {
		return state.Write{Key: string(state.LetterRow(sequence)), Value: []byte(value)}
	}
	ck := checkpointAt(t, ks, 5)
	ck.Aside.Letters = 4 // more than a commit of the state could hold
	first := commitWhole(t, ks, state.Commit{Checkpoint: ck, Writes: []state.Write{put("a", "1")}, Letters: []state.Write{row(300, large), row(2, large), row(4, large), row(70_000, "small")}})
	ck = checkpointAt(t, ks, 6)
	ck.Aside.Letters = 2
	gone := row(2, "")
	gone.Delete, gone.OldSize = true, len(large)
	shorter := row(300, "short")
	shorter.OldSize = len(large)
	last := commitWhole(t, ks, state.Commit{Checkpoint: ck, Letters: []state.Write{gone, shorter, {Key: row(4, "").Key, Delete: true, OldSize: len(large)}}})
	check := func(at state.Version, want string) {
		t.Helper()
		view := viewAt(t, ks, at)
		defer view.Close()
		got := ""
		err := view.Letters().Scan(nil, nil, func(key, value []byte) bool {
			got += fmt.Sprintf("%d:%d ", binary.BigEndian.Uint64(key), len(value))
			return true
		})
		if err != nil || got != want {
			t.Errorf("letters at %d: %s, %v, want %s", at, got, err, want)
		}
		if state := content(t, view); !reflect.DeepEqual(state, map[string]string{"a": "1"}) {
			t.Errorf("state at %d: %v", at, state)
		}
		if _, ok, err := view.Letters().Get([]byte("a")); ok || err != nil {
			t.Errorf("a key of the state is a letter: %v, %v", ok, err)
		}
	}
	check(first.Version, "2:900000 4:900000 300:900000 70000:5 ")
	for range 2 {
		check(last.Version, "300:5 70000:5 ")
		if err := ks.Close(); err != nil {
			t.Fatal(err)
		}
		ks = open()
	}
	if err := ks.Close(); err != nil {
		t.Fatal(err)
	}
}

func takesBack(t *testing.T, open func() state.Keyspace) {
	ks := open()
	large := strings.Repeat("x", 200_000)
	old := commit(t, ks, 3, put("stays", "1"), put("changed", "old"), put("deleted", "2"), put("large", large), put("grown", "3"))
	commit(t, ks, 5, put("changed", "new"), state.Write{Key: "deleted", Delete: true, OldSize: 1}, put("added", "x"))
	last := commit(t, ks, 8, put("changed", "newer"), state.Write{Key: "large", Value: []byte("small"), OldSize: len(large)}, put("grown", large))
	between := viewAt(t, ks, last.Version)
	defer between.Close()
	want := content(t, between)

	ck := old
	ck.Version, ck.Position.Sequence, ck.Keys = last.Version.Next(8), 8, 6
	c := state.Commit{Checkpoint: ck, Since: old.Version, Writes: []state.Write{put("again", "4")}}
	stored, err := ks.Commit(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	check := func(ks state.Keyspace) {
		t.Helper()
		view := viewAt(t, ks, stored.Version)
		defer view.Close()
		now := map[string]string{"stays": "1", "changed": "old", "deleted": "2", "large": large, "grown": "3", "again": "4"}
		if got := content(t, view); !reflect.DeepEqual(got, now) {
			t.Errorf("%d keys after going back, want %d; changed is %q", len(got), len(now), got["changed"])
		}
	}
	check(ks)
	if got := content(t, between); !reflect.DeepEqual(got, want) {
		t.Error("a view from before changed")
	}
	between.Close()
	if err := ks.Close(); err != nil {
		t.Fatal(err)
	}
	ks = open()
	check(ks)

	// More than one transaction holds.
	n := ks.Limit().Writes + 10
	ck.Version, ck.Position.Sequence, ck.Keys = stored.Version.Next(9), 9, int64(n+6)
	c = state.Commit{Checkpoint: ck, Since: stored.Version}
	for i := range n {
		c.Writes = append(c.Writes, put(fmt.Sprint("many", i), "v"))
	}
	if stored, err = ks.Commit(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	view := viewAt(t, ks, stored.Version)
	if got := len(content(t, view)); got != n+6 {
		t.Errorf("%d keys, want %d", got, n+6)
	}
	view.Close()
	if err := ks.Close(); err != nil {
		t.Fatal(err)
	}
}

func pinned(t *testing.T, open func() state.Keyspace) {
	ks := open()
	defer ks.Close()
	a := commit(t, ks, 1, put("k", "pinned"))
	ks.Pin(a.Version)
	for seq := uint64(2); seq < 50; seq++ {
		commit(t, ks, seq, put("k", fmt.Sprint(seq)))
	}
	view := viewAt(t, ks, a.Version)
	if got := content(t, view)["k"]; got != "pinned" {
		t.Errorf("the pinned version shows %q", got)
	}
	view.Close()
	ks.Unpin(a.Version)
}

func sizes(t *testing.T, open func() state.Keyspace) {
	ks := open()
	want := map[string]string{"": "empty key"}
	var writes []state.Write
	for _, n := range []int{0, 1, 100, 65_535, 65_536, 65_537, 500_000} {
		want[fmt.Sprintf("size %d", n)] = strings.Repeat("ab", n)[:n]
	}
	for _, n := range []int{1, 1000, 60_000} {
		want[strings.Repeat("k", n)] = "long key"
	}
	delete(want, "") // a key has at least one byte
	for k, v := range want {
		writes = append(writes, put(k, v))
	}
	for i, w := range writes {
		commit(t, ks, uint64(i+1), w)
	}
	if err := ks.Close(); err != nil {
		t.Fatal(err)
	}
	ks = open()
	defer ks.Close()
	view := viewAt(t, ks, state.VersionAt(100))
	defer view.Close()
	if got := content(t, view); !reflect.DeepEqual(got, want) {
		for k, v := range want {
			if got[k] != v {
				t.Errorf("key of %d bytes: value of %d bytes, want %d", len(k), len(got[k]), len(v))
			}
		}
		t.Errorf("%d keys, want %d", len(got), len(want))
	}
}
