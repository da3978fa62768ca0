package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gnomon/sdk/go/gnomontest"
)

const shipped = "../data"

// On the shipped logs the map equals what SQL says of them, see testdata/README.md.
func TestShippedLogs(t *testing.T) {
	for _, name := range []string{"gitlog", "cars"} {
		t.Run(name, func(t *testing.T) {
			compareLog(t, filepath.Join(shipped, name+".jsonl.gz"), filepath.Join("testdata", name))
		})
	}
}

// The same on larger logs that may not be shipped. They are looked for in the
// directory GNOMON_SHARED_DATA, or in shared/data beside the repository.
func TestSharedLogs(t *testing.T) {
	dir := os.Getenv("GNOMON_SHARED_DATA")
	if dir == "" {
		dir = filepath.FromSlash("../../../../shared/data")
	}
	for _, name := range []string{"receipt", "receipt.bytime", "bpic2012"} {
		t.Run(name, func(t *testing.T) {
			if name == "bpic2012" && os.Getenv("GNOMON_SOAK") == "" {
				t.Skip("the log has 262,200 events: set GNOMON_SOAK=1")
			}
			log := filepath.Join(dir, "events", name+".jsonl.gz")
			if _, err := os.Stat(log); err != nil {
				t.Skipf("the log is not here, set GNOMON_SHARED_DATA to the directory that holds events/ and expected/: %v", err)
			}
			compareLog(t, log, filepath.Join(dir, "expected", name))
		})
	}
}

func TestInvariance(t *testing.T) {
	events := gnomontest.ReadLog(t, filepath.Join(shipped, "cars.jsonl.gz"))[:4000]
	gnomontest.CheckInvariance(t, events, gnomontest.Options{})
}

func run(t *testing.T, events []gnomontest.Event) *gnomontest.Result {
	t.Helper()
	got, err := gnomontest.Run(events, gnomontest.Options{Batch: 4096})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func compareLog(t *testing.T, log, expected string) {
	t.Helper()
	want := expectedState(t, expected)
	got := run(t, gnomontest.ReadLog(t, log)).State
	if len(got) != len(want) {
		t.Errorf("%d keys, want %d", len(got), len(want))
	}
	wrong := 0
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if got[k] == want[k] {
			continue
		}
		if wrong++; wrong > 5 {
			t.Fatal("and more")
		}
		t.Errorf("%q is %s, want %s", k, got[k], want[k])
	}
}

// expectedState makes the state of what SQL computed.
func expectedState(t *testing.T, path string) map[string]string {
	t.Helper()
	var totals struct {
		Activities map[string]int            `json:"events_per_activity"`
		Follows    map[string]map[string]int `json:"directly_follows"`
		Starts     map[string]int            `json:"start_activities"`
		Resources  map[string]struct {
			Events int `json:"events"`
		} `json:"resource_workload"`
	}
	raw, err := os.ReadFile(path + ".json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &totals); err != nil {
		t.Fatal(err)
	}
	state := map[string]string{}
	number := func(field string, n int, key ...string) {
		state[strings.Join(key, "\t")] = fmt.Sprintf(`{"%s":%d}`, field, n)
	}
	for a, n := range totals.Activities {
		number("events", n, "activity", a)
	}
	for a, n := range totals.Starts {
		number("cases", n, "start", a)
	}
	for r, v := range totals.Resources {
		number("events", v.Events, "resource", r)
	}
	for a, next := range totals.Follows {
		for b, n := range next {
			number("events", n, "follows", a, b)
		}
	}
	addCases(t, state, path+".cases.jsonl.gz")
	return state
}

func addCases(t *testing.T, state map[string]string, path string) {
	t.Helper()
	for _, line := range readLines(t, path) {
		var c struct {
			Case     string
			Events   int
			First    int64  `json:"first_time_ms"`
			Last     int64  `json:"last_time_ms"`
			Activity string `json:"last_activity"`
		}
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		state["case\t"+c.Case] = fmt.Sprintf(`{"events":%d,"first_ms":%d,"last_ms":%d,"activity":%q}`, c.Events, c.First, c.Last, c.Activity)
	}
}
