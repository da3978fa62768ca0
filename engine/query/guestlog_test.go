package query_test

import (
	"strings"
	"testing"

	"gnomon/engine/guest"
	"gnomon/engine/query"
)

// Who follows the lines of a module goes on with the first one when the engine was started
// again, and numbers them anew.
func TestLogGoesOnAfterAStart(t *testing.T) {
	var logs guest.Logs
	logs.Add("p", "", guest.Line{Text: "hello again"})
	logs.Add("p", "", guest.Line{Text: "and more"})
	r := newRigWith(t, query.Options{Logs: &logs}).start()
	s := r.open("/v1/projections/p/log", "Accept", "text/event-stream", "Last-Event-ID", "480")
	for _, want := range []string{"hello again", "and more"} {
		for block := s.block(); !strings.Contains(block, want); block = s.block() {
			if strings.Contains(block, "event: line") {
				t.Fatalf("%q came before %q", block, want)
			}
		}
	}
	if a := r.ask("GET", "/v1/projections/p/log?after=480", ""); !strings.Contains(a.body, "hello again") || strings.Contains(a.body, "dropped") || !strings.Contains(a.body, `"next":2`) {
		t.Errorf("as a page: %s", a)
	}
	if a := r.ask("GET", "/v1/projections/p/log?after=2", ""); strings.Contains(a.body, "hello again") || !strings.Contains(a.body, `"next":2`) {
		t.Errorf("after the last: %s", a)
	}
}

// Close does not wait for those who follow a log: they are told that the engine stops.
func TestCloseEndsLogs(t *testing.T) {
	var logs guest.Logs
	logs.Add("p", "", guest.Line{Text: "hello"})
	r := newRigWith(t, query.Options{Logs: &logs}).start()
	s := r.open("/v1/projections/p/log", "Accept", "text/event-stream")
	for !strings.Contains(s.block(), "hello") {
	}
	if err := r.query.Close(); err != nil {
		t.Fatal(err)
	}
	for block := s.block(); !strings.Contains(block, `event: end`); block = s.block() {
	}
}

// A projection that is removed leaves no lines to one of its name, and who follows them is told.
func TestRemovedLogs(t *testing.T) {
	var logs guest.Logs
	logs.Add("p", "", guest.Line{Text: "hello"})
	r := newRigWith(t, query.Options{Logs: &logs}).start()
	s := r.open("/v1/projections/p/log", "Accept", "text/event-stream")
	for !strings.Contains(s.block(), "hello") {
	}
	if err := r.engine.Withdraw(t.Context(), "p", "it is not declared"); err != nil {
		t.Fatal(err)
	}
	if err := r.client().Remove(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	for block := s.block(); !strings.Contains(block, "event: end"); block = s.block() {
	}
	if kept, _ := logs.Lines("p", 0); len(kept) > 0 {
		t.Errorf("%v is kept", kept)
	}
}
