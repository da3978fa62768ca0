package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"gnomon/engine"
)

// What is beside the generation that is read has its lines: how far it is, how it takes
// over or is gone back to, and what is wrong with it.
func TestStatusOfGenerations(t *testing.T) {
	until := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		change    func(*engine.Status)
		one, many []string // lines of status NAME, and of status
	}{
		"a candidate that takes over by itself": {
			func(s *engine.Status) {
				s.Candidate = &engine.GenerationStatus{ID: "c1", State: engine.CatchingUp, Position: 250, Behind: 750, Rate: 100.4, LeftMs: 7500, Auto: true}
			},
			[]string{"candidate    c1, catching-up at 250, 750 behind, 100 events/s, time left: 8s", "             it takes over by itself once it has caught up"},
			[]string{"live: candidate c1 is catching-up at 250, 750 behind, 100 events/s, time left: 8s; it takes over by itself once it has caught up"},
		},
		"one that is promoted by hand": {
			func(s *engine.Status) {
				s.Candidate = &engine.GenerationStatus{ID: "c1", State: engine.CatchingUp, Position: 250, Behind: 750}
			},
			[]string{"candidate    c1, catching-up at 250, 750 behind, 0 events/s, time left: -", "             promote it, once it has caught up, with: engine promote live"},
			[]string{"live: candidate c1 is catching-up at 250, 750 behind, 0 events/s, time left: -; promote it, once it has caught up, with: engine promote live"},
		},
		"one that has caught up": {
			func(s *engine.Status) {
				s.Candidate = &engine.GenerationStatus{ID: "c1", State: engine.Live, Position: 1000}
			},
			[]string{"             promote it with: engine promote live; compare it with: engine diff live"},
			[]string{"live: candidate c1 is live at 1000, 0 behind; promote it with: engine promote live; compare it with: engine diff live"},
		},
		"one that is halted": {
			func(s *engine.Status) {
				s.Candidate = &engine.GenerationStatus{ID: "c1", State: engine.Halted, Position: 6, Behind: 994, Reason: "event 7: \x1b", Hint: "mend it"}
			},
			[]string{`live@candidate is halted: "event 7: \x1b"`, "  hint: mend it"},
			[]string{`live@candidate is halted: "event 7: \x1b"`, "  hint: mend it"},
		},
		"a previous one": {
			func(s *engine.Status) {
				s.Previous = &engine.GenerationStatus{ID: "p1", State: engine.Live, Position: 1000, Until: until}
			},
			[]string{"previous     p1, live at 1000, kept until 2026-01-31 12:00:00 UTC; go back to it with: engine rollback live"},
			[]string{"live: previous p1 is live at 1000, kept until 2026-01-31 12:00:00 UTC; go back to it with: engine rollback live"},
		},
		"files": {
			func(s *engine.Status) {
				s.Candidate = &engine.GenerationStatus{ID: "c1", State: engine.Offline, Position: 6}
				s.Previous = &engine.GenerationStatus{ID: "p1", State: engine.Offline, Position: 5, Reason: "it cannot be read"}
			},
			[]string{"candidate    c1, offline at 6, 0 behind", "             an engine that runs goes on with it", "previous     p1, offline at 5", "live@previous is offline: it cannot be read"},
			[]string{"live: previous p1 is offline at 5"},
		},
		"a declaration that is refused": {
			func(s *engine.Status) { s.Refused = "module x.wasm is not a WebAssembly module" },
			[]string{"live: its newest declaration is refused, and what ran goes on: module x.wasm is not a WebAssembly module"},
			[]string{"live: its newest declaration is refused, and what ran goes on: module x.wasm is not a WebAssembly module"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := live
			tt.change(&s)
			var one, many bytes.Buffer
			if err := PrintStatus(&one, s, false); err != nil {
				t.Fatal(err)
			}
			if err := PrintStatuses(&many, []engine.Status{s}, false); err != nil {
				t.Fatal(err)
			}
			for _, o := range []struct {
				out  *bytes.Buffer
				want []string
			}{{&one, tt.one}, {&many, tt.many}} {
				for _, line := range o.want {
					if !strings.Contains("\n"+o.out.String(), "\n"+line+"\n") {
						t.Errorf("no line %q in\n%s", line, o.out)
					}
				}
			}
		})
	}
}
