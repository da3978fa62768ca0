package gnomon_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	gnomon "gnomon/sdk/go"
)

func TestStateReadsItsOwnWrites(t *testing.T) {
	mustRun(t, func(_ gnomon.Event, st gnomon.State) error {
		if v, ok, err := st.Get("a"); ok || err != nil {
			t.Errorf("absent key: %q, %v, %v", v, ok, err)
		}
		long := strings.Repeat("long", 5000)
		for _, value := range []string{"1", "", long, "2"} {
			if err := st.Put("a", []byte(value)); err != nil {
				t.Error(err)
			}
			if v, ok, err := st.Get("a"); string(v) != value || !ok || err != nil {
				t.Errorf("value of %d bytes: %d bytes, %v, %v", len(value), len(v), ok, err)
			}
		}
		if err := errors.Join(st.Delete("a"), st.Delete("b")); err != nil {
			t.Error(err)
		}
		if _, ok, _ := st.Get("a"); ok {
			t.Error("a is there after it was deleted")
		}
		return nil
	}, subjects("x")...)
}

// Errors name the key, and what the limit is.
func TestStateLimits(t *testing.T) {
	mustRun(t, func(_ gnomon.Event, st gnomon.State) error {
		long := strings.Repeat("k", 64_001)
		_, _, getErr := st.Get(long)
		for what, err := range map[string]error{
			"get of a long key":     getErr,
			"put of a long key":     st.Put(long, nil),
			"delete of a long key":  st.Delete(long),
			"scan of a long prefix": st.Scan(long, "", nil),
			"put of a large value":  st.Put("k", make([]byte, 1<<20+1)),
			"put of an empty key":   st.Put("", nil),
			"put that is no JSON":   gnomon.Store(st, "k", func() {}),
		} {
			var k *gnomon.KeyError
			if !errors.As(err, &k) || len(err.Error()) > 300 {
				t.Errorf("%s: error = %v, want a short KeyError", what, err)
			}
		}
		return nil
	}, subjects("x")...)
}

func TestScanInOrder(t *testing.T) {
	mustRun(t, func(_ gnomon.Event, st gnomon.State) error {
		for i := 999; i >= 0; i-- {
			// Large enough for several pages, and one that is larger than a page.
			value := make([]byte, 40)
			if i == 500 {
				value = make([]byte, 1<<20)
			}
			if err := st.Put(fmt.Sprintf("n\t%03d", i), value); err != nil {
				t.Error(err)
			}
		}
		st.Put("m", nil)
		st.Put("o", nil)
		next := 0
		err := st.Scan("n\t", "", func(key string, value []byte) bool {
			if key != fmt.Sprintf("n\t%03d", next) {
				t.Errorf("key %q, want number %d", key, next)
			}
			if large := len(value) == 1<<20; large != (next == 500) {
				t.Errorf("key %q has %d bytes", key, len(value))
			}
			next++
			return true
		})
		if err != nil || next != 1000 {
			t.Errorf("scan of all: %d keys, error %v", next, err)
		}
		var some []string
		err = st.Scan("n\t", "n\t500", func(key string, _ []byte) bool {
			some = append(some, key)
			return len(some) < 2
		})
		if s := fmt.Sprintf("%q", some); err != nil || s != `["n\t501" "n\t502"]` {
			t.Errorf("two after 500: %s, error %v", s, err)
		}
		return nil
	}, subjects("x")...)
}

// During a scan the state can be read, by scans too, but not written: what a write
// does to a scan under way would depend on the size of its pages.
func TestScanReadsOnly(t *testing.T) {
	got := mustRun(t, func(_ gnomon.Event, st gnomon.State) error {
		st.Put("a", []byte("1"))
		st.Put("b", []byte("2"))
		pairs := 0
		err := st.Scan("", "", func(outer string, _ []byte) bool {
			if st.Put("c", nil) == nil || st.Delete("a") == nil {
				t.Error("the state was written during a scan")
			}
			st.Scan("", "", func(string, []byte) bool { pairs++; return true })
			_, ok, err := st.Get(outer)
			return ok && err == nil
		})
		if err != nil || pairs != 4 {
			t.Errorf("%d pairs, error %v; want 4", pairs, err)
		}
		return st.Put("c", nil)
	}, subjects("x")...)
	if len(got.State) != 3 {
		t.Errorf("keys = %q, want a, b and c, which was written after the scan", got.Keys(""))
	}
}

func TestTypedValues(t *testing.T) {
	type account struct {
		Amount int      `json:"amount"`
		Tags   []string `json:"tags,omitempty"`
	}
	got := mustRun(t, func(_ gnomon.Event, st gnomon.State) error {
		err := gnomon.Update(st, "a", func(a *account) error { a.Amount += 5; return nil })
		if err != nil {
			return err
		}
		refused := errors.New("refused")
		if err := gnomon.Update(st, "a", func(a *account) error { a.Amount = 0; return refused }); !errors.Is(err, refused) {
			t.Errorf("error = %v, want %v", err, refused)
		}
		if a, ok, err := gnomon.Load[account](st, "a"); a.Amount%5 != 0 || a.Amount == 0 || !ok || err != nil {
			t.Errorf("account = %+v, %v, %v", a, ok, err)
		}
		if _, ok, err := gnomon.Load[account](st, "b"); ok || err != nil {
			t.Errorf("absent account: %v, %v", ok, err)
		}
		if _, _, err := gnomon.Load[[]int](st, "a"); err == nil || !strings.Contains(err.Error(), `decode "a"`) {
			t.Errorf("error = %v, want one that names a", err)
		}
		return nil
	}, subjects("x", "y")...)
	if v := got.State["a"]; v != `{"amount":10}` {
		t.Errorf("a is %s", v)
	}
}
