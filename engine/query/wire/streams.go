package wire

import (
	"encoding/json"
	"errors"
	"time"

	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// Streams are those that projections read.
type Streams struct {
	Streams []StreamOf `json:"streams"`
}

// StreamOf is a stream with the projections that read it, of those that who asks may read.
type StreamOf struct {
	Stream      string   `json:"stream"`
	Last        uint64   `json:"last_seq"` // as the projections have seen it
	Projections []string `json:"projections"`
}

// Events is a stretch of a stream, in its order: every event that was asked for from a
// sequence through another. From is after Through when there is none in that direction.
type Events struct {
	From    uint64  `json:"from_seq"`             // more is before it
	Through uint64  `json:"through_seq"`          // more is after it
	Around  uint64  `json:"around_seq,omitempty"` // the sequence that was asked for, or that of the time
	Events  []Event `json:"events"`
}

// Event is an event of a stream. In JSON data that is JSON is "data", other bytes are
// "data_b64".
type Event struct {
	Sequence uint64
	Subject  string
	StoredAt time.Time
	Headers  map[string][]string
	Data     []byte
}

type eventJSON struct {
	Sequence uint64              `json:"seq"`
	Subject  string              `json:"subject"`
	StoredAt time.Time           `json:"stored_at"`
	Headers  map[string][]string `json:"headers,omitempty"`
	Data     json.RawMessage     `json:"data,omitempty"`
	DataB64  *[]byte             `json:"data_b64,omitempty"`
}

// EventOf unpacks a record. It fails when its headers are damaged.
func EventOf(e abi.Record) (Event, error) {
	headers, err := headersOf(e.Headers)
	return Event{Sequence: e.Sequence, Subject: string(e.Subject), StoredAt: time.Unix(0, e.TimeNs).UTC(), Headers: headers, Data: e.Data}, err
}

// headersOf unpacks the headers of a record.
func headersOf(packed []byte) (map[string][]string, error) {
	all := map[string][]string{}
	for len(packed) > 0 {
		name, value, rest, err := abi.NextHeader(packed)
		if err != nil {
			return nil, errors.Join(state.ErrCorrupt, err)
		}
		all[string(name)] = append(all[string(name)], string(value))
		packed = rest
	}
	return all, nil
}

// MarshalJSON implements json.Marshaler.
func (e Event) MarshalJSON() ([]byte, error) {
	f := eventJSON{Sequence: e.Sequence, Subject: e.Subject, StoredAt: e.StoredAt, Headers: e.Headers}
	if IsJSON(e.Data) {
		f.Data = e.Data
	} else {
		data := append([]byte{}, e.Data...)
		f.DataB64 = &data
	}
	return Marshal(f)
}

// UnmarshalJSON implements json.Unmarshaler.
func (e *Event) UnmarshalJSON(b []byte) error {
	var f eventJSON
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	*e = Event{Sequence: f.Sequence, Subject: f.Subject, StoredAt: f.StoredAt, Headers: f.Headers, Data: f.Data}
	if f.DataB64 != nil {
		e.Data = *f.DataB64
	}
	return nil
}
