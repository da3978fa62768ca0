package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"gnomon/sdk/go/gnomontest"
)

// visit is an event of an actor, some minutes after noon.
func visit(actor string, minute int) gnomontest.Event {
	return gnomontest.Event{
		Subject: "visits." + actor,
		Time:    time.Date(2026, 3, 1, 12, minute, 0, 0, time.UTC).Format(time.RFC3339),
		Data:    json.RawMessage(fmt.Sprintf(`{"case":%q}`, actor)),
	}
}

// noon is when the events of visit begin, in Unix milliseconds.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixMilli()

func run(t *testing.T, events []gnomontest.Event, o gnomontest.Options) *gnomontest.Result {
	t.Helper()
	got, err := gnomontest.Run(events, o)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func want(t *testing.T, got *gnomontest.Result, key, value string) {
	t.Helper()
	if got.State[key] != value {
		t.Errorf("%q is %s, want %s", key, got.State[key], value)
	}
}

// A session ends when its actor comes back after more than the gap.
func TestPauseEndsSession(t *testing.T) {
	got := run(t, []gnomontest.Event{
		visit("ann", 0), visit("bob", 1), visit("ann", 30), visit("ann", 61), visit("bob", 31),
	}, gnomontest.Options{})
	want(t, got, "session\tann\t00000000000000000001",
		fmt.Sprintf(`{"events":2,"first_ms":%d,"last_ms":%d,"first_seq":1,"last_seq":3}`, noon, noon+30*60_000))
	want(t, got, "total", `{"open":2,"finished":1,"events":2,"longest_ms":1800000,"ignored":0}`)
	if len(got.State) != 2 {
		t.Errorf("keys = %q, want one session and the total", got.Keys(""))
	}
}

// An event that comes late belongs to the session that it is close to.
func TestLateEvent(t *testing.T) {
	got := run(t, []gnomontest.Event{
		visit("ann", 40), visit("ann", 20), visit("ann", 65), visit("ann", 130), visit("ann", 5),
	}, gnomontest.Options{})
	want(t, got, "session\tann\t00000000000000000001",
		fmt.Sprintf(`{"events":3,"first_ms":%d,"last_ms":%d,"first_seq":1,"last_seq":3}`, noon+20*60_000, noon+65*60_000))
	want(t, got, "total", `{"open":1,"finished":2,"events":4,"longest_ms":2700000,"ignored":0}`)
}

func TestSettings(t *testing.T) {
	events := []gnomontest.Event{
		{Time: "2026-03-01T12:00:00Z", Data: json.RawMessage(`{"resource":"eve"}`)},
		{Time: "2026-03-01T12:00:06Z", Data: json.RawMessage(`{"resource":"eve"}`)},
		{Time: "2026-03-01T12:00:07Z", Data: json.RawMessage(`{"case":"1"}`)},
		{Time: "2026-03-01T12:00:08Z", Data: json.RawMessage(`no JSON`)},
	}
	got := run(t, events, gnomontest.Options{Settings: `{"field":"resource","gap":"5s"}`})
	want(t, got, "total", `{"open":1,"finished":1,"events":1,"longest_ms":0,"ignored":2}`)
}

func TestBadSettings(t *testing.T) {
	for settings, text := range map[string]string{
		`{"gap":"soon"}`: `gap is "soon"`,
		`{"gap":"-5m"}`:  `gap is "-5m"`,
		`{"gapp":"5m"}`:  `unknown field "gapp"`,
	} {
		_, err := gnomontest.Run(nil, gnomontest.Options{Settings: settings})
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("settings %s: error = %v, want one that says %s", settings, err, text)
		}
	}
}

// However often the instance is replaced, state and memory end the same. The rides
// of cars come out of order.
func TestRestartsLeaveNoTrace(t *testing.T) {
	events := gnomontest.ReadLog(t, "../data/cars.jsonl.gz")
	gnomontest.CheckInvariance(t, events, gnomontest.Options{})
	gnomontest.CheckInvariance(t, events[:2000], gnomontest.Options{Settings: `{"gap":"10m"}`})
}

// Between any two events of the beginning the instance may be replaced.
func TestRestartAfterEveryEvent(t *testing.T) {
	events := gnomontest.ReadLog(t, "../data/cars.jsonl.gz")[:500]
	o := gnomontest.Options{Settings: `{"gap":"10m"}`}
	whole := run(t, events, o)
	o.Restart = 1
	got := run(t, events, o)
	if !bytes.Equal(bytes.Join(got.Memory, nil), bytes.Join(whole.Memory, nil)) {
		t.Errorf("memory is\n%s\nwant\n%s", got.Memory, whole.Memory)
	}
	for _, key := range whole.Keys("") {
		want(t, got, key, whole.State[key])
	}
}

// Every event is in a session that is finished, in one that is open, or ignored.
func TestNoEventIsLost(t *testing.T) {
	events := gnomontest.ReadLog(t, "../data/gitlog.jsonl.gz")
	got := run(t, events, gnomontest.Options{Batch: 1000, Settings: `{"field":"resource","gap":"8h"}`})
	var total struct{ Open, Finished, Events, Ignored int }
	if err := json.Unmarshal([]byte(got.State["total"]), &total); err != nil {
		t.Fatal(err)
	}
	stillOpen := int64(0)
	for _, s := range open.of {
		stillOpen += s.events
	}
	if sum := total.Events + int(stillOpen) + total.Ignored; sum != len(events) {
		t.Errorf("%d events in finished sessions, %d in open ones, %d ignored: want %d in all", total.Events, stillOpen, total.Ignored, len(events))
	}
	if n := len(got.Keys("session\t")); n != total.Finished || total.Open != len(open.of) {
		t.Errorf("%d sessions stored, %d open; total says %d and %d", n, len(open.of), total.Finished, total.Open)
	}
}

func TestBadSnapshot(t *testing.T) {
	open = newSessions()
	good := `{"finished":1,"events":2,"longest_ms":3,"ignored":0}` + "\n"
	for snapshot, text := range map[string]string{
		"":                           "totals",
		good + `{"events":1}` + "\n": "session 1",
		good + `{"actor":"a","events":"x"}` + "\n": "no whole number",
	} {
		err := open.restore(strings.NewReader(snapshot))
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("snapshot %q: error = %v, want one that says %q", snapshot, err, text)
		}
	}
}
