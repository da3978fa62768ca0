package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine"
	"gnomon/internal/testutil/natstest"
)

// The example low-stock-alerts, run as its README says, publishes the alerts that are in its
// folder, each caused by the movement that is named there, and none for what was there before
// it was declared.
func TestLowStockAlerts(t *testing.T) {
	const folder = "../../examples/wasm-projections/low-stock-alerts/testdata/"
	movements, err := os.ReadFile(folder + "movements.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	alerts, err := os.ReadFile(folder + "alerts.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	server := natstest.Start(t)
	js := server.JetStream(t)
	h := newHome(t, "stock.>", "[[stream]]\nname = \"ALERTS\"\nsubjects = [\"alerts.>\"]\n"+
		projection("low-stock-alerts", "low-stock-alerts.wasm", "[projection.emit]", `subjects = ["alerts.stock.>"]`, "[projection.settings]", "threshold = 10"))
	h.configure("", fmt.Sprintf("[nats]\nurl = %q", server.URL()))
	lines := strings.SplitAfter(string(movements), "\n")
	const before = 300 // movements that are history when the projection is declared
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "LOG", Subjects: []string{"stock.>"}, AllowAtomicPublish: true}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "history.jsonl")
	if err := os.WriteFile(file, []byte(strings.Join(lines[:before], "")), 0o600); err != nil {
		t.Fatal(err)
	}
	h.importLog(file)
	p := h.serve()
	p.awaitLive("low-stock-alerts", before)
	if _, err := p.client.Import(t.Context(), "LOG", strings.NewReader(strings.Join(lines[before:], ""))); err != nil {
		t.Fatal(err)
	}
	var want []string
	for line := range strings.Lines(string(alerts)) {
		var cause int
		if _, err := fmt.Sscanf(line, `{"cause":%d,`, &cause); err != nil {
			t.Fatal(err)
		}
		if cause > before {
			_, data, _ := strings.Cut(strings.TrimSpace(line), ",")
			want = append(want, fmt.Sprintf("%d {%s", cause, data))
		}
	}
	s, err := js.Stream(t.Context(), "ALERTS")
	if err != nil {
		t.Fatal(err)
	}
	p.await("low-stock-alerts", "all alerts are published", func(s engine.Status) bool {
		return s.Position == 600 && s.Emits != nil && s.Emits.Waiting == 0
	})
	for i, w := range want {
		m, err := s.GetMsg(t.Context(), uint64(i+1))
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Header.Get("Gnomon-Sequence") + " " + string(m.Data); got != w || m.Subject != "alerts.stock.low" {
			t.Errorf("alert %d is %s %s, want %s", i, m.Subject, got, w)
		}
	}
	if info, err := s.Info(t.Context()); err != nil || info.State.Msgs != uint64(len(want)) || len(want) < 10 {
		t.Errorf("%d alerts, want %d: %v", info.State.Msgs, len(want), err)
	}
}
