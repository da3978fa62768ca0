package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gnomon/engine/testdriver"
	"gnomon/host"
	"gnomon/sdk/abi"
)

// someEvents are events with headers and keys, one of which has a subject that begins with t.
func someEvents(n int) *testdriver.Events {
	list := testdriver.NewEvents(nil)
	for i := range n {
		r := event(i+1, fmt.Sprintf("%c.%d", 'p'+i%5, i%7), fmt.Sprintf(`{"n":%d,"text":"%s"}`, i, strings.Repeat("x", i%11)), "ce-id", fmt.Sprint(i), "ce-type", "thing")
		r.Key = []byte{byte('a' + i%3)}
		list.Add(r, i+1)
	}
	return list
}

func checkGuest(t *testing.T, code []byte, change ...func(*GuestCheck)) *Report {
	t.Helper()
	m, err := sandbox.Host.Load(t.Context(), code, host.Limits{Fuel: 50_000_000})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close(t.Context())
	c := GuestCheck{Module: m, Code: code, Events: someEvents(30)}
	for _, f := range change {
		f(&c)
	}
	r, err := CheckGuest(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// breaksToo are the other rules that a guest with a fault cannot but break.
var breaksToo = map[string][]string{
	"P8-snapshot": {"P7"}, // what it saves is what it has changed
	"X9-worn":     {"X8"}, // a batch that fails is begun again in a fresh instance
	"W6-random":   {"X9"}, // a fresh instance has the first random bytes again
}

// A guest that breaks a rule is told which, with the event or call where it shows, and of the
// rules that it keeps none is said to be broken.
func TestPlantedFaults(t *testing.T) {
	paths, err := filepath.Glob("guests/faults/*.wat")
	if err != nil {
		t.Fatal(err)
	}
	planted := map[string]bool{}
	for _, p := range paths {
		rule, _, _ := strings.Cut(filepath.Base(p), "-")
		planted[rule] = true
	}
	for _, r := range GuestRules {
		if !planted[r.ID] {
			t.Errorf("no guest breaks %s", r.ID)
		}
	}
	for _, p := range paths {
		name := strings.TrimSuffix(filepath.Base(p), ".wat")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			want, _, _ := strings.Cut(strings.TrimPrefix(string(text), ";; "), "\n")
			rule, _, _ := strings.Cut(name, "-")
			for _, f := range checkGuest(t, Guest("faults/"+name)).Findings {
				found := f.Verdict == Failed || f.Verdict == Warning
				switch {
				case f.ID == rule && (!found || !strings.Contains(f.Text, want)):
					t.Errorf("%s is %s: %q, want one with %q", f.ID, f.Verdict, f.Text, want)
				case f.ID != rule && found && !slices.Contains(breaksToo[name], f.ID):
					t.Errorf("%s, which it keeps, is %s: %s", f.ID, f.Verdict, f.Text)
				}
			}
		})
	}
}

// Of a rule that a guest had no occasion to break the report says what is missing.
func TestNotExercised(t *testing.T) {
	r := checkGuest(t, Guest("faults/sound"), func(c *GuestCheck) { c.Events = testdriver.NewEvents(nil) })
	for id, want := range map[string]string{
		"X8": "there are no events: give some with --events", "C7": "it does not call state_scan", "E9": "it does not call emit",
		"Q8": "it answers no queries: it does not export query", "P8": "it keeps nothing in memory: it exports no snapshot", "U12": "it is no upcaster",
	} {
		if f := r.of(id); f.Verdict != NotExercised || f.Text != want {
			t.Errorf("%s is %s: %q, want %q", id, f.Verdict, f.Text, want)
		}
	}
	refusing := checkGuest(t, Guest("faults/X11-trap"), func(c *GuestCheck) {
		c.Events = testdriver.NewEvents(nil)
		c.Events.Add(event(1, "t.1", "{}"), 1)
	})
	for _, id := range []string{"X8", "B11", "W6"} {
		if f := refusing.of(id); f.Verdict != NotExercised || !strings.HasPrefix(f.Text, "every event fails, as the first: ") {
			t.Errorf("%s of a guest that takes no event is %s: %q", id, f.Verdict, f.Text)
		}
	}
	all := checkGuest(t, Guest("least"))
	if f := all.of("X8"); f.Verdict != NotExercised || f.Text != "it does not call batch_read, input_read" {
		t.Errorf("X8 of a guest that reads no events is %s: %q", f.Verdict, f.Text)
	}
	if i := slices.IndexFunc(all.Findings, func(f Finding) bool { return f.Verdict == Failed || f.Verdict == Warning }); i >= 0 {
		t.Errorf("the least guest: %+v", all.Findings[i])
	}
}

// The shapes that events are given are those that the layout allows: each is read back as it
// was written, with headers in order.
func TestShapes(t *testing.T) {
	list, odd := shapesOf(someEvents(200), nil)
	if list.Len() < 2*shaped || len(odd) != shaped {
		t.Fatalf("%d events, %d of them odd", list.Len(), len(odd))
	}
	for i := range list.Len() {
		var last []byte
		r := list.Record(i)
		for h := r.Headers; len(h) > 0; {
			name, _, rest, err := abi.NextHeader(h)
			if err != nil || slices.Compare(last, name) > 0 {
				t.Fatalf("event %d: header %q after %q, %v", r.Sequence, name, last, err)
			}
			last, h = name, rest
		}
	}
}
