package wire

import (
	"encoding/json"
	"time"
	"unicode/utf8"

	"gnomon/engine"
)

// Explanation says how a key came to its value: its changes, newest first.
type Explanation struct {
	Projection string
	Key        []byte
	engine.Explanation
}

type explanationJSON struct {
	Projection string       `json:"projection"`
	Key        *string      `json:"key,omitempty"`
	KeyB64     []byte       `json:"key_b64,omitempty"`
	AsOfSeq    uint64       `json:"as_of_seq"`
	Changes    []changeJSON `json:"changes"`
	Oldest     uint64       `json:"oldest_seq"`      // every change after it is among them
	Ended      string       `json:"ended,omitempty"` // why it goes no further back
}

type changeJSON struct {
	Cause     engine.Cause    `json:"cause"`
	Sequence  uint64          `json:"seq"`
	First     uint64          `json:"first_seq,omitempty"`
	Time      *time.Time      `json:"time,omitempty"`
	Subject   string          `json:"subject,omitempty"`
	Module    string          `json:"module,omitempty"`
	Before    json.RawMessage `json:"before,omitempty"`
	BeforeB64 *[]byte         `json:"before_b64,omitempty"`
	After     json.RawMessage `json:"after,omitempty"`
	AfterB64  *[]byte         `json:"after_b64,omitempty"`
}

// MarshalJSON implements json.Marshaler. A value that is absent has no member.
func (x Explanation) MarshalJSON() ([]byte, error) {
	f := explanationJSON{Projection: x.Projection, AsOfSeq: x.Sequence, Changes: []changeJSON{}, Oldest: x.Oldest, Ended: x.Ended}
	if utf8.Valid(x.Key) {
		s := string(x.Key)
		f.Key = &s
	} else {
		f.KeyB64 = x.Key
	}
	for _, c := range x.Changes {
		j := changeJSON{Cause: c.Cause, Sequence: c.Sequence, First: c.First, Subject: c.Subject, Module: c.Module}
		if !c.Time.IsZero() {
			j.Time = &c.Time
		}
		j.Before, j.BeforeB64 = valueForm(c.Before)
		j.After, j.AfterB64 = valueForm(c.After)
		f.Changes = append(f.Changes, j)
	}
	return Marshal(f)
}

// valueForm is a value as it is printed: JSON, or bytes; neither when it is absent.
func valueForm(value []byte) (json.RawMessage, *[]byte) {
	switch {
	case value == nil:
		return nil, nil
	case IsJSON(value):
		return value, nil
	}
	return nil, &value
}

// UnmarshalJSON implements json.Unmarshaler.
func (x *Explanation) UnmarshalJSON(b []byte) error {
	var f explanationJSON
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	*x = Explanation{Projection: f.Projection, Key: f.KeyB64}
	if f.Key != nil {
		x.Key = []byte(*f.Key)
	}
	x.Sequence, x.Oldest, x.Ended = f.AsOfSeq, f.Oldest, f.Ended
	for _, j := range f.Changes {
		c := engine.KeyChange{Cause: j.Cause, Sequence: j.Sequence, First: j.First, Subject: j.Subject, Module: j.Module, Before: j.Before, After: j.After}
		if j.Time != nil {
			c.Time = *j.Time
		}
		if j.BeforeB64 != nil {
			c.Before = *j.BeforeB64
		}
		if j.AfterB64 != nil {
			c.After = *j.AfterB64
		}
		x.Changes = append(x.Changes, c)
	}
	return nil
}
