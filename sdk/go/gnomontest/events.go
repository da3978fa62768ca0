package gnomontest

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"testing"
	"time"

	"gnomon/sdk/abi"
)

// Event is an event of a log, as in a line of JSON Lines. It becomes a message as
// with engine import: Data is its body, the other fields are CloudEvents headers.
type Event struct {
	Subject string          `json:"subject"`
	ID      string          `json:"id"`
	Type    string          `json:"type"`
	Time    string          `json:"time"`   // RFC 3339
	Source  string          `json:"source"` // empty: gnomontest
	Data    json.RawMessage `json:"data"`   // need not be JSON in a test
	// DataBase64 is, in a line, data that is no JSON. It becomes Data.
	DataBase64 []byte `json:"data_base64"`

	Key      string    `json:"-"`      // what the configuration's key would say
	Sequence uint64    `json:"seq"`    // 0: one more than the event before, from 1
	Stored   time.Time `json:"stored"` // zero: long after any Time, so that a mistake shows
	// Headers are all of an event that was recorded (engine record), instead of ID, Type,
	// Time and Source; nil: it was not.
	Headers [][2]string `json:"headers"`
}

// ReadLog reads a log of JSON Lines, which may be compressed with gzip.
func ReadLog(t testing.TB, path string) []Event {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	events, err := ParseLog(f)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return events
}

// ParseLog reads a log of JSON Lines, which may be compressed with gzip. Empty lines
// are left out; an error names the line.
func ParseLog(r io.Reader) ([]Event, error) {
	lines := bufio.NewReaderSize(r, 1<<20)
	if magic, _ := lines.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(lines)
		if err != nil {
			return nil, fmt.Errorf("open gzip: %w", err)
		}
		lines = bufio.NewReaderSize(z, 1<<20)
	}
	var events []Event
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if line = bytes.TrimSpace(line); len(line) > 0 {
			var e Event
			if err := json.Unmarshal(line, &e); err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
			if e.DataBase64 != nil {
				e.Data, e.DataBase64 = e.DataBase64, nil
			}
			events = append(events, e)
		}
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read line %d: %w", n, err)
		}
	}
}

// storedFirst is when the event with sequence 0 would have been stored.
var storedFirst = time.Date(2100, time.January, 1, 0, 0, 0, 0, time.UTC)

// record appends the event to a batch.
func (e *Event) record(batch []byte, sequence uint64) ([]byte, error) {
	stored := e.Stored
	if stored.IsZero() {
		stored = storedFirst.Add(time.Duration(sequence) * time.Second)
	}
	headers, err := e.headers()
	if err != nil {
		return nil, fmt.Errorf("event %q: %w", e.Subject, err)
	}
	r := abi.Record{
		Sequence: sequence, TimeNs: stored.UnixNano(),
		Subject: []byte(e.Subject), Headers: headers, Data: e.Data, Key: []byte(e.Key),
	}
	return r.Append(batch), nil
}

// headers encodes the headers, ordered by name.
func (e *Event) headers() ([]byte, error) {
	if e.Headers != nil {
		return appendAll(e.Headers)
	}
	return appendAll([][2]string{
		{"Nats-Msg-Id", e.ID},
		{"ce-id", e.ID},
		{"ce-source", cmp.Or(e.Source, "gnomontest")},
		{"ce-specversion", "1.0"},
		{"ce-time", e.Time},
		{"ce-type", e.Type},
	}, "")
}

// appendAll encodes headers but those whose value is to be left out.
func appendAll(headers [][2]string, without ...string) (encoded []byte, err error) {
	for _, h := range headers {
		if slices.Contains(without, h[1]) {
			continue
		}
		var ok bool
		if encoded, ok = abi.AppendHeader(encoded, h[0], h[1]); !ok {
			return nil, fmt.Errorf("header %s is longer than 65535 bytes", h[0])
		}
	}
	return encoded, nil
}
