package wire

import (
	"encoding/json"
	"errors"
	"time"
	"unicode/utf8"

	"gnomon/engine"
	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// Letter is an event that was set aside. In JSON a key that is UTF-8 is "key", other
// bytes are "key_b64", and an event without a key has neither; data that is JSON is
// "data", other bytes are "data_b64".
type Letter struct {
	Sequence uint64
	Status   state.LetterStatus
	Key      []byte
	Subject  string
	Time     time.Time // when the stream stored the event
	SetAside time.Time // when it was set aside, or last tried
	Error    string    // of the last try; empty for one that was never tried
	Module   string    // SHA-256 of the module that failed
	Attempts int
	Fuel     uint64 // that it used until it failed; 0: not metered
	Headers  map[string][]string
	Data     []byte
}

// LetterOf unpacks a letter. It fails when its event is damaged.
func LetterOf(l state.Letter) (Letter, error) {
	e, _, err := abi.Next(l.Event)
	if err != nil {
		return Letter{}, errors.Join(state.ErrCorrupt, err)
	}
	headers, err := headersOf(e.Headers)
	if err != nil {
		return Letter{}, err
	}
	return Letter{
		Sequence: l.Sequence, Status: l.Status, Key: l.Key, Subject: string(e.Subject), Time: time.Unix(0, e.TimeNs).UTC(),
		SetAside: l.Time, Error: l.Error, Module: l.Module, Attempts: l.Attempts, Fuel: l.Fuel, Headers: headers, Data: e.Data,
	}, nil
}

type letterJSON struct {
	Sequence uint64              `json:"seq"`
	Status   state.LetterStatus  `json:"status"`
	Key      *string             `json:"key,omitempty"`
	KeyB64   []byte              `json:"key_b64,omitempty"`
	Subject  string              `json:"subject"`
	Time     time.Time           `json:"time"`
	SetAside time.Time           `json:"set_aside_at"`
	Error    string              `json:"error,omitempty"`
	Module   string              `json:"module,omitempty"`
	Attempts int                 `json:"attempts"`
	Fuel     uint64              `json:"fuel,omitempty"`
	Headers  map[string][]string `json:"headers,omitempty"`
	Data     json.RawMessage     `json:"data,omitempty"`
	DataB64  *[]byte             `json:"data_b64,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (l Letter) MarshalJSON() ([]byte, error) {
	f := letterJSON{
		Sequence: l.Sequence, Status: l.Status, Subject: l.Subject, Time: l.Time, SetAside: l.SetAside,
		Error: l.Error, Module: l.Module, Attempts: l.Attempts, Fuel: l.Fuel, Headers: l.Headers,
	}
	switch {
	case len(l.Key) == 0:
	case utf8.Valid(l.Key):
		s := string(l.Key)
		f.Key = &s
	default:
		f.KeyB64 = l.Key
	}
	if IsJSON(l.Data) {
		f.Data = l.Data
	} else {
		data := append([]byte{}, l.Data...)
		f.DataB64 = &data
	}
	return Marshal(f)
}

// UnmarshalJSON implements json.Unmarshaler.
func (l *Letter) UnmarshalJSON(b []byte) error {
	var f letterJSON
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	*l = Letter{
		Sequence: f.Sequence, Status: f.Status, Key: f.KeyB64, Subject: f.Subject, Time: f.Time, SetAside: f.SetAside,
		Error: f.Error, Module: f.Module, Attempts: f.Attempts, Fuel: f.Fuel, Headers: f.Headers, Data: f.Data,
	}
	if f.Key != nil {
		l.Key = []byte(*f.Key)
	}
	if f.DataB64 != nil {
		l.Data = *f.DataB64
	}
	return nil
}

// Letters is a page of events that were set aside, by sequence. Next is the sequence to
// ask for more after; 0: there is no more.
type Letters struct {
	Projection string   `json:"projection"`
	Items      []Letter `json:"items"`
	Next       uint64   `json:"next,omitempty"`
	Reflected
}

// MakeLetters makes a page.
func MakeLetters(projection string, items []Letter, next uint64, at AsOf) Letters {
	return Letters{Projection: projection, Items: items, Next: next, Reflected: at.Reflected()}
}

// Order says which of the events that were set aside something is to be done with:
// exactly one of its fields is set.
type Order struct {
	Sequence *uint64 `json:"seq,omitempty"`
	Key      *string `json:"key,omitempty"`
	KeyB64   []byte  `json:"key_b64,omitempty"`
	All      bool    `json:"all,omitempty"`
}

// OrderOf is the order about some letters; the zero value: about all.
func OrderOf(l engine.Letters) Order {
	switch {
	case l.Sequence != 0:
		return Order{Sequence: &l.Sequence}
	case len(l.Key) == 0:
		return Order{All: true}
	case utf8.Valid(l.Key):
		key := string(l.Key)
		return Order{Key: &key}
	}
	return Order{KeyB64: l.Key}
}

// errOrder says what an order has to be.
var errOrder = errors.New(`exactly one is needed of {"seq":N}, {"key":"…"}, {"key_b64":"…"} and {"all":true}`)

// Letters returns what the order is about. It fails when that is not one thing.
func (o Order) Letters() (engine.Letters, error) {
	var l engine.Letters
	n := 0
	if o.Sequence != nil {
		l.Sequence = *o.Sequence
		n++
	}
	if o.Key != nil {
		l.Key = []byte(*o.Key)
		n++
	}
	if o.KeyB64 != nil {
		l.Key = o.KeyB64
		n++
	}
	if o.All {
		n++
	}
	switch {
	case n != 1:
		return l, errOrder
	case o.All || l.Sequence != 0 || len(l.Key) > 0:
		return l, nil
	case o.Sequence != nil:
		return l, errors.New("seq is 0: sequences begin at 1")
	}
	return l, errors.New("the key is empty: events without a key are named by their seq")
}

// Export asks for the bundle of one event.
type Export struct {
	Sequence uint64 `json:"seq"`
}
