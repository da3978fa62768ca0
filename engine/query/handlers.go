package query

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"gnomon/engine"
	"gnomon/engine/catalog"
	"gnomon/engine/query/access"
	"gnomon/engine/query/wire"
)

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]string{"status": "ok"})
}

// ready says why not to those who may read all projections: the reasons name them.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	ok, reasons := s.engine.Ready()
	if !rightsOf(r).May(access.Read, "") {
		reasons = nil
	}
	status := http.StatusOK
	if !ok {
		status = http.StatusServiceUnavailable
	}
	body := map[string]any{"ready": ok, "reasons": append([]string{}, reasons...)}
	if warnings := s.warnings(r); len(warnings) > 0 {
		body["warnings"] = warnings
	}
	answer(w, status, body)
}

// pagesOrIndex shows a browser the dashboard, and others what there is.
func pagesOrIndex(pages http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept")
		if strings.Contains(r.Header.Get("Accept"), "text/html") {
			pages.ServeHTTP(w, r)
			return
		}
		index(w, r)
	}
}

func index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, `Gnomon: projections over NATS JetStream

GET  /, Accept: text/html                               the dashboard, for a browser
GET  /v1/projections                                    status of all projections
GET  /v1/projections/NAME                               status of one; Accept: text/event-stream: of these two, whenever it changes
GET  /v1/projections/NAME/state/KEY                     one key
GET  /v1/projections/NAME/state?prefix=&after=&limit=   keys in order; Accept: application/x-ndjson for all
     …?min_seq=&wait=, ?at=&replay=                     of these and of queries: as soon as it has an event; as of a sequence or a time
POST /v1/projections/NAME/query                         what its module answers to the body, bytes as the module wants them
GET  /v1/projections/NAME/watch?prefix=&from=           keys, then what changes, as server-sent events; Accept: application/x-ndjson: as lines
GET  /v1/projections/NAME/samples                       what it did in the last 10 minutes
GET  /v1/projections/NAME/snapshots                     named snapshots
POST /v1/projections/NAME/snapshots                     take one: {"name":"…"}
DELETE /v1/projections/NAME/snapshots/SNAPSHOT          give one up
GET  /v1/projections/NAME/snapshots/SNAPSHOT/export?since=   an archive of one, since another one; snapshots/export: of what is served now
POST /v1/projections/NAME/pause | resume | rebuild
POST /v1/projections/NAME/accept                        go on though its stream changed: {"reason":"…"}
GET  /v1/projections/NAME/diff?prefix=&limit=           what the candidate has otherwise than what is read, one key a line
POST /v1/projections/NAME/promote | rollback            read the candidate; go back to the one before: {"wait":"30s"}
GET  /v1/projections/NAME/explain?key=&at=&since=&limit=   which events changed a key, newest first, with its value before and after each
GET  /v1/projections/NAME/changes?from=&to=&replay=&prefix=&after=&limit=   which keys differ between two points, with their values at both
GET  /v1/projections/NAME/past                          from which sequence on its history can be read
GET  /v1/projections/NAME/history                       which module ran from when on, and why
GET  /v1/projections/NAME/module                        the module that it runs: what it is made of, its source, its bounds
GET  /v1/projections/NAME/log?after=&level=             what its module logged last; Accept: text/event-stream: and goes on
POST /v1/projections/NAME/remove                        one that is no longer declared, with its data
GET  /v1/projections/NAME/dead-letters?after=&limit=    events that failed and were set aside
POST /v1/projections/NAME/retry | skip | drop           some of them: {"seq":N}, {"key":"…"} or {"all":true}
POST /v1/projections/NAME/export                        a file to reproduce a failure with: {"seq":N}
GET  /v1/streams, /v1/streams/NAME                      the streams of the projections: sequences, times, sizes, settings
GET  /v1/streams/NAME/events?around=&limit=&subject=    its events around a sequence or a time; after= and before= for more
POST /v1/streams/NAME/events?show=data                  append an event, or several as one: {"events":[…]}; application/x-ndjson: import many
GET  /v1/log, PUT                                       from which level on the engine logs: {"level":"debug"}
PUT  /v1/modules/NAME?bucket=B                          deploy a module, a tar file as engine deploy makes it; DELETE removes it
GET  /v1/access?projection=&stream=                     what who asks may do
GET  /healthz, /readyz, /metrics
GET  /openapi.json                                      all of this, as OpenAPI 3.1
`)
}

func (s *Server) projections(w http.ResponseWriter, r *http.Request) {
	if _, ok := parameters(w, r); !ok {
		return
	}
	if followsStatus(w, r) {
		s.followAll(w, r)
		return
	}
	answer(w, http.StatusOK, s.all(r, s.engine.Projections()))
}

// all is what a client may read of the status of all projections.
func (s *Server) all(r *http.Request, all []engine.Status) wire.Projections {
	about := s.about
	about.Warnings = s.warnings(r)
	return wire.Projections{Projections: readable(r, all), Engine: &about}
}

// projection routes what is below /v1/projections/. The path is taken apart as it
// came, so that a key keeps its slashes, dots and any other bytes.
func (s *Server) projection(w http.ResponseWriter, r *http.Request) {
	rest := strings.TrimPrefix(r.URL.EscapedPath(), "/v1/projections/")
	escaped, below, _ := strings.Cut(rest, "/")
	name, err := url.PathUnescape(escaped)
	if err != nil {
		bad(w, "name of the projection: %v", err)
		return
	}
	verb, key, hasKey := strings.Cut(below, "/")
	if !whole(w, name, verb) {
		return
	}
	snapshot, exports := exportPath(key)
	switch {
	case verb == "state" && hasKey:
		s.get(w, r, name, key)
	case verb == "snapshots" && hasKey && exports && !(r.Method == http.MethodDelete && key == "export"): // one may be named so
		s.exportArchive(w, r, name, snapshot)
	case verb == "snapshots" && hasKey && key != "" && !strings.Contains(key, "/"):
		s.deleteSnapshot(w, r, name, key)
	case hasKey:
		problem(w, http.StatusNotFound, wire.CodeNotFound, "there is nothing at "+r.URL.Path, "see / for what there is")
	case verb == "":
		s.status(w, r, name)
	case verb == "state":
		s.scan(w, r, name)
	case verb == "query":
		s.ask(w, r, name)
	case verb == "watch":
		s.watch(w, r, name)
	case verb == "samples":
		s.samplesOf(w, r, name)
	case verb == "snapshots":
		s.snapshots(w, r, name)
	case verb == "pause":
		s.act(w, r, name, s.engine.Pause)
	case verb == "resume":
		s.act(w, r, name, s.engine.Resume)
	case verb == "rebuild":
		s.act(w, r, name, func(name string) error { return s.engine.Rebuild(r.Context(), name) })
	case verb == "promote":
		s.promote(w, r, name)
	case verb == "rollback":
		s.rollback(w, r, name)
	case verb == "diff":
		s.diff(w, r, name)
	case verb == "history":
		s.history(w, r, name)
	case verb == "changes":
		s.changes(w, r, name)
	case verb == "past":
		s.past(w, r, name)
	case verb == "explain":
		s.explain(w, r, name)
	case verb == "remove":
		s.remove(w, r, name)
	case verb == "accept":
		s.accept(w, r, name)
	case verb == "dead-letters":
		s.letters(w, r, name)
	case verb == "retry", verb == "skip", verb == "drop":
		s.order(w, r, name, engine.Verb(verb))
	case verb == "module":
		s.moduleCard(w, r, name)
	case verb == "log":
		s.guestLog(w, r, name)
	case verb == "export":
		s.export(w, r, name)
	default:
		problem(w, http.StatusNotFound, wire.CodeNotFound, "there is nothing at "+r.URL.Path, "see / for what there is")
	}
}

func (s *Server) status(w http.ResponseWriter, r *http.Request, name string) {
	if !allowed(w, r, http.MethodGet) {
		return
	}
	if _, ok := parameters(w, r); !ok {
		return
	}
	if followsStatus(w, r) {
		s.followOne(w, r, name)
		return
	}
	st, err := s.engine.Status(name)
	if err != nil {
		failed(w, err)
		return
	}
	answer(w, http.StatusOK, st)
}

func (s *Server) get(w http.ResponseWriter, r *http.Request, name, escapedKey string) {
	if !allowed(w, r, http.MethodGet) {
		return
	}
	q, ok := readParameters(w, r)
	if !ok {
		return
	}
	key, err := url.PathUnescape(escapedKey)
	if err != nil {
		bad(w, "key: %v", err)
		return
	}
	reading := s.reading(w, r, name, q, "")
	if reading == nil {
		return
	}
	at := wire.OfReading(reading)
	place, ok := s.take(w, r, s.gets)
	if !ok {
		reading.Close()
		return
	}
	defer place.shrink(0)
	value, ok, err := lookUp(reading, []byte(key))
	switch {
	case err != nil:
		failed(w, err)
	case !ok:
		p := makeProblem(http.StatusNotFound, wire.CodeNoKey, fmt.Sprintf("projection %s has no key %.200q as of %d", name, key, at.Sequence), "")
		reflected := at.Reflected()
		p.Reflected = &reflected
		writeProblem(w, p)
	default:
		place.sendMade(w, wire.Get{Projection: name, Row: wire.Row{Key: []byte(key), Value: value}, AsOf: at})
	}
}

// lookUp reads one key and closes the reading, which is not held while the client takes
// its answer.
func lookUp(reading *engine.Reading, key []byte) (value []byte, ok bool, err error) {
	defer reading.Close()
	return reading.Get(key)
}

func (s *Server) snapshots(w http.ResponseWriter, r *http.Request, name string) {
	if !allowed(w, r, http.MethodGet, http.MethodPost) {
		return
	}
	if _, ok := parameters(w, r); !ok {
		return
	}
	if r.Method != http.MethodPost {
		list, err := s.engine.Snapshots(name)
		if err != nil {
			failed(w, err)
			return
		}
		answer(w, http.StatusOK, wire.Snapshots{Snapshots: append([]catalog.Snapshot{}, list...)})
		return
	}
	var ask wire.NewSnapshot
	if !body(w, r, &ask) {
		return
	}
	snapshot, err := s.engine.CreateSnapshot(r.Context(), name, ask.Name)
	if err != nil {
		failed(w, err)
		return
	}
	answer(w, http.StatusCreated, snapshot)
}

// act answers a verb with the status after it. It needs no body, and takes an empty
// object.
func (s *Server) act(w http.ResponseWriter, r *http.Request, name string, verb func(string) error) {
	if !allowed(w, r, http.MethodPost) {
		return
	}
	if _, ok := parameters(w, r); !ok {
		return
	}
	if r.ContentLength != 0 && !body(w, r, &struct{}{}) {
		return
	}
	if err := verb(name); err != nil {
		failed(w, err)
		return
	}
	st, err := s.engine.Status(name)
	if err != nil {
		failed(w, err)
		return
	}
	answer(w, http.StatusOK, st)
}

// accept has a projection go on though its stream changed.
func (s *Server) accept(w http.ResponseWriter, r *http.Request, name string) {
	if !allowed(w, r, http.MethodPost) {
		return
	}
	if _, ok := parameters(w, r); !ok {
		return
	}
	var ask wire.Accept
	if !body(w, r, &ask) {
		return
	}
	if strings.TrimSpace(ask.Reason) == "" {
		bad(w, "reason is empty: say why it is right to go on; it is kept")
		return
	}
	done, err := s.engine.Accept(r.Context(), name, ask.Reason)
	if err != nil {
		failed(w, err)
		return
	}
	answer(w, http.StatusOK, done)
}

// errTrailing says that a body is more than one JSON value.
var errTrailing = errors.New("there is more after the JSON value (many events are sent as Content-Type: application/x-ndjson)")

// body reads a JSON body of at most maxBody bytes strictly.
func body(w http.ResponseWriter, r *http.Request, v any) bool {
	return bodyOf(w, r, maxBody, func(b io.Reader) error { return decode(b, v) })
}

// decode reads one JSON value, without fields that are not known.
func decode(b io.Reader, v any) error {
	d := json.NewDecoder(b)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	return trailing(d)
}

// bodyOf reads a body of at most so many bytes.
func bodyOf(w http.ResponseWriter, r *http.Request, most int64, read func(io.Reader) error) bool {
	err := read(http.MaxBytesReader(w, r.Body, most))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		problem(w, http.StatusRequestEntityTooLarge, wire.CodeTooLarge, fmt.Sprintf("the body has more than %d bytes", large.Limit), "")
	case errors.Is(err, errSlowBody):
		failed(w, err)
	case err != nil:
		bad(w, "body: %v", err)
	}
	return err == nil
}

func trailing(d *json.Decoder) error {
	var large *http.MaxBytesError
	switch _, err := d.Token(); {
	case errors.Is(err, io.EOF):
		return nil
	case errors.As(err, &large), errors.Is(err, errSlowBody):
		return err
	}
	return errTrailing
}
