package wire

import (
	"encoding/json"
	"time"
)

// NewEvent asks to append one event.
type NewEvent struct {
	Subject string          `json:"subject"`
	ID      string          `json:"id,omitempty"` // ce-id, and the message's unless MsgID is given
	MsgID   string          `json:"msg_id,omitempty"`
	Type    string          `json:"type,omitempty"`
	Time    string          `json:"time,omitempty"` // RFC 3339
	Source  string          `json:"source,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"`
	DataB64 []byte          `json:"data_b64,omitempty"`
	// ExpectLastSeq is the last sequence that the stream must have; 0: none.
	ExpectLastSeq *uint64 `json:"expect_last_seq,omitempty"`
	// ExpectLastSubjectSeq is the last sequence that the subject must have, or
	// ExpectSubject, which may have wildcards; 0: none.
	ExpectLastSubjectSeq *uint64 `json:"expect_last_subject_seq,omitempty"`
	ExpectSubject        string  `json:"expect_subject,omitempty"`
	// ExpectStream is the name of the stream that must store it; empty: any that is asked to.
	ExpectStream string `json:"expect_stream,omitempty"`

	// Trace is what the request that asks for it is traced by, and the event then is, too.
	Trace Trace `json:"-"`
}

// Trace is a W3C Trace Context: the headers traceparent and tracestate. Parent is empty when there
// is none.
type Trace struct{ Parent, State string }

// MessageID is the id by which the server tells a second one; empty: none.
func (e NewEvent) MessageID() string {
	if e.MsgID != "" {
		return e.MsgID
	}
	return e.ID
}

// NewEvents asks to append events as one: all of them or none.
type NewEvents struct {
	Events []NewEvent `json:"events"`
}

// MaxEvents is how many events are appended as one at most.
const MaxEvents = 1000

// Appended is where an event was stored, or the last one of several: a read with it as
// min_seq reflects them.
type Appended struct {
	Stream    string `json:"stream"`
	Sequence  uint64 `json:"seq"`
	First     uint64 `json:"first_seq,omitempty"` // of several; they follow each other
	Count     int    `json:"count,omitempty"`     // of several
	Duplicate bool   `json:"duplicate"`           // it was there already
}

// Conflict says what is there instead of what was expected.
type Conflict struct {
	Event          int     `json:"event,omitempty"`            // which of several events, from 1
	LastSeq        *uint64 `json:"last_seq,omitempty"`         // of the stream, if that was expected otherwise
	LastSubjectSeq *uint64 `json:"last_subject_seq,omitempty"` // of the subject, likewise; 0: it has no event
	Last           *Stored `json:"last_event,omitempty"`       // the one with that sequence, if it is there
}

// Stored is an event of a stream. Its data is there if it was asked for: data that is JSON
// as "data", other bytes as "data_b64".
type Stored struct {
	Sequence uint64          `json:"seq"`
	Subject  string          `json:"subject"`
	StoredAt time.Time       `json:"stored_at"`
	MsgID    string          `json:"msg_id,omitempty"`
	ID       string          `json:"id,omitempty"`
	Type     string          `json:"type,omitempty"`
	Time     string          `json:"time,omitempty"`
	Source   string          `json:"source,omitempty"`
	Data     json.RawMessage `json:"data,omitempty"`
	DataB64  []byte          `json:"data_b64,omitempty"`
}

// WithoutData is a conflict that shows which event is in the way, and not what it says.
func (c Conflict) WithoutData() *Conflict {
	if c.Last != nil {
		last := *c.Last
		last.Data, last.DataB64 = nil, nil
		c.Last = &last
	}
	return &c
}
