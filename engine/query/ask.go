package query

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"gnomon/engine"
	"gnomon/engine/guest"
	"gnomon/engine/query/access"
	"gnomon/engine/query/wire"
	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// ask has the guest answer the body of a request. Both are bytes that mean what the guest
// says they do.
func (s *Server) ask(w http.ResponseWriter, r *http.Request, name string) {
	if !allowed(w, r, http.MethodPost) {
		return
	}
	q, ok := readParameters(w, r)
	if !ok {
		return
	}
	request, ok := wholeBody(w, r, abi.MaxRequest)
	if !ok {
		return
	}
	r.Header.Del("If-None-Match") // it is about what GET answers
	reading := s.reading(w, r, name, q, "")
	if reading == nil {
		return
	}
	w.Header().Del("ETag") // of the state, not of an answer
	at := wire.OfReading(reading)
	got, err := answerOf(r, reading, request)
	if err != nil {
		writeProblem(w, queryProblem(err))
		return
	}
	if !answered(w, name, q, &at, got.Checkpoint) {
		return
	}
	kind := "application/octet-stream"
	if wire.IsJSON(got.Body) {
		kind = "application/json"
	}
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(got.Body) // the client is gone
}

// answered sets the headers of an answer whose module keeps state in its own memory, which
// is as of its newest snapshot. It returns false when that is before the sequence that the
// client asked for, or before the very one, and it was told so.
func answered(w http.ResponseWriter, name string, q url.Values, at *wire.AsOf, of state.Checkpoint) bool {
	if of.Position.Sequence == at.Sequence {
		return true
	}
	at.Behind += at.Sequence - min(at.Sequence, of.Position.Sequence)
	at.Sequence, at.Time = of.Position.Sequence, of.Position.Time
	if at.Freshness == engine.FreshLive {
		at.Freshness = engine.FreshBehind
	}
	w.Header().Del("Gnomon-As-Of-Time")
	setAsOf(w, *at)
	least, err := strconv.ParseUint(q.Get("min_seq"), 10, 64)
	if !q.Has("at") && (err != nil || least <= at.Sequence) {
		return true
	}
	p := makeProblem(http.StatusGatewayTimeout, wire.CodeNotReached, fmt.Sprintf("projection %s answers as of %d, the newest snapshot of its module's memory; %d is %v", name, at.Sequence, least, engine.ErrNotReached), "have snapshots taken more often: every_events and every in [projection.snapshots]")
	if q.Has("at") { // exactly as of that, or not at all
		p = makeProblem(http.StatusGone, wire.CodeNotKept, fmt.Sprintf("projection %s as of that is asked for, and the newest snapshot of its module's memory up to there is that of %d", name, at.Sequence), fmt.Sprintf("ask as of %d", at.Sequence))
	}
	reflected := at.Reflected()
	p.Reflected = &reflected
	writeProblem(w, p)
	return false
}

// answerOf asks the guest, and closes the reading, which is not held while the client takes
// its answer.
func answerOf(r *http.Request, reading *engine.Reading, request []byte) (engine.Answer, error) {
	defer reading.Close()
	return reading.Query(r.Context(), request)
}

// wholeBody reads a body of bytes.
func wholeBody(w http.ResponseWriter, r *http.Request, limit int64) (b []byte, ok bool) {
	ok = bodyOf(w, r, limit, func(body io.Reader) (err error) {
		b, err = io.ReadAll(body)
		return err
	})
	return b, ok
}

// queryProblem tells what became of a query. What the guest says of a request that it will
// not have is told word for word.
func queryProblem(err error) wire.Problem {
	var g *guest.Error
	switch {
	case !errors.As(err, &g):
		return problemOf(err)
	case g.Kind == guest.Refused && g.Call == abi.ExportQuery:
		return makeProblem(http.StatusUnprocessableEntity, wire.CodeQueryRefused, g.Text, "these are the words of the module: its author says what it can be asked")
	case g.Kind == guest.OutOfFuel:
		return makeProblem(http.StatusInternalServerError, wire.CodeQueryFailed, err.Error(), "ask for less, or give it more: projection.limits.fuel")
	}
	return makeProblem(http.StatusInternalServerError, wire.CodeQueryFailed, err.Error(), "the projection goes on; lines of the module in the engine's log begin with query:")
}

// elsewhereKey is the key, in the context of a request, of that it came another way than over
// HTTP, where tokens say nothing.
type elsewhereKey struct{}

// Reads answers what can be read of projections, their status, state, changes and answers, for those
// who come another way than over HTTP: it does not ask who they are, and does not change
// anything. It ends with the server.
func (s *Server) Reads() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.requests.begin() {
			problem(w, http.StatusServiceUnavailable, wire.CodeNotReady, "the engine stops", "ask again when it runs")
			return
		}
		defer s.requests.done()
		ctx := context.WithValue(r.Context(), rightsKey{}, access.Everything())
		r = r.WithContext(context.WithValue(ctx, elsewhereKey{}, true))
		switch n := needOf(r); {
		case r.URL.Path == "/v1/projections":
			s.projections(w, r)
		case n.role == access.Read:
			s.projection(w, r)
		default:
			problem(w, http.StatusNotFound, wire.CodeNotFound, "there is nothing to read at "+r.URL.Path, "")
		}
	})
}
