// Package wire holds the forms in which state is printed: by the server, and by
// the commands that read a data directory themselves.
package wire

import (
	"bytes"
	"encoding/json"
	"time"
	"unicode/utf8"

	"gnomon/engine"
	"gnomon/engine/catalog"
	"gnomon/engine/state"
)

// Get is the answer for one key.
type Get struct {
	Projection string
	Row
	AsOf
}

// AsOf says what an answer reflects.
type AsOf struct {
	Sequence uint64
	Time     time.Time // of the last event; zero when there was none
	*Standing
}

// Standing says of whom an answer is, and how that stands to its stream. Answers of a
// running engine have one; what is read from files has none.
type Standing struct {
	Generation string             `json:"generation"`
	State      engine.RunnerState `json:"state"`     // the engine's own word for it
	Freshness  engine.Freshness   `json:"freshness"` // live, behind or stale
	Behind     uint64             `json:"behind"`    // sequences that the stream is known to hold beyond the answer's
}

// Of returns what a checkpoint reflects.
func Of(c state.Checkpoint) AsOf {
	return AsOf{Sequence: c.Position.Sequence, Time: c.Position.Time}
}

// OfReading returns what a reading reflects.
func OfReading(r *engine.Reading) AsOf {
	at := Of(r.Checkpoint)
	at.Standing = &Standing{Generation: r.Generation, State: r.State, Freshness: r.State.Freshness(), Behind: r.Behind}
	return at
}

// Reflected is what an answer reflects, in JSON.
type Reflected struct {
	AsOfSeq  uint64     `json:"as_of_seq"`
	AsOfTime *time.Time `json:"as_of_time"` // null: there was no event
	*Standing
}

// Reflected returns the form in JSON.
func (a AsOf) Reflected() Reflected {
	return Reflected{AsOfSeq: a.Sequence, AsOfTime: timeOrNil(a.Time), Standing: a.Standing}
}

// AsOf returns what the form says.
func (r Reflected) AsOf() AsOf {
	a := AsOf{Sequence: r.AsOfSeq, Standing: r.Standing}
	if r.AsOfTime != nil {
		a.Time = *r.AsOfTime
	}
	return a
}

// Row is a key with its value. In JSON a key that is UTF-8 is "key", other bytes
// are "key_b64"; a value that is JSON is "value", other bytes are "value_b64".
type Row struct {
	Key, Value []byte
}

type rowJSON struct {
	Key      *string         `json:"key,omitempty"`
	KeyB64   []byte          `json:"key_b64,omitempty"`
	Value    json.RawMessage `json:"value,omitempty"`
	ValueB64 *[]byte         `json:"value_b64,omitempty"`
}

func (r Row) form() rowJSON {
	var f rowJSON
	if utf8.Valid(r.Key) {
		s := string(r.Key)
		f.Key = &s
	} else {
		f.KeyB64 = r.Key
	}
	if IsJSON(r.Value) {
		f.Value = r.Value
	} else {
		value := r.Value
		if value == nil {
			value = []byte{}
		}
		f.ValueB64 = &value
	}
	return f
}

// IsJSON reports whether bytes are printed as JSON: one valid value, in UTF-8.
func IsJSON(b []byte) bool { return utf8.Valid(b) && json.Valid(b) }

// MarshalJSON implements json.Marshaler.
func (r Row) MarshalJSON() ([]byte, error) { return Marshal(r.form()) }

// UnmarshalJSON implements json.Unmarshaler.
func (r *Row) UnmarshalJSON(b []byte) error {
	var f rowJSON
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	r.Key, r.Value = f.KeyB64, f.Value
	if f.Key != nil {
		r.Key = []byte(*f.Key)
	}
	if f.ValueB64 != nil {
		r.Value = *f.ValueB64
	}
	return nil
}

type getJSON struct {
	Projection string `json:"projection"`
	rowJSON
	Reflected
}

// MarshalJSON implements json.Marshaler.
func (g Get) MarshalJSON() ([]byte, error) {
	return Marshal(getJSON{g.Projection, g.form(), g.Reflected()})
}

// UnmarshalJSON implements json.Unmarshaler.
func (g *Get) UnmarshalJSON(b []byte) error {
	var f getJSON
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	g.Projection, g.AsOf = f.Projection, f.AsOf()
	return json.Unmarshal(b, &g.Row)
}

// Answer is what a module answered to a query. In JSON one that is JSON is "answer", other
// bytes are "answer_b64".
type Answer struct {
	Projection string
	Body       []byte
	AsOf
}

// MarshalJSON implements json.Marshaler.
func (a Answer) MarshalJSON() ([]byte, error) {
	form := Row{Value: a.Body}.form()
	return Marshal(struct {
		Projection string          `json:"projection"`
		Answer     json.RawMessage `json:"answer,omitempty"`
		AnswerB64  *[]byte         `json:"answer_b64,omitempty"`
		Reflected
	}{a.Projection, form.Value, form.ValueB64, a.Reflected()})
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// Marshal is json.Marshal without escapes for HTML, so that a value is printed as
// it was stored.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Page is a page of keys, in key order. Next, or NextB64 when it is not UTF-8, is
// the key to ask for more after; without either there is no more.
type Page struct {
	Projection string  `json:"projection"`
	Items      []Row   `json:"items"`
	Next       *string `json:"next,omitempty"`
	NextB64    []byte  `json:"next_b64,omitempty"`
	Reflected
}

// MakePage makes a page; next is nil when there is no more.
func MakePage(projection string, items []Row, next []byte, at AsOf) Page {
	p := Page{Projection: projection, Items: items, Reflected: at.Reflected()}
	switch {
	case next == nil:
	case utf8.Valid(next):
		s := string(next)
		p.Next = &s
	default:
		p.NextB64 = next
	}
	return p
}

// After is the key to ask for more after; more is false when there is no more.
func (p *Page) After() (key []byte, more bool) { return afterOf(p.Next, p.NextB64) }

// afterOf is a key in one of its two forms.
func afterOf(text *string, b64 []byte) (key []byte, ok bool) {
	if text != nil {
		return []byte(*text), true
	}
	return b64, b64 != nil
}

// Projections is the status of all projections.
type Projections struct {
	Projections []engine.Status `json:"projections"`
	Engine      *Engine         `json:"engine,omitempty"` // nil: over NATS
}

// Engine is what an engine says of itself.
type Engine struct {
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	// Warnings are what is wrong though it serves, for who may do everything.
	Warnings []string `json:"warnings,omitempty"`
}

// Snapshots are the named snapshots of a projection.
type Snapshots struct {
	Snapshots []catalog.Snapshot `json:"snapshots"`
}

// NewSnapshot asks for a snapshot.
type NewSnapshot struct {
	Name string `json:"name"`
}

// Imported is what became of events that were appended as lines.
type Imported struct {
	Imported   int    `json:"imported"`
	Duplicates int    `json:"duplicates"`
	Last       uint64 `json:"last_seq"`
}

// Accept asks that a projection goes on though its stream changed.
type Accept struct {
	Reason string `json:"reason"` // the operator's words, which are kept
}

// Problem is an error, as application/problem+json (RFC 9457).
type Problem struct {
	Type   string `json:"type"` // always about:blank
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"` // stable
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitempty"`
	// For an import: the line that was refused, from 1, and what was done before it.
	Line int       `json:"line,omitempty"`
	Done *Imported `json:"done,omitempty"`
	// For a read: what it would have reflected.
	*Reflected
	// For an append whose expectation does not hold.
	*Conflict
}

func (p *Problem) Error() string { return p.Detail }

// SessionCookie is how the name of the cookie begins that a browser has for who logged in; the
// port follows.
const SessionCookie = "gnomon_session_"

// Codes of problems.
const (
	CodeNoProjection    = "no-such-projection"
	CodeNoStream        = "no-such-stream"
	CodeNoKey           = "no-such-key"
	CodeNotReached      = "not-reached"
	CodeNotKept         = "history-not-kept"
	CodeEventsGone      = "events-gone"
	CodeNotRepeatable   = "not-repeatable"
	CodeReplayLimit     = "replay-too-large"
	CodeHistoryChanged  = "history-changed"
	CodeNoLetter        = "no-such-letter"
	CodeNoQuery         = "no-query"
	CodeQueryRefused    = "query-refused"
	CodeQueryFailed     = "query-failed"
	CodeNoGeneration    = "no-generation"
	CodeOtherGeneration = "other-generation"
	CodeBehind          = "behind"
	CodeUnpublished     = "unpublished"
	CodeIncomparable    = "incomparable"
	CodeDeclared        = "declared"
	CodeStopped         = "stopped"
	CodeNothingToAccept = "nothing-to-accept"
	CodeNotAcceptable   = "not-acceptable"
	CodeModuleChanged   = "module-changed"
	CodeNotReady        = "not-ready"
	CodeBadRequest      = "bad-request"
	CodeNotAvailable    = "not-available"
	CodeUnauthorized    = "unauthorized"
	CodeNATSPermission  = "nats-permission"
	CodeForbidden       = "forbidden"
	CodeForbiddenHost   = "forbidden-host"
	CodeCrossOrigin     = "cross-origin"
	CodeTooLarge        = "too-large"
	CodeSlowBody        = "slow-body"
	CodeBusy            = "busy"
	CodeNotFound        = "not-found"
	CodeBadMethod       = "method-not-allowed"
	CodeNoSnapshot      = "no-such-snapshot"
	CodeNotExportable   = "not-exportable"
	CodeSnapshotExists  = "snapshot-exists"
	CodeTooManyWatches  = "too-many-watches"
	CodeTooManySnapshot = "too-many-snapshots"
	CodeWrongSequence   = "wrong-last-sequence"
	CodeWrongStream     = "wrong-stream"
	CodeKnownID         = "known-id"
	CodeNotAtomic       = "not-atomic"
	CodeInDoubt         = "in-doubt"
	CodeCorrupt         = "corrupt"
	CodeInternal        = "internal"
)
