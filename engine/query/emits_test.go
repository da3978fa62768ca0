package query_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/query/wire"
	"gnomon/engine/state"
	"gnomon/engine/streams"
	"gnomon/internal/testutil"
	"gnomon/sdk/abi"
)

// What a projection emits is in its status and its metrics, with what keeps it from being
// published; until it is, another generation does not take over.
func TestEmits(t *testing.T) {
	emits := func(name string) func(*engine.Spec) {
		return func(s *engine.Spec) {
			m := enginetest.FuncModule(name, func(e abi.Record, st guest.State) error {
				return st.Emit(state.Emit{Subject: "out.x", Data: e.Data})
			})
			m.Emits = true
			s.Module, s.Emit = m, engine.EmitRules{Subjects: []string{"out.>"}, History: true}
		}
	}
	r := newRigOf(t, "", emits("first"), "a", "1", "b", "2")
	var down atomic.Bool
	r.outlet.Break(func([]streams.Message) enginetest.Fault {
		if down.Load() {
			return enginetest.Refused
		}
		return enginetest.NoFault
	})
	r.start()
	testutil.Until(t, func() bool { s, err := r.engine.Status("p"); return err == nil && s.Emits.Published == 2 })
	second := r.spec
	emits("second")(&second)
	if _, err := r.engine.Declare(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	r.await(func(s engine.Status) bool { return s.Candidate.State == engine.Live })
	down.Store(true)
	r.nats.Append("S", "c", []byte("3"))
	s := r.await(func(s engine.Status) bool { return s.Emits.Trouble != "" })
	if s.Emits.Waiting != 1 || s.Emits.Oldest != 3 || s.Emits.Hint == "" {
		t.Errorf("status %+v", s.Emits)
	}
	text := r.ask("GET", "/metrics", "").body
	for _, want := range []string{"outbox_events", "outbox_blocked"} {
		if !strings.Contains(text, "gnomon_projection_"+want+`{projection="p",stream="S"} 1`+"\n") {
			t.Errorf("%s is not 1", want)
		}
	}
	if !strings.Contains(text, `gnomon_projection_published_events_total{projection="p",stream="S"} 2`+"\n") {
		t.Error("not 2 are counted as published")
	}
	r.ask("GET", "/v1/projections/p", "") // as it is described
	p := r.ask("POST", "/v1/projections/p/promote", "").problem(t)
	if p.Status != http.StatusConflict || p.Code != wire.CodeUnpublished || !strings.Contains(p.Detail, "1 events") || p.Hint == "" {
		t.Errorf("promote: %+v", p)
	}
	down.Store(false)
	if _, err := r.client().Promote(t.Context(), "p", patience); err != nil {
		t.Error(err)
	}
}
