package main

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gnomon/engine/query/client"
	"gnomon/engine/query/wire"
)

// processMap is the map of a process, counted as process-map does, but for times.
type processMap struct {
	rows map[string]int    // by key: activity, follows, start, resource, and events of cases
	last map[string]string // activity, by case
}

func (m *processMap) add(line []byte) error {
	var e struct {
		Data struct{ Case, Activity, Resource *string }
	}
	if err := json.Unmarshal(line, &e); err != nil {
		return err
	}
	d := e.Data
	if d.Case == nil || d.Activity == nil {
		m.rows["ignored"]++
		return nil
	}
	m.rows["activity\t"+*d.Activity]++
	if d.Resource != nil {
		m.rows["resource\t"+*d.Resource]++
	}
	if from, ok := m.last[*d.Case]; ok {
		m.rows["follows\t"+from+"\t"+*d.Activity]++
	} else {
		m.rows["start\t"+*d.Activity]++
	}
	m.rows["case\t"+*d.Case]++
	m.last[*d.Case] = *d.Activity
	return nil
}

// pastOf reads the map as of a sequence.
func pastOf(t *testing.T, c *client.Client, at uint64) map[string]int {
	t.Helper()
	got := map[string]int{}
	err := c.At(client.Moment{At: fmt.Sprint(at)}).Scan(t.Context(), "map", nil, 0, func(r wire.Row) error {
		var v struct{ Events, Cases int }
		err := json.Unmarshal(r.Value, &v)
		got[string(r.Key)] = v.Events + v.Cases
		return err
	})
	if err != nil {
		t.Errorf("as of %d: %v", at, err)
	}
	return got
}

// As of random sequences of a real log, and of those that independent results are known of,
// the state is what a recount of the events up to there finds; also after a restart.
func TestAsOfOnRealLogs(t *testing.T) {
	long(t)
	name, samples := "bpic2012", 20
	if _, err := os.Stat(sharedData()); err != nil || testing.Short() {
		name, samples = "gitlog", 20
	}
	file := logFile(t, name)
	lines := logLines(t, file)
	known := knownCheckpoints(t, name)
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	sequences := slices.Collect(maps.Keys(known))
	for range samples {
		sequences = append(sequences, rnd.Uint64N(uint64(len(lines)))+1)
	}
	slices.Sort(sequences)
	h := newHome(t, name+".>", projection("map", "process-map.wasm", "[projection.history]", `keep = "all"`))
	h.importLog(file)
	for range 2 {
		p := h.serve()
		p.awaitLive("map", uint64(len(lines)))
		m, at := &processMap{map[string]int{}, map[string]string{}}, uint64(0)
		for _, seq := range sequences {
			for ; at < seq; at++ {
				if err := m.add(lines[at]); err != nil {
					t.Fatal(err)
				}
			}
			got := pastOf(t, p.client, seq)
			if !maps.Equal(got, m.rows) {
				t.Fatalf("seed %d: as of %d there are %d keys, want %d", seed, seq, len(got), len(m.rows))
			}
			if want, ok := known[seq]; ok && activitiesSHA256(t, got) != want {
				t.Errorf("as of %d the events by activity are not those that were computed otherwise", seq)
			}
		}
		p.signal(os.Interrupt)
		if out, err := p.wait(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
}

// logLines are the lines of a log.
func logLines(t *testing.T, file string) (lines [][]byte) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	s := bufio.NewScanner(z)
	s.Buffer(nil, 16<<20)
	for s.Scan() {
		lines = append(lines, slices.Clone(s.Bytes()))
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

// knownCheckpoints are digests of the events by activity, by sequence, that were computed
// from the log by other means; none where those results are missing.
func knownCheckpoints(t *testing.T, name string) map[uint64]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(sharedData(), "expected", name+".json"))
	if err != nil {
		return nil
	}
	var e struct {
		Checkpoints []struct {
			Seq    uint64 `json:"seq"`
			SHA256 string `json:"events_per_activity_sha256"`
		}
	}
	if err := json.Unmarshal(b, &e); err != nil {
		t.Fatal(err)
	}
	known := map[uint64]string{}
	for _, c := range e.Checkpoints {
		known[c.Seq] = c.SHA256
	}
	return known
}

// activitiesSHA256 is the digest of the events by activity: of JSON with sorted keys.
func activitiesSHA256(t *testing.T, rows map[string]int) string {
	t.Helper()
	activities := map[string]int{}
	for key, n := range rows {
		if a, ok := strings.CutPrefix(key, "activity\t"); ok {
			activities[a] = n
		}
	}
	b, err := wire.Marshal(activities)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
