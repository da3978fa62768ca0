package testdriver_test

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gnomon/engine/state"
	. "gnomon/engine/testdriver"
)

// State in memory is read as a sorted map is, whatever is written,
// deleted and scanned in between.
func TestState(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	s, want := NewState(state.TxLimit{Writes: 1 << 20, Bytes: 1 << 30}), map[string]string{}
	key := func() []byte {
		return []byte(strings.Repeat(string(rune('a'+rnd.IntN(3))), 1+rnd.IntN(3)) + string(rune('a'+rnd.IntN(26))))
	}
	for step := range 20_000 {
		s.Commit()
		s.Begin()
		k := key()
		switch n := rnd.IntN(10); {
		case n < 4:
			v := bytes.Repeat([]byte{byte(step)}, rnd.IntN(5))
			want[string(k)] = string(v)
			if err := s.Put(k, v); err != nil {
				t.Fatal(err)
			}
		case n < 8:
			delete(want, string(k))
			if err := s.Delete(k); err != nil {
				t.Fatal(err)
			}
		case n == 8:
			v, ok, err := s.Get(k)
			if w, there := want[string(k)]; err != nil || ok != there || string(v) != w {
				t.Fatalf("step %d: %q is %q, %v, %v; want %q, %v", step, k, v, ok, err, w, there)
			}
		default:
			checkScan(t, s, want, k[:rnd.IntN(len(k)+1)], key()[:rnd.IntN(3)], 1+rnd.IntN(20))
		}
	}
	size := 0
	for k, v := range want {
		size += len(k) + len(v)
	}
	if s.Keys() != len(want) || s.Bytes() != size || size == 0 {
		t.Errorf("%d keys of %d bytes, want %d of %d", s.Keys(), s.Bytes(), len(want), size)
	}
}

func checkScan(t *testing.T, s *State, all map[string]string, prefix, after []byte, limit int) {
	t.Helper()
	var want, got []string
	for _, k := range slices.Sorted(maps.Keys(all)) {
		if strings.HasPrefix(k, string(prefix)) && k > string(after) && len(want) < limit {
			want = append(want, k+"="+all[k])
		}
	}
	err := s.Scan(prefix, after, func(k, v []byte) bool {
		got = append(got, string(k)+"="+string(v))
		return len(got) < limit
	})
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("scan of %q after %q: %q, %v; want %q", prefix, after, got, err, want)
	}
}

// An event that writes more than fits a commit is refused as it would be where it counts:
// by keys or by bytes, of which those that it overwrites itself count once.
func TestStateLimit(t *testing.T) {
	s := NewState(state.TxLimit{Writes: 2, Bytes: 10})
	for i, step := range []struct {
		key, value string
		begin, ok  bool
	}{
		{"a", "1", true, true}, {"b", "1", false, true}, {"a", "2", false, true}, {"c", "1", false, false},
		{"c", "1", true, true}, {"d", "12345678", false, false},
		{"d", "123456789", true, true}, {"d", "1", false, true}, {"e", "1234567", false, true},
	} {
		if step.begin {
			s.Commit()
			s.Begin()
		}
		err := s.Put([]byte(step.key), []byte(step.value))
		if (err == nil) != step.ok || err != nil && err.Error() != "apply went over a limit: its writes do not fit one commit: the limit is 2 keys or 10 bytes; write less for one event" {
			t.Errorf("step %d: %v", i, err)
		}
	}
}

// A call that is taken back leaves the state as if it had never been.
func TestRollBack(t *testing.T) {
	s := NewState(state.TxLimit{Writes: 100, Bytes: 100})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	s.Begin()
	must(s.Put([]byte("a"), []byte("1")))
	must(s.Put([]byte("b"), []byte("1")))
	s.Commit()
	before := s.All()
	s.Begin()
	must(s.Put([]byte("a"), []byte("2")))
	must(s.Put([]byte("a"), []byte("3")))
	must(s.Delete([]byte("b")))
	must(s.Put([]byte("c"), []byte("3")))
	s.RollBack()
	if !maps.Equal(s.All(), before) || s.Keys() != 2 || s.Bytes() != 4 {
		t.Errorf("%q, %d keys, %d bytes", s.All(), s.Keys(), s.Bytes())
	}
}
