package enginetest

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"gnomon/engine/state"
)

// Events to publish are committed with the state, apart from it; a commit since an older
// version leaves them as they are.
func outboxApart(t *testing.T, open func() state.Keyspace) {
	ks := open()
	large := strings.Repeat("x", 900_000)
	row := func(number uint64, value string) state.Write {
		return state.Write{Key: string(state.OutboxKey(number)), Value: []byte(value)}
	}
	remove := func(number uint64, old string) state.Write {
		return state.Write{Key: row(number, "").Key, Delete: true, OldSize: len(old)}
	}
	commit := func(sequence uint64, rows int64, c state.Commit) state.Checkpoint {
		t.Helper()
		c.Checkpoint = checkpointAt(t, ks, sequence)
		c.Checkpoint.Outbox = state.Outbox{Rows: rows, Next: 1000, Marks: []state.Mark{{Stream: "T", Sequence: sequence}}}
		return commitWhole(t, ks, c)
	}
	first := commit(5, 3, state.Commit{Writes: []state.Write{put("a", "1")}, Outbox: []state.Write{row(300, large), row(2, large), row(70_000, "small")}})
	second := commit(6, 2, state.Commit{Writes: []state.Write{put("a", "2")}, Outbox: []state.Write{remove(2, large), remove(300, large), row(70_001, "new")}})
	back := commit(7, 1, state.Commit{Since: first.Version, Outbox: []state.Write{remove(70_000, "small")}})
	check := func(at state.Version, state, want string) {
		t.Helper()
		view := viewAt(t, ks, at)
		defer view.Close()
		got := ""
		err := view.Outbox().Scan(nil, nil, func(key, value []byte) bool {
			got += fmt.Sprintf("%x:%d ", key[4:], len(value))
			return true
		})
		if err != nil || got != want {
			t.Errorf("outbox at %d: %s, %v, want %s", at, got, err, want)
		}
		if has := content(t, view); !reflect.DeepEqual(has, map[string]string{"a": state}) {
			t.Errorf("state at %d: %v", at, has)
		}
	}
	check(first.Version, "1", "00000002:900000 0000012c:900000 00011170:5 ")
	check(second.Version, "2", "00011170:5 00011171:3 ")
	for range 2 {
		check(back.Version, "1", "00011171:3 ")
		if err := ks.Close(); err != nil {
			t.Fatal(err)
		}
		ks = open()
	}
	ck, err := ks.Latest()
	if err != nil || ck.Outbox.Rows != 1 || ck.Outbox.Next != 1000 || len(ck.Outbox.Marks) != 1 || ck.Outbox.Marks[0].Sequence != 7 {
		t.Errorf("the checkpoint says %+v, %v", ck.Outbox, err)
	}
}
