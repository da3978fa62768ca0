package gnomon_test

import (
	"errors"
	"strings"
	"testing"

	gnomon "gnomon/sdk/go"
	"gnomon/sdk/go/gnomontest"
)

// handle is what the test at hand does with an event: a program has one projection.
var handle gnomon.Handler

func init() {
	gnomon.OnEvent(func(ev gnomon.Event, st gnomon.State) error { return handle(ev, st) })
}

func run(t *testing.T, h gnomon.Handler, o gnomontest.Options, events ...gnomontest.Event) (*gnomontest.Result, error) {
	t.Helper()
	handle = h
	return gnomontest.Run(events, o)
}

// mustRun runs a handler that does not fail.
func mustRun(t *testing.T, h gnomon.Handler, events ...gnomontest.Event) *gnomontest.Result {
	t.Helper()
	got, err := run(t, h, gnomontest.Options{}, events...)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func subjects(names ...string) (events []gnomontest.Event) {
	for _, n := range names {
		events = append(events, gnomontest.Event{Subject: n})
	}
	return events
}

var none map[string]int

// An error or a panic names its event, and takes back the batch it came in.
func TestFailureNamesItsEvent(t *testing.T) {
	for what, c := range map[string]struct {
		fail func() error
		text string
	}{
		"error":         {func() error { return errors.New("no such account") }, "no such account"},
		"panic":         {func() error { panic("impossible") }, "panic: impossible (projection_test.go:"},
		"panic, error":  {func() error { panic(errors.New("odd")) }, "panic: odd (projection_test.go:"},
		"out of bounds": {func() error { var s []int; _ = s[len(s)]; return nil }, "panic: runtime error: index out of range [0] with length 0 (projection_test.go:"},
		"nil map":       {func() error { none["a"] = 1; return nil }, "panic: assignment to entry in nil map (projection_test.go:"},
	} {
		t.Run(what, func(t *testing.T) {
			got, err := run(t, func(ev gnomon.Event, st gnomon.State) error {
				if err := st.Put(ev.Subject(), nil); err != nil {
					return err
				}
				if ev.Subject() == "bad" {
					return c.fail()
				}
				return nil
			}, gnomontest.Options{Batch: 2}, subjects("a", "b", "c", "bad", "d")...)
			var f *gnomontest.Failure
			if !errors.As(err, &f) || f.Sequence != 4 || !strings.HasPrefix(f.Text, c.text) {
				t.Errorf("error = %v, want one about event 4 that says %q", err, c.text)
			}
			if keys := strings.Join(got.Keys(""), " "); keys != "a b" {
				t.Errorf("keys = %s, want those of the batch before", keys)
			}
		})
	}
}

// Batches of any size are read, one after the other, into the same memory.
func TestBatches(t *testing.T) {
	large := gnomontest.Event{Subject: "large", Data: make([]byte, 700_000)}
	events := append(subjects("a", "b"), large, gnomontest.Event{Subject: "c", Data: make([]byte, 10_000)})
	for _, size := range []int{1, 2, 4} {
		lengths := 0
		_, err := run(t, func(ev gnomon.Event, _ gnomon.State) error {
			lengths += len(ev.Data())
			return nil
		}, gnomontest.Options{Batch: size}, events...)
		if err != nil || lengths != 710_000 {
			t.Errorf("batches of %d: %d bytes of data, error %v; want 710000", size, lengths, err)
		}
	}
}

// Handling an event costs no allocation of the SDK's own.
func TestNoAllocationPerEvent(t *testing.T) {
	fields := gnomon.NewFields("case", "n")
	var allocs float64
	mustRun(t, func(ev gnomon.Event, st gnomon.State) error {
		allocs = testing.AllocsPerRun(100, func() {
			v, err := fields.Read(ev.Data())
			if err != nil {
				t.Error(err)
			}
			n, _ := v[1].Int()
			if text, _ := v[0].Text(); string(text) != "x\ty" || n != 7 || ev.Time().Unix() != 1772355600 {
				t.Errorf("event says %q, %d, %s", text, n, ev.Time())
			}
			if _, _, err := st.Get("k"); err != nil {
				t.Error(err)
			}
		})
		return nil
	}, gnomontest.Event{Subject: "s", Time: "2026-03-01T10:00:00+01:00", Data: []byte(`{"case":"x\ty","n":7,"more":[{"case":1}]}`)})
	if allocs != 0 {
		t.Errorf("%v allocations, want none", allocs)
	}
}

func TestSettingsKeepDefaults(t *testing.T) {
	got := struct{ Currency, Zone string }{"EUR", "Berlin"}
	_, err := run(t, func(gnomon.Event, gnomon.State) error { return gnomon.Settings(&got) },
		gnomontest.Options{Settings: `{"currency":"USD"}`}, subjects("a")...)
	if err != nil || got.Currency != "USD" || got.Zone != "Berlin" {
		t.Errorf("settings = %+v, error %v; want USD and the default Berlin", got, err)
	}
}

func TestSettingsRefuseUnknownNames(t *testing.T) {
	var s struct{ Currency string }
	_, err := run(t, func(gnomon.Event, gnomon.State) error { return gnomon.Settings(&s) },
		gnomontest.Options{Settings: `{"curency":"USD"}`}, subjects("a")...)
	if err == nil || !strings.Contains(err.Error(), `"curency"`) {
		t.Errorf("error = %v, want one that names curency", err)
	}
}

func TestEmit(t *testing.T) {
	h := func(ev gnomon.Event, _ gnomon.State) error {
		return gnomon.Emit("seen."+ev.Subject(), []byte("!"), "Origin", "test")
	}
	got, err := run(t, h, gnomontest.Options{Batch: 2}, subjects("a", "b", "c")...)
	if err != nil {
		t.Fatal(err)
	}
	if want := (gnomontest.Emitted{Sequence: 2, Subject: "seen.b", Data: "!"}); len(got.Emitted) != 3 || got.Emitted[1] != want {
		t.Errorf("emitted %v, want three with %v in the middle", got.Emitted, want)
	}
	h = func(gnomon.Event, gnomon.State) error { return gnomon.Emit("a", nil, "Origin") }
	if _, err := run(t, h, gnomontest.Options{}, subjects("a")...); err == nil || !strings.Contains(err.Error(), "pairs") {
		t.Errorf("error = %v, want one about a header without value", err)
	}
}

func TestLog(t *testing.T) {
	got := mustRun(t, func(ev gnomon.Event, _ gnomon.State) error {
		if gnomon.Log.Enabled(gnomon.LevelDebug) {
			gnomon.Log.Debug("saw " + ev.Subject())
		}
		gnomon.Log.Warn("odd")
		return nil
	}, subjects("a")...)
	if s := strings.Join(got.Logged, ", "); s != "debug: saw a, warn: odd" {
		t.Errorf("logged %s", s)
	}
}
