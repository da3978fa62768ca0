package importer

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"gnomon/engine/streams"
)

// Event is an event to append, with the attributes of CloudEvents.
type Event struct {
	Subject string
	ID      string
	Type    string
	Time    string // RFC 3339, as it was written
	Source  string
	Data    []byte
	Line    int // of its file, from 1; 0 when it is of none

	Recorded *Recorded // what is known of an event that was recorded from a stream; nil: nothing
}

// Recorded is what a stream says of an event, beside its subject and its data. ID, Type, Time
// and Source of the event are then those of its headers, if they are there.
type Recorded struct {
	Sequence uint64
	Stored   time.Time
	Headers  [][2]string // all of them, in order
}

// DefaultSource is the source of events that name none.
const DefaultSource = "gnomon/import"

// line is the form of an event in a file.
type line struct {
	Subject    string          `json:"subject"`
	ID         string          `json:"id"`
	Type       string          `json:"type"`
	Time       string          `json:"time"`
	Source     string          `json:"source"`
	Data       json.RawMessage `json:"data"`
	DataBase64 *string         `json:"data_base64"`

	// Of events that were recorded.
	Sequence uint64     `json:"seq"`
	Stored   *time.Time `json:"stored"`
	Headers  [][]string `json:"headers"`
}

// Parse reads one event. Subject, id, type and time are required; data is any JSON
// and is kept byte for byte; data_base64 stands for bytes of any kind.
func Parse(text []byte) (Event, error) {
	if !utf8.Valid(text) {
		return Event{}, errors.New("not valid UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var l line
	if err := d.Decode(&l); err != nil {
		return Event{}, fmt.Errorf("not an event: %w", decodeError(err))
	}
	if _, err := d.Token(); err != io.EOF {
		return Event{}, errors.New("more than one JSON value on the line")
	}
	return l.event()
}

// decodeError says what JSON type was wrong where, without the names of Go's types.
func decodeError(err error) error {
	var wrong *json.UnmarshalTypeError
	switch {
	case !errors.As(err, &wrong):
		return err
	case wrong.Field == "":
		return fmt.Errorf("a JSON %s instead of an object", wrong.Value)
	}
	return fmt.Errorf("%q is a JSON %s instead of a string", wrong.Field, wrong.Value)
}

func (l line) event() (Event, error) {
	if l.Headers != nil || l.Stored != nil || l.Sequence != 0 {
		return l.recorded()
	}
	e := Event{Subject: l.Subject, ID: l.ID, Type: l.Type, Time: l.Time, Source: l.Source, Data: l.Data}
	if e.Source == "" {
		e.Source = DefaultSource
	}
	for _, f := range []struct{ name, value string }{{"subject", l.Subject}, {"id", l.ID}, {"type", l.Type}, {"time", l.Time}} {
		if f.value == "" {
			return e, fmt.Errorf("%q is missing or empty", f.name)
		}
	}
	if err := streams.CheckSubject(l.Subject); err != nil {
		return e, err
	}
	if _, err := time.Parse(time.RFC3339, l.Time); err != nil {
		return e, fmt.Errorf("time %q is not RFC 3339, such as 2026-01-31T12:00:00Z", l.Time)
	}
	for _, f := range []struct{ name, value string }{{"id", e.ID}, {"type", e.Type}, {"source", e.Source}} {
		if !HeaderValue(f.value) {
			return e, fmt.Errorf("%s %.80q cannot be a header: it has line breaks, or spaces around it", f.name, f.value)
		}
	}
	var err error
	e.Data, err = l.data()
	return e, err
}

// data is the body of the event.
func (l line) data() ([]byte, error) {
	if l.DataBase64 == nil {
		return l.Data, nil
	}
	if l.Data != nil {
		return nil, errors.New("data and data_base64 are both given")
	}
	b, err := base64.StdEncoding.DecodeString(*l.DataBase64)
	if err != nil {
		return nil, fmt.Errorf("data_base64: %w", err)
	}
	return b, nil
}

// HeaderValue reports whether a text arrives as it is when it is sent as a header.
func HeaderValue(s string) bool {
	return !bytes.ContainsAny([]byte(s), "\r\n\x00") && s == string(bytes.TrimSpace([]byte(s)))
}

// Headers are the event's attributes as headers: those of CloudEvents in binary
// mode, and the id by which the server drops duplicates.
func (e Event) Headers() map[string][]string {
	if e.Recorded != nil {
		all := map[string][]string{}
		for _, h := range e.Recorded.Headers {
			all[h[0]] = append(all[h[0]], h[1])
		}
		return all
	}
	return map[string][]string{
		"ce-id": {e.ID}, "ce-type": {e.Type}, "ce-time": {e.Time}, "ce-source": {e.Source}, "ce-specversion": {"1.0"},
		idHeader: {e.ID},
	}
}

const idHeader = "Nats-Msg-Id"
