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
		return strings.Contains(text, `gnomon_stream_absent_sequences{stream="S"} 1`)
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
		`gnomon_stream_last_sequence{stream="S"} 3`,
		`gnomon_stream_first_sequence{stream="S"} 1`,
		`gnomon_stream_events{stream="S"} 2`,
		`gnomon_projection_behind_seconds{projection="p",stream="S"} 0`,
		`gnomon_projection_sessions_total{projection="p",stream="S"} 1`,
		`gnomon_ready 1`,
		`gnomon_disk_free_bytes 1.073741824e+09`,
		`gnomon_disk_reserve_bytes 1.048576e+06`,
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
	for _, name := range []string{"commits_total", "durable_position", "disk_bytes", "guest_memory_bytes", "unsynced_seconds", "fuel_total"} {
		if !strings.Contains(text, "\ngnomon_projection_"+name+"{") {
			t.Errorf("lacks gnomon_projection_%s", name)
		}
	}
}

// Requests are counted by the route of the description that they are to, whatever key or
// name they have, and by how they were answered; what is described nowhere is one route.
func TestRequestMetrics(t *testing.T) {
	r := newRig(t, "", "a", "1").start()
	for _, path := range []string{"/v1/projections/p/state/a", "/v1/projections/p/state/b", "/v1/projections/p/state/a/b/c", "/v1/projections/q", "/v1/projections/p/what", "/nowhere", "/ui/x", "/healthz"} {
		r.ask("GET", path, "")
	}
	r.ask("BREW", "/v1/projections", "")
	r.ask("POST", "/v1/projections/p/pause", "")
	text := r.ask("GET", "/metrics", "").body
	for _, want := range []string{
		`requests_total{code="200",method="GET",route="/v1/projections/{projection}/state/{key}"} 1`,
		`requests_total{code="404",method="GET",route="/v1/projections/{projection}/state/{key}"} 2`,
		`requests_total{code="404",method="GET",route="/v1/projections/{projection}"} 1`,
		`requests_total{code="404",method="GET",route="other"} 2`,
		`requests_total{code="404",method="GET",route="/ui/"} 1`,
		`requests_total{code="200",method="GET",route="/healthz"} 1`,
		`requests_total{code="405",method="other",route="/v1/projections"} 1`,
		`requests_total{code="200",method="POST",route="/v1/projections/{projection}/pause"} 1`,
		`request_duration_seconds_count{route="/v1/projections/{projection}/state/{key}"} 3`,
	} {
		if !strings.Contains(text, "gnomon_http_"+want+"\n") {
			t.Errorf("lacks %s", want)
		}
	}
}
