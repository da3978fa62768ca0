package upcast_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	gnomon "gnomon/sdk/go"
	"gnomon/sdk/go/gnomontest"
	"gnomon/sdk/go/upcast"
)

// handle is what the test at hand makes of an event: a program has one upcaster.
var handle upcast.Handler

func init() {
	upcast.OnEvent(func(ev gnomon.Event, out *upcast.Out) error { return handle(ev, out) })
}

func run(t *testing.T, h upcast.Handler, batch int, events ...gnomontest.Event) ([]gnomontest.Upcasted, error) {
	t.Helper()
	handle = h
	return gnomontest.Upcast(events, gnomontest.Options{Batch: batch})
}

func subjects(names ...string) (events []gnomontest.Event) {
	for _, n := range names {
		events = append(events, gnomontest.Event{Subject: n, Data: []byte(`"` + n + `"`)})
	}
	return events
}

// Of each event there comes what the handler hands on, none, one or several, in order and
// under its sequence, whatever batch it came in.
func TestNoneOneOrSeveral(t *testing.T) {
	h := func(ev gnomon.Event, out *upcast.Out) error {
		for i := range len(ev.Subject()) - 1 {
			if err := out.JSON(ev.Subject(), i); err != nil {
				return err
			}
		}
		if ev.Subject() == "bb" {
			return out.Keep()
		}
		return nil
	}
	for _, batch := range []int{1, 2, 10} {
		got, err := run(t, h, batch, subjects("a", "bb", "c", "dddd")...)
		text := ""
		for _, u := range got {
			text += fmt.Sprintf("%d:%s:%s ", u.Sequence, u.Subject, u.Data)
		}
		if want := `2:bb:0 2:bb:"bb" 4:dddd:0 4:dddd:1 4:dddd:2 `; text != want || err != nil {
			t.Errorf("batches of %d: %s, %v; want %s", batch, text, err, want)
		}
	}
}

// Headers are those of the event, except for those that the handler sets, whatever their
// case, or removes.
func TestHeaders(t *testing.T) {
	event := gnomontest.Event{Subject: "a", ID: "7", Type: "old", Time: "2026-03-01T10:00:00Z"}
	got, err := run(t, func(_ gnomon.Event, out *upcast.Out) error {
		if err := out.Keep(); err != nil {
			return err
		}
		return out.Put("a", nil, "Ce-Type", "new", "ce-id", "", "Extra", "1")
	}, 1, event)
	if err != nil || len(got) != 2 {
		t.Fatalf("%v, %v", got, err)
	}
	if h := fmt.Sprint(got[0].Headers); h != "map[Nats-Msg-Id:7 ce-id:7 ce-source:gnomontest ce-specversion:1.0 ce-time:2026-03-01T10:00:00Z ce-type:old]" {
		t.Errorf("kept headers %s", h)
	}
	if h := fmt.Sprint(got[1].Headers); h != "map[Ce-Type:new Extra:1 Nats-Msg-Id:7 ce-source:gnomontest ce-specversion:1.0 ce-time:2026-03-01T10:00:00Z]" {
		t.Errorf("changed headers %s", h)
	}
}

// What an upcaster writes is handed over in portions, none of which is lost.
func TestLargeOutput(t *testing.T) {
	got, err := run(t, func(ev gnomon.Event, out *upcast.Out) error {
		for range 5 {
			if err := out.Put("s", make([]byte, 100_000)); err != nil {
				return err
			}
		}
		return nil
	}, 3, subjects("a", "b", "c")...)
	if err != nil || len(got) != 15 || got[14].Sequence != 3 || len(got[7].Data) != 100_000 {
		t.Errorf("%d events, %v", len(got), err)
	}
}

// An error, a panic, and what the host would not take name their event.
func TestFailureNamesItsEvent(t *testing.T) {
	for text, fail := range map[string]func(*upcast.Out) error{
		"no such name":                          func(*upcast.Out) error { return errors.New("no such name") },
		"panic: impossible (upcast_test.go:":    func(*upcast.Out) error { panic("impossible") },
		"subject of 0 bytes":                    func(o *upcast.Out) error { return o.Put("", nil) },
		"subject of 1025 bytes: it must have 1": func(o *upcast.Out) error { return o.Put(strings.Repeat("s", 1025), nil) },
		"headers must be pairs":                 func(o *upcast.Out) error { return o.Put("s", nil, "Origin") },
		"headers must be pairs of name":         func(o *upcast.Out) error { return o.Put("s", nil, "", "x") },
		"headers of 65546 bytes: the limit is":  func(o *upcast.Out) error { return o.Put("s", nil, "ce-source", "", "n", strings.Repeat("v", 65_520)) },
		"encode event data: json":               func(o *upcast.Out) error { return o.JSON("s", func() {}) },
	} {
		_, err := run(t, func(ev gnomon.Event, out *upcast.Out) error {
			if ev.Subject() == "bad" {
				return fail(out)
			}
			return out.Keep()
		}, 2, subjects("a", "b", "bad", "c")...)
		var f *gnomontest.Failure
		if !errors.As(err, &f) || f.Sequence != 3 || !strings.HasPrefix(f.Text, text) {
			t.Errorf("error = %v, want one about event 3 that says %q", err, text)
		}
	}
}

// Fields of events are found as in a projection, and settings are read in OnInit.
func TestFields(t *testing.T) {
	got, err := run(t, func(ev gnomon.Event, out *upcast.Out) error {
		n, err := ev.Int("n")
		if err != nil {
			return err
		}
		return out.JSON("s", n+1)
	}, 2, gnomontest.Event{Subject: "a", Data: []byte(`{"n":1}`)}, gnomontest.Event{Subject: "b", Data: []byte(`{"n":2}`)})
	if err != nil || len(got) != 2 || got[0].Data != "2" || got[1].Data != "3" {
		t.Errorf("%v, %v", got, err)
	}
}

// complaints collects what a check says, instead of failing the test.
type complaints struct {
	testing.TB
	text []string
}

func (c *complaints) Helper() {}

func (c *complaints) Errorf(format string, args ...any) {
	c.text = append(c.text, fmt.Sprintf(format, args...))
}

// An upcaster that keeps something in its variables makes something else of other batches,
// which the check finds.
func TestInvarianceFindsForgottenState(t *testing.T) {
	handle = func(_ gnomon.Event, out *upcast.Out) error { return out.Keep() }
	gnomontest.CheckUpcastInvariance(t, subjects("a", "b", "c"), gnomontest.Options{})
	n := 0
	handle = func(_ gnomon.Event, out *upcast.Out) error { n++; return out.JSON("s", n) }
	c := &complaints{TB: t}
	gnomontest.CheckUpcastInvariance(c, subjects("a", "b", "c"), gnomontest.Options{})
	if len(c.text) == 0 || !strings.Contains(c.text[0], "the first that differs is number 1") {
		t.Errorf("complaints = %q", c.text)
	}
}
