package migrate_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"

	gnomon "gnomon/sdk/go"
	"gnomon/sdk/go/gnomontest"
	"gnomon/sdk/go/memory"
	"gnomon/sdk/go/migrate"
)

// The projection of these tests sums up amounts of cents by subject, and keeps how many events
// there were in its memory, as a version before it did that kept whole units.
type account struct {
	Cents int64  `json:"cents"`
	Units *int64 `json:"units,omitempty"` // of the version before
}

var events int

// rewrite is what the test at hand does with an older state: a program has one handler.
var rewrite migrate.Handler

func init() {
	gnomon.OnInit(func() error { events = 0; return nil })
	gnomon.OnEvent(func(ev gnomon.Event, st gnomon.State) error {
		amount, err := ev.Int("cents")
		if err != nil {
			return err
		}
		events++
		return gnomon.Update(st, ev.Subject(), func(a *account) error { a.Cents += amount; return nil })
	})
	memory.OnSnapshot(
		func(w io.Writer) error { _, err := fmt.Fprint(w, events); return err },
		func(r io.Reader) error { _, err := fmt.Fscan(r, &events); return err },
	)
	migrate.OnSchema(func(from int, st gnomon.State) error { return rewrite(from, st) })
}

// toCents rewrites all accounts, and notes what it was told.
func toCents(from int, st gnomon.State) error {
	keys, err := st.Keys("account.")
	if err != nil {
		return err
	}
	for _, key := range keys {
		err := gnomon.Update(st, key, func(a *account) error {
			a.Cents, a.Units = *a.Units*100, nil
			return nil
		})
		if err != nil {
			return err
		}
	}
	return errors.Join(st.Delete("old"), st.Put("migrated", fmt.Appendf(nil, "%d keys from %d after %d events", len(keys), from, events)))
}

// older is a state of the version before, after three events.
var older = gnomontest.Older{
	Schema: 2,
	State:  map[string]string{"account.1": `{"units":4}`, "account.2": `{"units":-1}`, "old": "x", "other": "y"},
	Memory: [][]byte{[]byte("3")},
}

func paid(subject string, cents int) gnomontest.Event {
	return gnomontest.Event{Subject: subject, Data: fmt.Appendf(nil, `{"cents":%d}`, cents)}
}

// An older state is rewritten once, with the memory that belongs to it, and events go on from
// there: in batches of any size, and with fresh instances.
func TestMigrates(t *testing.T) {
	rewrite = toCents
	log := []gnomontest.Event{paid("account.1", 5), paid("account.3", 7), paid("account.1", 1)}
	o := gnomontest.Options{Older: &older}
	got, err := gnomontest.Run(log, o)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"account.1": `{"cents":406}`, "account.2": `{"cents":-100}`, "account.3": `{"cents":7}`,
		"other": "y", "migrated": "2 keys from 2 after 3 events",
	}
	if !maps.Equal(got.State, want) || string(got.Memory[0]) != "6" {
		t.Errorf("state %v, memory %s; want %v and 6", got.State, got.Memory, want)
	}
	if older.State["account.1"] != `{"units":4}` {
		t.Error("the state that was given is changed")
	}
	gnomontest.CheckInvariance(t, log, o)
}

// A migration that fails leaves the state as it was, and says why; so does one that does what
// there is no event for.
func TestFailedMigration(t *testing.T) {
	for want, h := range map[string]migrate.Handler{
		"schema 2 is not known": func(from int, st gnomon.State) error {
			return errors.Join(st.Delete("old"), fmt.Errorf("schema %d is not known", from))
		},
		"panic: impossible (migrate_test.go:":    func(int, gnomon.State) error { panic("impossible") },
		`put "": bad argument`:                   func(_ int, st gnomon.State) error { return st.Put("", nil) },
		`emit "a": bad argument, or not to be u`: func(int, gnomon.State) error { return gnomon.Emit("a", nil) },
	} {
		rewrite = h
		got, err := gnomontest.Run([]gnomontest.Event{paid("account.1", 1)}, gnomontest.Options{Older: &older})
		var f *gnomontest.Failure
		if !errors.As(err, &f) || f.Call != "migrate" || !strings.HasPrefix(f.Text, want) || !maps.Equal(got.State, older.State) {
			t.Errorf("error %v, state %v; want %s and the older state", err, got.State, want)
		}
	}
}
