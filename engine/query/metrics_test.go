package query_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"gnomon/internal/testutil"
)

// Metrics have the names, units and help that Prometheus asks for, and the values
// of the status.
func TestMetrics(t *testing.T) {
	r := newRig(t, "", "a", "1", "c", "3", "b", "22")
	r.nats.Delete("S", 2)
	r.start()
	var text string
	testutil.Until(t, func() bool { // the stream is asked about once a second
		text = r.ask("GET", "/metrics", "").body
		return strings.Contains(text, `stream_absent_sequences{projection="p",stream="S"} 1`)
	})
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
		`gnomon_projection_position{projection="p",stream="S"} 3`,
		`gnomon_projection_stream_last_sequence{projection="p",stream="S"} 3`,
		`gnomon_projection_behind{projection="p",stream="S"} 0`,
		`gnomon_projection_keys{projection="p",stream="S"} 2`,
		`gnomon_projection_state_bytes{projection="p",stream="S"} 5`,
		`gnomon_projection_events_applied_total{projection="p",stream="S"} 2`,
		`gnomon_projection_absent_sequences_total{projection="p",stream="S"} 1`,
		`gnomon_projection_delete_markers_total{projection="p",stream="S"} 0`,
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
