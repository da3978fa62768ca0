package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"gnomon/internal/testutil"
)

// alertRules are the rules under test.
const alertRules = "../../deploy/prometheus/alerts.yml"

// alertRule is a rule as the file has it.
type alertRule struct {
	Alert, Expr string
	Labels      map[string]string
	Annotations map[string]string
}

// readAlerts are the rules of the file.
func readAlerts(t *testing.T) (all []alertRule) {
	t.Helper()
	text, err := os.ReadFile(alertRules)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Groups []struct{ Rules []alertRule } }
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// scraped are the values of series, as PromQL writes them, at one moment.
type scraped map[string]float64

// scrape reads the metrics of an engine as Prometheus does: with up, and labels that say where
// they are from. Moments become what is left until then, for to promtool it is 1970.
func scrape(ctx context.Context, c *http.Client, base string) scraped {
	down := scraped{series("up", nil): 0}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/metrics", nil)
	if err != nil {
		return down
	}
	res, err := c.Do(r)
	if err != nil {
		return down
	}
	defer res.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return down
	}
	all := scraped{series("up", nil): 1}
	for name, f := range families {
		for _, m := range f.Metric {
			value := m.GetGauge().GetValue() + m.GetCounter().GetValue()
			switch {
			case m.Histogram != nil: // no rule has one yet
				continue
			case strings.HasSuffix(name, "_timestamp_seconds"):
				value -= float64(time.Now().Unix())
			}
			all[series(name, m.Label)] = value
		}
	}
	return all
}

func series(name string, labels []*dto.LabelPair) string {
	text := name + `{instance="here",job="gnomon"`
	for _, l := range labels {
		text += fmt.Sprintf(",%s=%q", l.GetName(), l.GetValue())
	}
	return text + "}"
}

// alertCase is a trouble: what was scraped, a minute apart, of which the last stays so for hours; and
// the alerts that fire then, each with the projection that it is about, if any.
type alertCase struct {
	name    string
	scrapes []scraped
	want    []string
}

// wantAlerts has promtool evaluate the rules over what was scraped.
func wantAlerts(t *testing.T, cases ...alertCase) {
	t.Helper()
	promtool := testutil.Tool(t, "promtool", "promtool")
	rules, err := filepath.Abs(alertRules)
	if err != nil {
		t.Fatal(err)
	}
	type dict map[string]any
	var tests []dict
	for _, c := range cases {
		var input, samples []dict
		for _, name := range slices.Sorted(maps.Keys(c.scrapes[len(c.scrapes)-1])) {
			values := ""
			for _, s := range c.scrapes[:len(c.scrapes)-1] {
				if v, ok := s[name]; ok {
					values += fmt.Sprintf("%g ", v)
				} else {
					values += "_ "
				}
			}
			input = append(input, dict{"series": name, "values": fmt.Sprintf("%s%gx150", values, c.scrapes[len(c.scrapes)-1][name])})
		}
		for _, w := range c.want {
			alert, projection, about := strings.Cut(w, " ")
			labels := fmt.Sprintf("{alertname=%q}", alert)
			if about {
				labels = fmt.Sprintf("{alertname=%q,projection=%q}", alert, projection)
			}
			samples = append(samples, dict{"labels": labels, "value": 1})
		}
		tests = append(tests, dict{"name": c.name, "interval": "1m", "input_series": input, "promql_expr_test": []dict{{
			"expr":      `group by (alertname, projection) (max_over_time(ALERTS{alertstate="firing"}[140m]))`,
			"eval_time": "140m", "exp_samples": samples,
		}}})
	}
	text, err := yaml.Marshal(dict{"rule_files": []string{rules}, "evaluation_interval": "1m", "tests": tests})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "alerts_test.yml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), promtool, "test", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
