package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"gnomon/engine"
	"gnomon/engine/catalog"
	"gnomon/engine/guest"
	"gnomon/engine/query/wire"
	"gnomon/engine/state"
	"gnomon/engine/streams"
)

// answer writes JSON.
func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // the client is gone
}

// problem writes an error.
func problem(w http.ResponseWriter, status int, code, detail, hint string) {
	writeProblem(w, makeProblem(status, code, detail, hint))
}

func makeProblem(status int, code, detail, hint string) wire.Problem {
	return wire.Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail, Hint: hint}
}

func writeProblem(w http.ResponseWriter, p wire.Problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Del("ETag")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}

// failed writes an error of the engine or the appender.
func failed(w http.ResponseWriter, err error) { writeProblem(w, problemOf(err)) }

// importFailed writes an error of an import, with what was done before it.
func importFailed(w http.ResponseWriter, done wire.Imported, err error) {
	p := problemOf(err)
	p.Done = &done
	var line *LineError
	if errors.As(err, &line) {
		p.Line, p.Detail = line.Line, line.Err.Error()
	}
	writeProblem(w, p)
}

func problemOf(err error) wire.Problem {
	for _, known := range []struct {
		err    error
		status int
		code   string
		hint   string
	}{
		{errSlowBody, http.StatusRequestTimeout, wire.CodeSlowBody, "send it in one go, with its length"},
		{engine.ErrNoProjection, http.StatusNotFound, wire.CodeNoProjection, "GET /v1/projections lists them"},
		{engine.ErrNoGeneration, http.StatusNotFound, wire.CodeNoGeneration, "GET /v1/projections/NAME shows which there are"},
		{engine.ErrOtherGeneration, http.StatusConflict, wire.CodeOtherGeneration, "look at the one that is there now, GET /v1/projections/NAME has its id, and decide again"},
		{engine.ErrIncomparable, http.StatusConflict, wire.CodeIncomparable, "promote the candidate, or read both: NAME and NAME@candidate"},
		{engine.ErrBehind, http.StatusConflict, wire.CodeBehind, `GET /v1/projections/NAME shows how far it is; {"wait":"10m"} has a promotion wait for it`},
		{engine.ErrUnpublished, http.StatusConflict, wire.CodeUnpublished, `GET /v1/projections/NAME shows what keeps them, at emits; {"wait":"10m"} has a promotion wait for it`},
		{engine.ErrDeclared, http.StatusConflict, wire.CodeDeclared, "take it out of the configuration, and have that reloaded, first"},
		{guest.ErrNoQuery, http.StatusNotFound, wire.CodeNoQuery, "export query from the module, see docs/AUTHORING.md; or read its keys"},
		{engine.ErrRequestTooLarge, http.StatusRequestEntityTooLarge, wire.CodeTooLarge, ""},
		{engine.ErrAnswerLate, http.StatusServiceUnavailable, wire.CodeBusy, "ask again, or for less"},
		{engine.ErrNoLetter, http.StatusNotFound, wire.CodeNoLetter, "GET /v1/projections/NAME/dead-letters lists them"},
		{streams.ErrNoStream, http.StatusNotFound, wire.CodeNoStream, "name the stream that stores the subject, or have this one take it: the subjects of its [[stream]]"},
		{ErrInDoubt, http.StatusServiceUnavailable, wire.CodeInDoubt, "send it again as it is: with an id, or msg_id, it is stored once, and the answer is the first one's"},
		{streams.ErrForbidden, http.StatusServiceUnavailable, wire.CodeNATSPermission, "give the engine's user at the NATS server that permission; engine doctor tries all of them"},
		{streams.ErrSourceDown, http.StatusServiceUnavailable, wire.CodeNotReady, "ask again when the NATS server is there"},
		{engine.ErrNotKept, http.StatusGone, wire.CodeNotKept, "replay=true (--replay) computes it from the events, from the beginning of the generation on; projection.history says what is kept from now on"},
		{engine.ErrEventsGone, http.StatusGone, wire.CodeEventsGone, "the stream's limits (max_age, max_bytes) removed them, or somebody did: ask for a later sequence"},
		{engine.ErrNotRepeatable, http.StatusConflict, wire.CodeNotRepeatable, "ask for a sequence at which there was a commit, or a later one"},
		{engine.ErrBackwards, http.StatusBadRequest, wire.CodeBadRequest, "exchange the two"},
		{engine.ErrReplayLimit, http.StatusUnprocessableEntity, wire.CodeReplayLimit, "ask for a sequence nearer to a commit; a smaller projection.history.every_events makes more of them"},
		{engine.ErrNotReady, http.StatusServiceUnavailable, wire.CodeNotReady, "ask again in a moment"},
		{engine.ErrSnapshotName, http.StatusBadRequest, wire.CodeBadRequest, ""},
		{catalog.ErrNoSnapshot, http.StatusNotFound, wire.CodeNoSnapshot, "GET /v1/projections/NAME/snapshots lists them"},
		{ErrNotExportable, http.StatusConflict, wire.CodeNotExportable, ""},
		{engine.ErrSnapshotExists, http.StatusConflict, wire.CodeSnapshotExists, ""},
		{engine.ErrTooManySnapshots, http.StatusConflict, wire.CodeTooManySnapshot, ""},
		{state.ErrCorrupt, http.StatusInternalServerError, wire.CodeCorrupt, "run: engine inspect --verify DATA_DIR"},
		{ErrWrongSequence, http.StatusConflict, wire.CodeWrongSequence, "look at the last event (?show=data shows what it says), decide again, and append with its sequence"},
		{ErrWrongStream, http.StatusConflict, wire.CodeWrongStream, "append to the stream that stores the subject, and expect that one; nothing was stored"},
		{ErrKnownID, http.StatusConflict, wire.CodeKnownID, "leave that event out, or give it an id of its own; nothing was stored"},
		{ErrNotAtomic, http.StatusConflict, wire.CodeNotAtomic, "streams that the configuration creates take it (allow_atomic); or append the events one by one"},
		{ErrInTheWay, http.StatusServiceUnavailable, wire.CodeBusy, "nothing was stored: ask again in a moment"},
		{ErrModuleChanged, http.StatusConflict, wire.CodeModuleChanged, "put the file back that runs; a changed one is another generation, which the engine builds by itself"},
		{engine.ErrNothingToAccept, http.StatusConflict, wire.CodeNothingToAccept, ""},
		{engine.ErrNotAcceptable, http.StatusConflict, wire.CodeNotAcceptable, "POST /v1/projections/NAME/rebuild builds it from the stream as it is"},
		{ErrBadEvent, http.StatusBadRequest, wire.CodeBadRequest, ""},
		{ErrBadDeployment, http.StatusBadRequest, wire.CodeBadRequest, ""},
		{ErrNotDeployed, http.StatusNotFound, wire.CodeNotFound, ""},
		{errWaiting, http.StatusServiceUnavailable, wire.CodeBusy, "ask again in a moment"},
		{ErrOtherBucket, http.StatusConflict, wire.CodeBadRequest, "set plugins.bucket in the configuration that it runs on, and start it again"},
	} {
		if errors.Is(err, known.err) {
			return makeProblem(known.status, known.code, err.Error(), known.hint)
		}
	}
	var stopped *engine.StoppedError
	var changed *engine.HistoryError
	switch {
	case errors.As(err, &changed):
		return makeProblem(http.StatusConflict, wire.CodeHistoryChanged, err.Error(), "what would have to be replayed is no longer in the stream that was read; "+changed.Hint)
	case errors.As(err, &stopped):
		return makeProblem(http.StatusConflict, wire.CodeStopped, err.Error(), stopped.Hint)
	case errors.Is(err, context.Canceled):
		return makeProblem(http.StatusServiceUnavailable, wire.CodeNotReady, "the engine stops, or the request was given up", "ask again when it runs")
	case errors.Is(err, engine.ErrNotReached):
		return makeProblem(http.StatusConflict, wire.CodeNotReached, err.Error(), "ask again when it is; where a key or a page is read, wait (--wait) has the request wait for a sequence")
	}
	return makeProblem(http.StatusInternalServerError, wire.CodeInternal, err.Error(), "see the engine's log")
}

func bad(w http.ResponseWriter, format string, args ...any) {
	problem(w, http.StatusBadRequest, wire.CodeBadRequest, fmt.Sprintf(format, args...), "")
}

// parameters reads the query of a request and refuses what is not known.
func parameters(w http.ResponseWriter, r *http.Request, known ...string) (url.Values, bool) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		bad(w, "query: %v", err)
		return nil, false
	}
	for name, values := range q {
		switch {
		case !slices.Contains(known, name):
			bad(w, "parameter %q is not known; there are: %s", name, strings.Join(known, ", "))
			return nil, false
		case len(values) > 1:
			bad(w, "parameter %q is given %d times", name, len(values))
			return nil, false
		}
	}
	return q, true
}
