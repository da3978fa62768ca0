package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"gnomon/sdk/go/gnomontest"
)

// move is a movement of tea.
func move(change int) gnomontest.Event {
	return gnomontest.Event{Subject: "stock.moved", Data: json.RawMessage(fmt.Sprintf(`{"item":"tea","change":%d}`, change))}
}

// lines returns the lines of a file.
func lines(t *testing.T, path string) (all []string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		all = append(all, s.Text())
	}
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	return all
}

// Each time the stock falls from the threshold to below it there is one alert, caused by the
// movement that did it.
func TestAlertPerCrossing(t *testing.T) {
	for _, tt := range []struct {
		name     string
		settings string
		changes  []int
		want     []uint64 // the sequences that cause alerts
	}{
		{"falls below", "", []int{20, -5, -5, -1}, []uint64{4}},
		{"stays at the threshold", "", []int{20, -10}, nil},
		{"stays low", "", []int{20, -15, -1, 2, -2}, []uint64{2}},
		{"falls again", "", []int{20, -15, 20, -20}, []uint64{2, 4}},
		{"was never enough", "", []int{3, 3, -1}, nil},
		{"a correction below zero", "", []int{10, -12, -1}, []uint64{2}},
		{"another threshold", `{"threshold":3}`, []int{20, -15, -2, -1}, []uint64{4}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var events []gnomontest.Event
			for _, c := range tt.changes {
				events = append(events, move(c))
			}
			got, err := gnomontest.Run(events, gnomontest.Options{Settings: tt.settings})
			if err != nil {
				t.Fatal(err)
			}
			var causes []uint64
			for _, e := range got.Emitted {
				causes = append(causes, e.Sequence)
			}
			if fmt.Sprint(causes) != fmt.Sprint(tt.want) {
				t.Errorf("alerts are caused by %d, want %d", causes, tt.want)
			}
		})
	}
}

// An alert says what it is about, under the subject that is configured.
func TestAlert(t *testing.T) {
	got, err := gnomontest.Run([]gnomontest.Event{move(30), move(-29)}, gnomontest.Options{Settings: `{"threshold":5,"subject":"warehouse.low"}`})
	if err != nil {
		t.Fatal(err)
	}
	want := gnomontest.Emitted{Sequence: 2, Subject: "warehouse.low", Data: `{"item":"tea","stock":1,"threshold":5,"number":1}`}
	if len(got.Emitted) != 1 || got.Emitted[0] != want {
		t.Errorf("emitted %+v, want %+v", got.Emitted, want)
	}
	if got := got.State["item\ttea"]; got != `{"stock":1,"alerts":1}` {
		t.Errorf("the item is %s", got)
	}
}

// The alerts of 600 movements in a tea shop are those that testdata/alerts.awk finds.
func TestMovements(t *testing.T) {
	var want []string
	for _, line := range lines(t, "testdata/alerts.jsonl") {
		cause, rest, _ := strings.Cut(strings.TrimPrefix(line, `{"cause":`), ",")
		want = append(want, cause+" {"+rest)
	}
	for _, batch := range []int{1, 500} {
		got, err := gnomontest.Run(gnomontest.ReadLog(t, "testdata/movements.jsonl"), gnomontest.Options{Batch: batch})
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Emitted) != len(want) || len(want) < 20 {
			t.Fatalf("%d alerts, want %d", len(got.Emitted), len(want))
		}
		for i, e := range got.Emitted {
			if have := fmt.Sprintf("%d %s", e.Sequence, e.Data); have != want[i] {
				t.Errorf("alert %d is %s, want %s", i, have, want[i])
			}
		}
	}
}

// The state does not depend on how the events were batched.
func TestInvariance(t *testing.T) {
	gnomontest.CheckInvariance(t, gnomontest.ReadLog(t, "testdata/movements.jsonl"), gnomontest.Options{})
}

// A movement that says nothing of an item is an error, and so are settings that cannot be.
func TestRefused(t *testing.T) {
	for data, says := range map[string]string{`{"change":1}`: `no "item"`, `no JSON`: "event 1", `{"item":"tea","change":0.5}`: "event 1"} {
		_, err := gnomontest.Run([]gnomontest.Event{{Subject: "s", Data: json.RawMessage(data)}}, gnomontest.Options{})
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", data, err)
		}
	}
	for settings, says := range map[string]string{`{"threshold":0}`: "threshold is 0", `{"treshold":1}`: "treshold"} {
		if _, err := gnomontest.Run(nil, gnomontest.Options{Settings: settings}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", settings, err)
		}
	}
}
