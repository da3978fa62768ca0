package gnomon_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	gnomon "gnomon/sdk/go"
	"gnomon/sdk/go/gnomontest"
)

func bodies(data ...string) (events []gnomontest.Event) {
	for _, d := range data {
		events = append(events, gnomontest.Event{Subject: "e.x", Data: []byte(d)})
	}
	return events
}

// Fields are those of the event at hand, whatever batch it is in, and whenever a
// field is asked for the first time.
func TestEventFields(t *testing.T) {
	events := bodies(`{"name":"a","n":1}`, `{"n":-20,"name":"b\u00e9"}`, `{"name":"c","n":3,"late":"x"}`, `{"name":"d","n":4,"late":"y"}`, `{"name":"","n":0}`)
	for batch := 1; batch <= len(events)+1; batch++ {
		got, err := run(t, func(ev gnomon.Event, st gnomon.State) error {
			name, err := ev.String("name")
			if err != nil {
				return err
			}
			n, err := ev.Int("n")
			if err != nil {
				return err
			}
			if n < 3 {
				return st.Put(fmt.Sprint(ev.Sequence()), fmt.Append(nil, name, n))
			}
			late, err := ev.Field("late")
			text, _ := late.Text()
			return errors.Join(err, st.Put(fmt.Sprint(ev.Sequence()), fmt.Append(nil, name, n, string(text), late.Kind())))
		}, gnomontest.Options{Batch: batch, Restart: 2}, events...)
		if err != nil {
			t.Fatal(err)
		}
		want := "map[1:a1 2:bé-20 3:c3x4 4:d4y4 5:0]"
		if state := fmt.Sprint(got.State); state != want {
			t.Errorf("batches of %d: %s, want %s", batch, state, want)
		}
	}
}

// A field that is absent, or of another kind, and data that is no JSON object, are
// errors that say so.
func TestEventFieldErrors(t *testing.T) {
	for data, want := range map[string]string{
		`{}`:                         `the event's data has no such field: "n"`,
		`{"n":"5"}`:                  `field "n" is "5", not a whole number of at most 18 digits`,
		`{"n":1.5}`:                  `field "n" is 1.5, not a whole number`,
		`[5]`:                        "event data at byte 0: a JSON object is expected",
		`{"n":5`:                     "event data at byte 6: ",
		`{"n":12345678901234567890}`: "not a whole number of at most 18 digits",
	} {
		_, err := run(t, func(ev gnomon.Event, st gnomon.State) error {
			n, err := ev.Int("n")
			if err == nil {
				t.Errorf("%s: %d", data, n)
			}
			return err
		}, gnomontest.Options{Batch: 2}, bodies(data, data)...)
		var f *gnomontest.Failure
		if !errors.As(err, &f) || f.Sequence != 1 || !strings.Contains(f.Text, want) {
			t.Errorf("%s: %v, want %q", data, err, want)
		}
	}
	mustRun(t, func(ev gnomon.Event, st gnomon.State) error {
		if _, err := ev.String("s"); !errors.Is(err, gnomon.ErrNoField) {
			t.Errorf("absent: %v", err)
		}
		return nil
	}, bodies(`{}`)...)
}

// More different fields than the limit are refused, by name.
func TestTooManyEventFields(t *testing.T) {
	mustRun(t, func(ev gnomon.Event, st gnomon.State) error {
		for i := range 64 {
			if _, err := ev.Field(fmt.Sprint("f", i)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := ev.Field("one more"); err == nil || !strings.Contains(err.Error(), `field "one more", the 65th`) {
			t.Errorf("the 65th: %v", err)
		}
		if v, err := ev.Field("f63"); err != nil || v.Kind() != gnomon.Number {
			t.Errorf("the last one after that: %v, %v", v.Kind(), err)
		}
		return nil
	}, bodies(`{"f63":1}`)...)
}

// A text stays what it is when the handler asks for a field that it never asked for before.
func TestValueOutlastsAnotherField(t *testing.T) {
	mustRun(t, func(ev gnomon.Event, _ gnomon.State) error {
		first, err := ev.Field("first")
		if err != nil {
			return err
		}
		if _, err = ev.Field("second"); err != nil {
			return err
		}
		if text, _ := first.Text(); string(text) != "a\tb" {
			t.Errorf("the first field says %q", text)
		}
		return nil
	}, gnomontest.Event{Subject: "s", Data: []byte(`{"second":"\u0001\u0002\u0003","first":"a\tb"}`)})
}
