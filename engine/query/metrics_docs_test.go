package query_test

import (
	"crypto/tls"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/query"
	"gnomon/engine/state"
	"gnomon/internal/testutil"
	"gnomon/sdk/abi"
)

// docs/METRICS.md has every metric of the engine, with its type and its labels, and none that
// there is not: held against an engine that has all that metrics are about.
func TestMetricsAreDocumented(t *testing.T) {
	documented, there := documentedMetrics(t), map[string]string{}
	for name, f := range scrapeAll(t) {
		there[name] = fmt.Sprintf("%s {%s}", strings.ToLower(f.GetType().String()), strings.Join(labelNames(f), ", "))
	}
	for _, name := range slices.Sorted(maps.Keys(there)) {
		if documented[name] != there[name] {
			t.Errorf("%s is a %s, docs/METRICS.md has %q", name, there[name], documented[name])
		}
		delete(documented, name)
	}
	for name := range documented {
		t.Errorf("docs/METRICS.md has %s, and there is no such metric", name)
	}
}

// documentedMetrics are type and labels of those in the tables of the document, whose rows
// are: name, type, labels, meaning, when to look.
func documentedMetrics(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `(gnomon_[a-z_]+)` \\| ([a-z]+) \\| ([^|]*) \\| ([^|]+) \\| ([^|]+) \\|$")
	all := map[string]string{}
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		if all[m[1]] != "" {
			t.Errorf("docs/METRICS.md has %s twice", m[1])
		}
		all[m[1]] = fmt.Sprintf("%s {%s}", m[2], strings.TrimSpace(strings.ReplaceAll(m[3], "`", "")))
	}
	return all
}

// labelNames are those of a family's metrics, in order.
func labelNames(f *dto.MetricFamily) []string {
	names := map[string]bool{}
	for _, m := range f.Metric {
		for _, l := range m.Label {
			names[l.GetName()] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// scrapeAll are the metrics of an engine that has everything: a projection that emits and has
// a mirror, a candidate and a previous generation, a watch, NATS, TLS and a disk.
func scrapeAll(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	emits := func(name string) func(*engine.Spec) {
		return func(s *engine.Spec) {
			m := enginetest.FuncModule(name, func(e abi.Record, st guest.State) error {
				return st.Emit(state.Emit{Subject: "out.x", Data: e.Data})
			})
			m.Emits = true
			s.Module, s.Emit, s.AutoPromote, s.KeepPrevious = m, engine.EmitRules{Subjects: []string{"out.>"}}, engine.PromoteByHand, time.Hour
		}
	}
	around := func() query.Surroundings {
		return query.Surroundings{Connected: true, Reconnects: 2, Endpoints: []query.EndpointCounts{{Endpoint: "get", Requests: 3, Errors: 1, Took: time.Second}}}
	}
	r := newRigFor(t, query.Options{Around: around, TLS: new(tls.Config)}, emits("first"), "a", "1").start()
	next := r.spec
	for i, name := range []string{"second", "third"} {
		emits(name)(&next)
		if _, err := r.engine.Declare(t.Context(), next); err != nil {
			t.Fatal(err)
		}
		r.await(func(s engine.Status) bool { return s.Candidate.State == engine.Live })
		if i == 0 {
			if _, err := r.engine.Promote(t.Context(), "p"); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.engine.NoteMirror("p", &engine.MirrorStatus{Bucket: "B", Sequence: 1})
	r.ask("GET", "/v1/projections", "")
	var all map[string]*dto.MetricFamily
	testutil.Until(t, func() bool { // the stream is asked about once a second
		all = families(t, r.ask("GET", "/metrics", "").body)
		return all["gnomon_stream_events"] != nil
	})
	return all
}

// families reads metrics, those of the engine's own.
func families(t *testing.T, text string) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	all, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(all, func(name string, _ *dto.MetricFamily) bool { return !strings.HasPrefix(name, "gnomon_") })
	return all
}
