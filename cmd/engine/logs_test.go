package main

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gnomon/engine/query/wire"
)

// logs are real event logs, with the filter of their subjects.
var logs = []struct{ name, subjects string }{
	{"gitlog", "gitlog.>"},
	{"cars", "cars.>"},
	{"receipt", "receipt.>"},
	{"receipt.bytime", "receipt.>"},
	{"bpic2012", "bpic2012.>"},
}

// process-map, compiled and run as a user would, finds in real logs exactly what
// was computed from them by other means, whatever the size of a batch.
func TestProcessMapOnRealLogs(t *testing.T) {
	for _, log := range logs {
		t.Run(log.name, func(t *testing.T) {
			if testing.Short() && log.name == "bpic2012" {
				t.Skip("the largest log is left out of short runs")
			}
			file := logFile(t, log.name)
			want := expectedProcessMap(t, log.name)
			var projections string
			sizes := []int{1, 7, 4096}
			for _, n := range sizes {
				projections += projection(fmt.Sprintf("batch-%d", n), "process-map.wasm", "[projection.limits]", fmt.Sprintf("batch_events = %d", n))
			}
			h := newHome(t, log.subjects, projections)
			h.importLog(file)
			h.runOnce()
			for _, n := range sizes {
				got := h.scan(fmt.Sprintf("batch-%d", n))
				if !maps.Equal(got, want) {
					t.Errorf("batches of %d: %s", n, firstDifference(got, want))
				}
			}
		})
	}
}

// scan reads a projection's state from its files.
func (h *home) scan(projection string) map[string]string {
	h.t.Helper()
	rows := map[string]string{}
	for line := range strings.Lines(h.engine("scan", projection, "--json", "--data-dir", h.data())) {
		var r wire.Row
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			h.t.Fatal(err)
		}
		rows[string(r.Key)] = string(r.Value)
	}
	return rows
}

func firstDifference(got, want map[string]string) string {
	for k, w := range want {
		if g, ok := got[k]; !ok || g != w {
			return fmt.Sprintf("%q is %s, want %s", k, g, w)
		}
	}
	for k, g := range got {
		if _, ok := want[k]; !ok {
			return fmt.Sprintf("%q is %s, want none", k, g)
		}
	}
	return "no difference"
}

// expectedProcessMap makes the expected state of the results that were computed
// with SQLite.
func expectedProcessMap(t *testing.T, name string) map[string]string {
	t.Helper()
	path := filepath.Join(sharedData(), "expected", name+".json")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Skipf("expected results of %s are missing: %v (set GNOMON_SHARED_DATA)", name, err)
	}
	var e struct {
		Activities map[string]int                  `json:"events_per_activity"`
		Follows    map[string]map[string]int       `json:"directly_follows"`
		Starts     map[string]int                  `json:"start_activities"`
		Resources  map[string]struct{ Events int } `json:"resource_workload"`
	}
	if err := json.Unmarshal(b, &e); err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for a, n := range e.Activities {
		rows["activity\t"+a] = fmt.Sprintf(`{"events":%d}`, n)
	}
	for a, next := range e.Follows {
		for b, n := range next {
			rows["follows\t"+a+"\t"+b] = fmt.Sprintf(`{"events":%d}`, n)
		}
	}
	for a, n := range e.Starts {
		rows["start\t"+a] = fmt.Sprintf(`{"cases":%d}`, n)
	}
	for r, w := range e.Resources {
		rows["resource\t"+r] = fmt.Sprintf(`{"events":%d}`, w.Events)
	}
	addCases(t, rows, strings.TrimSuffix(path, ".json")+".cases.jsonl.gz")
	return rows
}

func addCases(t *testing.T, rows map[string]string, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for s := bufio.NewScanner(z); s.Scan(); {
		var c struct {
			Case         string
			Events       int
			First        int64  `json:"first_time_ms"`
			Last         int64  `json:"last_time_ms"`
			LastActivity string `json:"last_activity"`
		}
		if err := json.Unmarshal(s.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		activity, err := wire.Marshal(c.LastActivity)
		if err != nil {
			t.Fatal(err)
		}
		rows["case\t"+c.Case] = fmt.Sprintf(`{"events":%d,"first_ms":%d,"last_ms":%d,"activity":%s}`, c.Events, c.First, c.Last, activity)
	}
}

// The live files and lines that repo-files counts are those of git's own tree at
// v2.14.5 of nats-server.
func TestRepoFilesIsGitsTree(t *testing.T) {
	h := newHome(t, "gitlog.>", projection("repo-files", "repo-files.wasm"))
	h.importLog(logFile(t, "gitlog"))
	h.runOnce()
	var total struct{ Value struct{ Files, Lines int } }
	if err := json.Unmarshal([]byte(h.engine("get", "repo-files", "total", "--json", "--data-dir", h.data())), &total); err != nil {
		t.Fatal(err)
	}
	if total.Value.Files != 600 || total.Value.Lines != 452_641 {
		t.Errorf("%d files with %d lines, want 600 with 452641", total.Value.Files, total.Value.Lines)
	}
}
