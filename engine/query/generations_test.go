package query_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"gnomon/engine"
	"gnomon/engine/enginetest"
	"gnomon/engine/guest"
	"gnomon/engine/query"
	"gnomon/engine/query/wire"
	"gnomon/internal/testutil"
	"gnomon/sdk/abi"
)

// newRigWithCandidate is newRig, with another module being built beside the one that is
// read, which an operator is to promote.
func newRigWithCandidate(t *testing.T, apply enginetest.Func, rows ...string) *rig {
	t.Helper()
	var spec engine.Spec
	r := newRigOf(t, "", func(s *engine.Spec) {
		s.AutoPromote, s.KeepPrevious = engine.PromoteByHand, time.Hour
		spec = *s
	}, rows...).start()
	spec.Module = enginetest.FuncModule("candidate", apply)
	if _, err := r.engine.Declare(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	return r
}

// caughtUp waits until the candidate has.
func (r *rig) caughtUp() *rig {
	r.t.Helper()
	r.await(func(s engine.Status) bool {
		return s.Candidate.State == engine.Live && s.Candidate.Position == s.StreamLast && s.Position == s.StreamLast
	})
	return r
}

// await waits for a status with a candidate.
func (r *rig) await(condition func(engine.Status) bool) (s engine.Status) {
	r.t.Helper()
	testutil.Until(r.t, func() bool {
		var err error
		if s, err = r.engine.Status("p"); err != nil {
			r.t.Fatal(err)
		}
		return s.Candidate != nil && condition(s)
	})
	return s
}

// get is the value of a key; empty when there is none.
func (r *rig) get(projection, key string) string {
	r.t.Helper()
	g, err := r.client().Get(r.t.Context(), projection, []byte(key))
	var p *wire.Problem
	if err != nil && (!errors.As(err, &p) || p.Code != wire.CodeNoKey) {
		r.t.Fatal(err)
	}
	return string(g.Value)
}

// gated stores as letters does, with a value of its own, and waits before the last of n
// events until the gate is open.
func gated(gate chan struct{}, n uint64) enginetest.Func {
	return func(e abi.Record, st guest.State) error {
		if e.Sequence == n {
			<-gate
		}
		return st.Put(e.Subject, []byte(`"candidate"`))
	}
}

// A candidate is read once it is promoted, and what was read before once that is rolled
// back; both stay readable by their roles, and the history tells of it.
func TestPromoteAndRollback(t *testing.T) {
	r := newRigWithCandidate(t, gated(nil, 0), "a", `"live"`, "b", `"live"`).caughtUp()
	if r.get("p", "a") != `"live"` || r.get("p@candidate", "a") != `"candidate"` {
		t.Errorf("before: %s and %s", r.get("p", "a"), r.get("p@candidate", "a"))
	}
	before, err := r.client().Projection(t.Context(), "p")
	if err != nil {
		t.Fatal(err)
	}
	done, err := r.client().Promote(t.Context(), "p", 0)
	if want := (engine.Promotion{Projection: "p", From: before.Generation, To: before.Candidate.ID, Sequence: 2}); err != nil || done != want {
		t.Fatalf("promoted %+v, %v, want %+v", done, err, want)
	}
	if r.get("p", "a") != `"candidate"` || r.get("p@previous", "a") != `"live"` {
		t.Errorf("promoted: %s and %s", r.get("p", "a"), r.get("p@previous", "a"))
	}
	done, err = r.client().Rollback(t.Context(), "p")
	if want := (engine.Promotion{Projection: "p", From: before.Candidate.ID, To: before.Generation, Sequence: 2}); err != nil || done != want {
		t.Fatalf("rolled back %+v, %v, want %+v", done, err, want)
	}
	if r.get("p", "a") != `"live"` {
		t.Errorf("rolled back: %s", r.get("p", "a"))
	}
	changes, err := r.client().History(t.Context(), "p")
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, c := range changes {
		kinds = append(kinds, string(c.Kind))
	}
	if got := strings.Join(kinds, " "); got != "created created promoted rolled-back" {
		t.Errorf("history: %s", got)
	}
}

// Every read takes the name of a generation by its role, and says which one it answers of.
func TestReadsByRole(t *testing.T) {
	r := newRigWithCandidate(t, gated(nil, 0), "a", `"live"`).caughtUp()
	s, err := r.engine.Status("p")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"", "/state/a", "/state", "/dead-letters"} {
		a := r.ask("GET", "/v1/projections/p@candidate"+path, "")
		if !strings.Contains(a.body, `"projection":"p@candidate"`) || path != "" && a.Header.Get("Gnomon-Generation") != s.Candidate.ID {
			t.Errorf("GET %s: %s of %s", path, a, a.Header.Get("Gnomon-Generation"))
		}
		for _, name := range []string{"p@previous", "p@other", "p@"} {
			if p := r.ask("GET", "/v1/projections/"+name+path, "").problem(t); p.Status != 404 || p.Code != wire.CodeNoGeneration {
				t.Errorf("GET %s of %s: %+v", path, name, p)
			}
		}
	}
	for _, request := range []string{"POST pause", "POST resume", "POST rebuild", "POST promote", "POST rollback", "POST remove", "GET history"} {
		method, verb, _ := strings.Cut(request, " ")
		if p := r.ask(method, "/v1/projections/p@candidate/"+verb, "").problem(t); p.Code != wire.CodeBadRequest || p.Hint != "say p" {
			t.Errorf("%s of a generation: %+v", request, p)
		}
	}
}

// One that is behind is neither promoted nor compared; a promotion that waits for it is
// done when it has caught up, and refused when the time is over.
func TestPromoteOneThatIsBehind(t *testing.T) {
	gate := make(chan struct{})
	r := newRigWithCandidate(t, gated(gate, 3), "a", "1", "b", "2", "c", "3")
	for request, body := range map[string]string{"POST promote": "", "POST promote ": `{"wait":"1ns"}`, "GET diff": ""} {
		method, verb, _ := strings.Cut(strings.TrimSpace(request), " ")
		p := r.ask(method, "/v1/projections/p/"+verb, body).problem(t)
		if p.Status != http.StatusConflict || p.Code != wire.CodeBehind || !strings.Contains(p.Detail, "the candidate of p is ") || !strings.Contains(p.Hint, "wait") {
			t.Errorf("%s %s: %+v", request, body, p)
		}
	}
	asked := make(chan error, 1)
	go func() {
		_, err := r.client().Promote(t.Context(), "p", patience)
		asked <- err
	}()
	close(gate)
	if err := await(t, asked, "the promotion"); err != nil || r.get("p", "a") != `"candidate"` {
		t.Errorf("promoted: %v; %s is read", err, r.get("p", "a"))
	}
}

// The times that clients have are not those of a promotion that waits.
func TestPromoteWaitsLonger(t *testing.T) {
	gate := make(chan struct{})
	r := newRigWithCandidate(t, gated(gate, 2), "a", "1", "b", "2")
	r.query.Hurry(atOnce, never, never)
	time.AfterFunc(4*atOnce, func() { close(gate) })
	if _, err := r.client().Promote(t.Context(), "p", patience); err != nil {
		t.Error(err)
	}
}

// Nobody waits for a candidate that does not go on by itself, and why it does not is said.
func TestPromoteWaitsInVain(t *testing.T) {
	r := newRigWithCandidate(t, func(abi.Record, guest.State) error { return enginetest.Refuse("no") }, "a", "1")
	r.await(func(s engine.Status) bool { return s.Candidate.State == engine.Halted })
	_, err := r.client().Promote(t.Context(), "p", never)
	var p *wire.Problem
	if !errors.As(err, &p) || p.Code != wire.CodeBehind || !strings.Contains(p.Detail, "halted: event 1: apply returned an error: no") {
		t.Errorf("%v", err)
	}
}

// What a promotion may wait is bounded, and a duration.
func TestPromoteWait(t *testing.T) {
	r := newRigWithCandidate(t, gated(nil, 0), "a", "1").caughtUp()
	for body, detail := range map[string]string{
		`{"wait":"soon"}`: `wait is "soon": it must be between 0s and 24h0m0s`, `{"wait":"-1s"}`: "between", `{"wait":"25h"}`: "between",
		`{"wait":5}`: "cannot unmarshal number", `{"weight":"5s"}`: "unknown field", `{} {}`: "more after",
	} {
		if p := r.ask("POST", "/v1/projections/p/promote", body).problem(t); p.Code != wire.CodeBadRequest || !strings.Contains(p.Detail, detail) {
			t.Errorf("%s: %+v", body, p)
		}
	}
	if a := r.ask("POST", "/v1/projections/p/promote", `{"wait":"0s"}`); a.StatusCode != 200 {
		t.Errorf("%s", a)
	}
}

// promotesItself is an engine whose candidate takes over by itself while it is waited for.
type promotesItself struct{ *engine.Engine }

func (e promotesItself) PromoteTo(ctx context.Context, name, generation string) (engine.Promotion, error) {
	_, err := e.Engine.PromoteTo(ctx, name, generation)
	if err == nil {
		_, err = e.Engine.PromoteTo(ctx, name, generation)
	}
	return engine.Promotion{}, err
}

// A candidate that takes over by itself while it is waited for was promoted.
func TestPromotedByItself(t *testing.T) {
	gate := make(chan struct{})
	r := newRigWithCandidate(t, gated(gate, 2), "a", "1", "b", "2")
	st := r.await(func(engine.Status) bool { return true })
	r.server.Config.Handler = query.New(query.Options{Engine: promotesItself{r.engine}, Log: slog.New(slog.NewTextHandler(r.log, nil))})
	close(gate)
	done, err := r.client().Promote(t.Context(), "p", patience)
	if want := (engine.Promotion{Projection: "p", From: st.Generation, To: st.Candidate.ID, Sequence: 2}); err != nil || done != want {
		t.Errorf("%+v, %v, want %+v", done, err, want)
	}
	_, err = r.client().Promote(t.Context(), "p", patience)
	var p *wire.Problem
	if !errors.As(err, &p) || p.Code != wire.CodeNoGeneration {
		t.Errorf("without a candidate: %v", err)
	}
}

// Who says which generation is meant gets that one or none: 409, with the id of the one that is
// there by now. Asked again for the one that is read already, the answer is that of its promotion.
func TestPromoteTheOneThatWasShown(t *testing.T) {
	r := newRigWithCandidate(t, gated(nil, 0), "a", `"live"`).caughtUp()
	st, err := r.client().Projection(t.Context(), "p")
	if err != nil {
		t.Fatal(err)
	}
	refused := func(err error, names string) {
		t.Helper()
		var p *wire.Problem
		if !errors.As(err, &p) || p.Status != 409 || p.Code != wire.CodeOtherGeneration || !strings.Contains(p.Detail, names) {
			t.Errorf("%v, want to be refused with %s", err, names)
		}
	}
	for _, wait := range []time.Duration{0, patience} {
		_, err = r.client().PromoteTo(t.Context(), "p", st.Generation[1:], wait)
		refused(err, st.Candidate.ID)
	}
	for range 2 {
		done, err := r.client().PromoteTo(t.Context(), "p", st.Candidate.ID, 0)
		if err != nil || done.To != st.Candidate.ID || done.From != st.Generation {
			t.Fatalf("%+v, %v", done, err)
		}
	}
	_, err = r.client().RollbackTo(t.Context(), "p", st.Candidate.ID)
	refused(err, st.Generation)
	if done, err := r.client().RollbackTo(t.Context(), "p", st.Generation); err != nil || done.To != st.Generation {
		t.Errorf("%+v, %v", done, err)
	}
}

// Only what is no longer declared is removed; then there is nothing of it.
func TestRemove(t *testing.T) {
	r := newRigWithCandidate(t, gated(nil, 0), "a", "1").caughtUp()
	if p := r.ask("POST", "/v1/projections/p/remove", "").problem(t); p.Status != http.StatusConflict || p.Code != wire.CodeDeclared {
		t.Errorf("declared: %+v", p)
	}
	if err := r.engine.Withdraw(t.Context(), "p", "it is not declared"); err != nil {
		t.Fatal(err)
	}
	if r.get("p", "a") != "1" {
		t.Error("what is not declared cannot be read")
	}
	if err := r.client().Remove(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	for _, request := range []string{"GET state/a", "GET history", "GET diff", "POST remove", "POST rollback", "POST promote"} {
		method, path, _ := strings.Cut(request, " ")
		if p := r.ask(method, "/v1/projections/p/"+path, "").problem(t); p.Status != 404 || p.Code != wire.CodeNoProjection {
			t.Errorf("%s: %+v", request, p)
		}
	}
}

// Without another generation there is nothing to promote, to go back to, or to compare.
func TestWithoutGeneration(t *testing.T) {
	r := newRig(t, "", "a", "1").start()
	for request, role := range map[string]string{"POST promote": "candidate", "POST rollback": "previous", "GET diff": "candidate"} {
		method, verb, _ := strings.Cut(request, " ")
		p := r.ask(method, "/v1/projections/p/"+verb, "").problem(t)
		if p.Status != 404 || p.Code != wire.CodeNoGeneration || !strings.Contains(p.Detail, fmt.Sprintf("projection p has no %s", role)) {
			t.Errorf("%s: %+v", request, p)
		}
	}
}

// Metrics tell of the candidate and the previous generation while there is one, and of a
// declaration that is refused.
func TestGenerationMetrics(t *testing.T) {
	r := newRigWithCandidate(t, gated(nil, 0), "a", "1", "b", "2").caughtUp()
	has := func(line string, want bool) {
		t.Helper()
		if text := r.ask("GET", "/metrics", "").body; strings.Contains(text, "\n"+line) != want {
			t.Errorf("%s: %v", line, !want)
		}
	}
	has(`gnomon_candidate_position{projection="p",stream="S"} 2`, true)
	has(`gnomon_candidate_behind{projection="p",stream="S"} 0`, true)
	has(`gnomon_candidate_keys{projection="p",stream="S"} 2`, true)
	has(`gnomon_candidate_state{projection="p",state="live",stream="S"} 1`, true)
	has(`gnomon_previous_position`, false)
	has(`gnomon_projection_refused{projection="p",stream="S"} 0`, true)
	if _, err := r.client().Promote(t.Context(), "p", 0); err != nil {
		t.Fatal(err)
	}
	has(`gnomon_previous_position{projection="p",stream="S"} 2`, true)
	has(`gnomon_candidate_position`, false)
	if err := r.engine.Refuse(t.Context(), "p", errors.New("broken")); err != nil {
		t.Fatal(err)
	}
	has(`gnomon_projection_refused{projection="p",stream="S"} 1`, true)
	if err := r.engine.Withdraw(t.Context(), "p", "gone"); err != nil {
		t.Fatal(err)
	}
	has(`gnomon_projection_state{projection="p",state="stopped",stream="S"} 1`, true)
}
