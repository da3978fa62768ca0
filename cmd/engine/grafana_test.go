package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"gnomon/internal/testutil"
)

// documentedMetrics are the engine's metrics with their labels, as docs/METRICS.md has them, which a test
// of engine/query holds against an engine.
func documentedMetrics(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	row := regexp.MustCompile("(?m)^\\| `(gnomon_[a-z_]+)` \\| ([a-z]+) \\| ([^|]*) \\|")
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		labels := append(regexp.MustCompile("[a-z]+").FindAllString(m[3], -1), "instance", "job")
		all[m[1]] = labels
		if m[2] == "histogram" {
			all[m[1]+"_bucket"], all[m[1]+"_sum"], all[m[1]+"_count"] = append(labels, "le"), labels, labels
			delete(all, m[1]) // it has no series of that name
		}
	}
	return all
}

// selector is a metric in an expression, with what is asked of its labels.
var selector = regexp.MustCompile(`\b((?:gnomon|process|go)_[a-z_]+)(?:\{([^}]*)\})?`)

// wantSelectors checks that an expression names metrics and labels that there are.
func wantSelectors(t *testing.T, all map[string][]string, where, expr string) {
	t.Helper()
	found := selector.FindAllStringSubmatch(expr, -1)
	if len(found) == 0 && !strings.Contains(expr, "up{") {
		t.Errorf("%s asks for no metric: %s", where, expr)
	}
	for _, m := range found {
		labels, ok := all[m[1]]
		if !ok && strings.HasPrefix(m[1], "gnomon_") {
			t.Errorf("%s asks for %s, and there is no such metric", where, m[1])
		}
		for _, l := range regexp.MustCompile(`([a-z]+)\s*(?:=~|!=|!~|=)`).FindAllStringSubmatch(m[2], -1) {
			if ok && !slices.Contains(labels, l[1]) {
				t.Errorf("%s asks for the label %s of %s, which has %v", where, l[1], m[1], labels)
			}
		}
	}
}

// expressions are those of a dashboard, with where they are.
func expressions(t *testing.T) (all map[string]string) {
	t.Helper()
	text, err := os.ReadFile("../../deploy/grafana/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			ID      int
			Type    string
			Title   string
			Targets []struct{ Expr, RefID string }
			GridPos struct{ X, W int }
		}
		Templating struct {
			List []struct{ Name, Definition string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	all = map[string]string{}
	for _, p := range board.Panels {
		if p.Type != "row" && len(p.Targets) == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %q asks for nothing, or does not fit", p.Title)
		}
		for _, q := range p.Targets {
			all[fmt.Sprintf("%s (panel %d, %s)", p.Title, p.ID, q.RefID)] = q.Expr
		}
	}
	var names []string
	for _, v := range board.Templating.List {
		names = append(names, v.Name)
		if m := regexp.MustCompile(`^label_values\((.*), [a-z]+\)$`).FindStringSubmatch(v.Definition); m != nil {
			all["variable "+v.Name] = m[1]
		}
	}
	for where, expr := range all {
		for _, v := range regexp.MustCompile(`\$(\w+)`).FindAllStringSubmatch(expr, -1) {
			if v[1] != "__rate_interval" && !slices.Contains(names, v[1]) {
				t.Errorf("%s has the variable %s, which the dashboard lacks", where, v[1])
			}
		}
	}
	return all
}

// The dashboard for Grafana and the alert rules ask for metrics and labels that there are.
func TestDashboardAsksForMetrics(t *testing.T) {
	all := documentedMetrics(t)
	if len(all) < 50 {
		t.Fatalf("docs/METRICS.md has %d metrics", len(all))
	}
	for where, expr := range expressions(t) {
		wantSelectors(t, all, where, expr)
	}
	for _, r := range readAlerts(t) {
		wantSelectors(t, all, r.Alert, r.Expr)
	}
}

// Every expression of the dashboard is PromQL.
func TestDashboardExpressions(t *testing.T) {
	promtool := testutil.Tool(t, "promtool", "promtool")
	type rule struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	var rules []rule
	for _, expr := range expressions(t) {
		rules = append(rules, rule{fmt.Sprintf("panel:%d", len(rules)), strings.ReplaceAll(expr, "$__rate_interval", "5m")})
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
