package query

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"

	"gnomon/engine/query/wire"
)

// Appender appends to streams.
type Appender interface {
	// Import appends events given as JSON Lines. It fails with a *LineError when one
	// cannot be appended; everything before it is stored.
	Import(ctx context.Context, stream string, lines io.Reader) (wire.Imported, error)
	// Publish appends one event. It fails with a *ConflictError when what it expects
	// does not hold.
	Publish(ctx context.Context, stream string, e wire.NewEvent) (wire.Appended, error)
	// PublishBatch appends events as one: all of them or none.
	PublishBatch(ctx context.Context, stream string, events []wire.NewEvent) (wire.Appended, error)
}

// Errors of an Appender.
var (
	// ErrWrongSequence says that a last sequence is not the expected one.
	ErrWrongSequence = errors.New("wrong last sequence")
	// ErrWrongStream says that an event would be stored by another stream than the expected one.
	ErrWrongStream = errors.New("wrong stream")
	// ErrBadEvent says that an event cannot be appended as it is.
	ErrBadEvent = errors.New("bad event")
	// ErrKnownID says that one of several events has the id of one that is stored.
	ErrKnownID = errors.New("known id")
	// ErrNotAtomic says that a stream does not take several events as one.
	ErrNotAtomic = errors.New("not atomic")
	// ErrInDoubt says that it is not known whether an event was stored.
	ErrInDoubt = errors.New("in doubt")
	// ErrInTheWay says that others append to the same subjects too often.
	ErrInTheWay = errors.New("others are in the way")
)

// ConflictError is an ErrWrongSequence with what is there instead.
type ConflictError struct {
	wire.Conflict
	Err error
}

func (e *ConflictError) Error() string        { return e.Err.Error() }
func (e *ConflictError) Is(target error) bool { return target == ErrWrongSequence }
func (e *ConflictError) Unwrap() error        { return e.Err }

// LineError is a line of an import that cannot be appended. It is an ErrBadEvent.
type LineError struct {
	Line int // from 1
	Err  error
}

func (e *LineError) Error() string        { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }
func (e *LineError) Is(target error) bool { return target == ErrBadEvent }
func (e *LineError) Unwrap() error        { return e.Err }

// maxEvents bounds the body of an append: events with what a server takes by default, as base64.
const maxEvents = 4 * maxBody

// append takes one event as JSON, several that are appended as one, or many as JSON Lines that say
// so: whatever else a body says it is, as curl does unasked, it is read as JSON.
func (s *Server) append(w http.ResponseWriter, r *http.Request) {
	q, ok := parameters(w, r, "show")
	if !ok {
		return
	}
	show := q.Get("show")
	if q.Has("show") && show != "data" {
		bad(w, "show is %q; there is: data", show)
		return
	}
	stream := r.PathValue("stream")
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind == "application/x-ndjson" {
		done, err := s.importLines(r, stream)
		if err != nil {
			importFailed(w, done, err)
			return
		}
		answer(w, http.StatusOK, done)
		return
	}
	var ask appendBody
	if !bodyOf(w, r, maxEvents, func(b io.Reader) (err error) { ask, err = parseAppend(b); return err }) {
		return
	}
	var done wire.Appended
	var err error
	trace := traceOf(r.Header)
	if ask.Events == nil {
		ask.NewEvent.Trace = trace
		done, err = s.appender.Publish(r.Context(), stream, ask.NewEvent)
	} else {
		for i := range *ask.Events {
			(*ask.Events)[i].Trace = trace
		}
		done, err = s.appender.PublishBatch(r.Context(), stream, *ask.Events)
	}
	if err != nil {
		appendFailed(w, err, show == "data")
		return
	}
	w.Header().Set("Gnomon-Sequence", strconv.FormatUint(done.Sequence, 10))
	status := http.StatusCreated
	if done.Duplicate {
		status = http.StatusOK // nothing was
	}
	answer(w, status, done)
}

// appendBody is one event, or several.
type appendBody struct {
	wire.NewEvent
	Events *[]wire.NewEvent `json:"events"` // nil: it is one
}

func parseAppend(b io.Reader) (a appendBody, err error) {
	if err := decode(b, &a); err != nil {
		return a, err
	}
	one := a.NewEvent
	if a.Events != nil && (one.Subject != "" || one.Data != nil || one.DataB64 != nil || one.MessageID() != "" ||
		one.Type != "" || one.Time != "" || one.Source != "" || one.ExpectLastSeq != nil || one.ExpectLastSubjectSeq != nil || one.ExpectSubject != "" || one.ExpectStream != "") {
		return a, errors.New("events stands beside fields of an event: those belong into one of the events")
	}
	return a, nil
}

// appendFailed writes why nothing was appended; with the data of what is there instead if the
// request asks for it.
func appendFailed(w http.ResponseWriter, err error, show bool) {
	p := problemOf(err)
	var conflict *ConflictError
	if errors.As(err, &conflict) {
		p.Conflict = &conflict.Conflict
		if !show {
			p.Conflict = conflict.WithoutData()
		}
	}
	writeProblem(w, p)
}

// importLines imports a body, which may take as long as something comes of it. That it was
// cut off says more than what is wrong with the line at its end.
func (s *Server) importLines(r *http.Request, stream string) (wire.Imported, error) {
	paced, ok := r.Body.(*pacedBody)
	if ok {
		paced.wait(s.importPatience)
	}
	done, err := s.appender.Import(r.Context(), stream, r.Body)
	if ok && errors.Is(paced.err, errSlowBody) {
		err = paced.err
	}
	return done, err
}
