package importer_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"gnomon/engine/importer"
	"gnomon/sdk/abi"
)

// An event that was recorded comes back from its line as it was: sequence, time, headers in
// their order, and data byte for byte. Its id is one that import can tell it by.
func FuzzRecorded(f *testing.F) {
	f.Add(uint64(7), int64(1_700_000_000_123_456_789), "a.b", "ce-type", "paid", "Nats-Msg-Id", "17", []byte(`{"a": 1.0}`))
	f.Add(uint64(1), int64(0), "a", "x", "<é>", "x", "", []byte("\x00\xff"))
	f.Add(uint64(1<<63), int64(1), "a", "A", "1", "B", "2", []byte("{\n}"))
	f.Fuzz(func(t *testing.T, sequence uint64, ns int64, subject, name, value, other, more string, data []byte) {
		r := abi.Record{Sequence: sequence, TimeNs: ns, Subject: []byte(subject), Data: data}
		r.Headers, _ = abi.AppendHeader(nil, name, value)
		r.Headers, _ = abi.AppendHeader(r.Headers, other, more)
		e, err := importer.RecordedEvent(r)
		if err != nil || e.ID == "" {
			t.Fatalf("%+v, %v", e, err)
		}
		line, err := e.JSONLine()
		if err != nil || bytes.ContainsAny(line, "\n") {
			t.Skip() // a year that JSON does not have, or a text that is no UTF-8
		}
		back, err := importer.Parse(line)
		if err != nil {
			return // of a header, a subject or a sequence that no stream has
		}
		if len(data) == 0 {
			e.Data, back.Data = nil, nil
		}
		if !reflect.DeepEqual(back, e) {
			t.Errorf("%s\nis %+v %+v\nwant %+v %+v", line, back, back.Recorded, e, e.Recorded)
		}
	})
}

// A line that is half recorded is refused with what is missing, or too much.
func TestBadRecorded(t *testing.T) {
	for line, want := range map[string]string{
		`{"seq":1,"subject":"a","headers":[]}`:                                                       `"seq", "stored" and "headers" belong together`,
		`{"seq":1,"stored":"2026-01-01T00:00:00Z","headers":[]}`:                                     `"subject" is missing or empty`,
		`{"seq":1,"stored":"2026-01-01T00:00:00Z","subject":"a","headers":[],"id":"1"}`:              `leave them out`,
		`{"seq":1,"stored":"2026-01-01T00:00:00Z","subject":"a","headers":[["a"]]}`:                  `it must be [NAME,VALUE]`,
		`{"seq":1,"stored":"2026-01-01T00:00:00Z","subject":"a","headers":[["a","b\nc"]]}`:           `line breaks`,
		`{"seq":1,"stored":"2026-01-01T00:00:00Z","subject":"a b","headers":[]}`:                     `subject`,
		`{"seq":1,"stored":"2026-01-01T00:00:00Z","subject":"a","headers":[],"data_base64":"!"}`:     `data_base64`,
		`{"seq":-1,"stored":"2026-01-01T00:00:00Z","subject":"a","headers":[],"data_base64":"YQ=="}`: `"seq"`,
	} {
		if _, err := importer.Parse([]byte(line)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", line, err, want)
		}
	}
}
