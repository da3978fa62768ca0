package query

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"gnomon/engine"
	"gnomon/engine/catalog"
	"gnomon/engine/query/wire"
)

// Generations are changes of what is read of a projection. engine.Engine implements it.
type Generations interface {
	PromoteTo(ctx context.Context, projection, generation string) (engine.Promotion, error)
	RollbackTo(ctx context.Context, projection, generation string) (engine.Promotion, error)
	Remove(ctx context.Context, projection string) error
	Compare(ctx context.Context, projection string) (*engine.Comparison, error)
	History(projection string) ([]catalog.Change, error)
}

// promoteEvery is how often a promotion that waits is tried.
const promoteEvery = 100 * time.Millisecond

// ofWhole are the verbs about a projection with all its generations: NAME@candidate and
// NAME@previous have no meaning there.
var ofWhole = []string{"pause", "resume", "rebuild", "promote", "rollback", "remove", "history"}

// whole refuses the name of a generation where that of a projection is asked for.
func whole(w http.ResponseWriter, name, verb string) bool {
	if !slices.Contains(ofWhole, verb) || !strings.Contains(name, "@") {
		return true
	}
	projection, _, _ := strings.Cut(name, "@")
	problem(w, http.StatusBadRequest, wire.CodeBadRequest, verb+" is about a projection, not about one of its generations: "+name, "say "+projection)
	return false
}

// promote lets readers see the candidate, once it has caught up.
func (s *Server) promote(w http.ResponseWriter, r *http.Request, name string) {
	var ask wire.Promote
	if !asked(w, r, &ask) {
		return
	}
	wait, err := ask.Duration()
	if err != nil {
		bad(w, "body: %v", err)
		return
	}
	done, err := s.promoteWithin(r.Context(), name, ask.Generation, wait)
	if err != nil {
		failed(w, err)
		return
	}
	answer(w, http.StatusOK, done)
}

// asked reads the body of a verb, which may be empty.
func asked(w http.ResponseWriter, r *http.Request, v any) bool {
	if !allowed(w, r, http.MethodPost) {
		return false
	}
	if _, ok := parameters(w, r); !ok {
		return false
	}
	return r.ContentLength == 0 || body(w, r, v)
}

// promoteWithin promotes a candidate, by its id, or the one that there is now, and waits for it
// as long as it may still come. One that came in its place meanwhile is not promoted.
func (s *Server) promoteWithin(ctx context.Context, name, candidate string, wait time.Duration) (engine.Promotion, error) {
	candidate = cmp.Or(candidate, s.candidate(name))
	late := time.NewTimer(wait)
	defer late.Stop()
	tick := time.NewTicker(promoteEvery)
	defer tick.Stop()
	for {
		done, err := s.engine.PromoteTo(ctx, name, candidate)
		switch {
		case errors.Is(err, engine.ErrNoGeneration), errors.Is(err, engine.ErrOtherGeneration):
			if done, ok := s.tookOver(name, candidate); ok {
				return done, nil
			}
			return done, err
		case !errors.Is(err, engine.ErrBehind) && !errors.Is(err, engine.ErrUnpublished), wait == 0, s.waitsInVain(name):
			return done, err
		}
		select {
		case <-tick.C:
		case <-late.C:
			return done, err
		case <-ctx.Done():
			return done, ctx.Err()
		}
	}
}

// candidate is the id of a projection's candidate; empty: there is none.
func (s *Server) candidate(name string) string {
	st, err := s.engine.Status(name)
	if err != nil || st.Candidate == nil {
		return ""
	}
	return st.Candidate.ID
}

// waitsInVain reports whether the candidate does not go on by itself.
func (s *Server) waitsInVain(name string) bool {
	st, err := s.engine.Status(name)
	if err != nil || st.Candidate == nil {
		return false // what Promote says then is right
	}
	switch st.Candidate.State {
	case engine.Halted, engine.Diverged, engine.Paused, engine.Stopped:
		return true
	}
	return false
}

// tookOver is the promotion of a candidate that took over by itself before it was told to: it is
// the one that is read.
func (s *Server) tookOver(name, candidate string) (done engine.Promotion, ok bool) {
	st, err := s.engine.Status(name)
	if err != nil || st.Generation != candidate {
		return done, false
	}
	changes, err := s.engine.History(name)
	if err != nil {
		return done, false
	}
	for _, c := range slices.Backward(changes) {
		if c.Kind == catalog.Promoted && c.Generation == candidate {
			from := strings.TrimPrefix(c.Text, "from ")
			return engine.Promotion{Projection: name, From: from, To: candidate, Sequence: c.Sequence}, true
		}
	}
	return done, false
}

// rollback lets readers see the previous generation again.
func (s *Server) rollback(w http.ResponseWriter, r *http.Request, name string) {
	var ask wire.Rollback
	if !asked(w, r, &ask) {
		return
	}
	done, err := s.engine.RollbackTo(r.Context(), name, ask.Generation)
	if err != nil {
		failed(w, err)
		return
	}
	answer(w, http.StatusOK, done)
}

// remove removes a projection that is no longer declared, with its data.
func (s *Server) remove(w http.ResponseWriter, r *http.Request, name string) {
	if !asked(w, r, &struct{}{}) {
		return
	}
	if err := s.engine.Remove(r.Context(), name); err != nil {
		failed(w, err)
		return
	}
	if s.logs != nil {
		s.logs.Forget(name)
	}
	answer(w, http.StatusOK, wire.Removed{Projection: name})
}

// history answers with what happened to a projection.
func (s *Server) history(w http.ResponseWriter, r *http.Request, name string) {
	if !allowed(w, r, http.MethodGet) {
		return
	}
	if _, ok := parameters(w, r); !ok {
		return
	}
	changes, err := s.engine.History(name)
	if err != nil {
		failed(w, err)
		return
	}
	answer(w, http.StatusOK, wire.History{Projection: name, Changes: append([]catalog.Change{}, changes...)})
}
