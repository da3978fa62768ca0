package query_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// Metrics have the names, units and help that Prometheus asks for, and the values
// of the status.
func TestMetrics(t *testing.T) {
	r := newRig(t, "", "a", "1", "b", "22").start()
	text := r.ask("GET", "/metrics", "").body
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "gnomon_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	for _, want := range []string{
		`gnomon_projection_position{projection="p",stream="S"} 2`,
		`gnomon_projection_stream_last_sequence{projection="p",stream="S"} 2`,
		`gnomon_projection_behind{projection="p",stream="S"} 0`,
		`gnomon_projection_keys{projection="p",stream="S"} 2`,
		`gnomon_projection_state_bytes{projection="p",stream="S"} 5`,
		`gnomon_projection_events_applied_total{projection="p",stream="S"} 2`,
		`gnomon_projection_failures_total{projection="p",stream="S"} 0`,
		`gnomon_projection_state{projection="p",state="live",stream="S"} 1`,
		`gnomon_projection_state{projection="p",state="halted",stream="S"} 0`,
		`version="test"} 1`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("lacks %s", want)
		}
	}
	for _, name := range []string{"commits_total", "apply_seconds_total", "durable_position", "disk_bytes", "guest_memory_bytes"} {
		if !strings.Contains(text, "\ngnomon_projection_"+name+"{") {
			t.Errorf("lacks gnomon_projection_%s", name)
		}
	}
}
