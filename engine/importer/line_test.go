package importer_test

import (
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"gnomon/engine/importer"
)

// good is a line to vary.
const good = `{"subject":"s.a","id":"1","type":"T","time":"2026-01-31T12:00:00Z"`

// A line becomes an event with its data byte for byte: numbers, spaces, escapes and
// the order of fields stay as they are written.
func TestParse(t *testing.T) {
	event := func(change func(*importer.Event)) importer.Event {
		e := importer.Event{Subject: "s.a", ID: "1", Type: "T", Time: "2026-01-31T12:00:00Z", Source: importer.DefaultSource}
		change(&e)
		return e
	}
	data := func(s string) importer.Event { return event(func(e *importer.Event) { e.Data = []byte(s) }) }
	tests := []struct {
		name, line string
		want       importer.Event
	}{
		{"no data", good + `}`, event(func(*importer.Event) {})},
		{"source", good + `,"source":"elsewhere"}`, event(func(e *importer.Event) { e.Source = "elsewhere" })},
		{"large numbers", good + `,"data":{"n":12345678901234567890,"f":1.10,"e":1E400}}`, data(`{"n":12345678901234567890,"f":1.10,"e":1E400}`)},
		{"spaces and order", good + `,"data": { "b" : 1, "a":[ 1 ,2 ] } }`, data(`{ "b" : 1, "a":[ 1 ,2 ] }`)},
		{"escapes", good + `,"data":"\u00e9\/ é"}`, data(`"\u00e9\/ é"`)},
		{"null", good + `,"data":null}`, data(`null`)},
		{"any bytes", good + `,"data_base64":"AP8NCg=="}`, data("\x00\xff\r\n")},
		{"no bytes", good + `,"data_base64":""}`, data("")},
		{"time with offset and fraction", strings.Replace(good, "12:00:00Z", "12:00:00.123456789+02:00", 1) + `}`,
			event(func(e *importer.Event) { e.Time = "2026-01-31T12:00:00.123456789+02:00" })},
		{"space around", " \t" + good + "} \t", event(func(*importer.Event) {})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := importer.Parse([]byte(tt.line))
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%s\nis  %+v, %v\nnot %+v", tt.line, got, err, tt.want)
			}
		})
	}
}

// A line that is no event is refused with the reason.
func TestParseRefuses(t *testing.T) {
	with := func(old, new string) string { return strings.Replace(good, old, new, 1) + `}` }
	tests := []struct{ name, line, says string }{
		{"not JSON", `hello`, "not an event"},
		{"cut off", good, "not an event"},
		{"another value", `[1]`, "not an event"},
		{"two events", good + `}` + good + `}`, "more than one JSON value"},
		{"a brace too many", good + `}}`, "more than one JSON value"},
		{"a bracket too many", good + `}]`, "more than one JSON value"},
		{"unknown field", good + `,"dta":1}`, `"dta"`},
		{"field of another type", with(`"id":"1"`, `"id":1`), "id"},
		{"not UTF-8", with("T", "\xff"), "UTF-8"},
		{"no subject", with(`"subject":"s.a",`, ``), `"subject" is missing`},
		{"no id", with(`"id":"1",`, ``), `"id" is missing`},
		{"empty type", with(`"T"`, `""`), `"type" is missing`},
		{"no time", with(`,"time":"2026-01-31T12:00:00Z"`, ``), `"time" is missing`},
		{"nothing", `{}`, `"subject" is missing`},
		{"null", `null`, `"subject" is missing`},
		{"time without zone", with("00Z", "00"), "RFC 3339"},
		{"time that is none", with("01-31", "02-30"), "RFC 3339"},
		{"empty token", with("s.a", "s..a"), "empty token"},
		{"wildcard", with("s.a", "s.*"), "wildcard"},
		{"white space in the subject", with("s.a", "s a"), "white space"},
		{"line break in the id", with(`"1"`, `"1\n2"`), "id"},
		{"space around the type", with(`"T"`, `" T"`), "type"},
		{"zero byte in the source", good + `,"source":"\u0000"}`, "source"},
		{"both kinds of data", good + `,"data":1,"data_base64":"AA=="}`, "both"},
		{"bad base64", good + `,"data_base64":"A"}`, "data_base64"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, err := importer.Parse([]byte(tt.line))
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%s\nis %+v, %v; want an error with %q", tt.line, e, err, tt.says)
			}
		})
	}
}

// The attributes become headers of CloudEvents, and the id is also the one by which
// the server drops duplicates.
func TestHeaders(t *testing.T) {
	e := importer.Event{Subject: "s", ID: "1", Type: "T", Time: "2026-01-31T12:00:00Z", Source: "elsewhere"}
	want := map[string][]string{
		"Nats-Msg-Id": {"1"}, "ce-id": {"1"}, "ce-type": {"T"}, "ce-time": {"2026-01-31T12:00:00Z"},
		"ce-source": {"elsewhere"}, "ce-specversion": {"1.0"},
	}
	if got := e.Headers(); !reflect.DeepEqual(got, want) {
		t.Errorf("headers are %v, want %v", got, want)
	}
}

// Parsing never panics, and an event that is accepted is the same one when it is
// written as a line and read again.
func FuzzParse(f *testing.F) {
	for _, rest := range []string{`}`, `,"data":{"n":1.10}}`, `,"data_base64":"AP8="}`, `,"source":"x"}`, `}}`, `,"data":null} `} {
		f.Add([]byte(good + rest))
	}
	f.Add([]byte(`{"Subject":"a","ID":"é","type":"T","time":"2026-01-31T12:00:00+01:00"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := importer.Parse(text)
		if err != nil {
			return
		}
		if !json.Valid(text) {
			t.Fatalf("%q was accepted, which is no JSON", text)
		}
		line, err := json.Marshal(map[string]string{
			"subject": e.Subject, "id": e.ID, "type": e.Type, "time": e.Time, "source": e.Source,
			"data_base64": base64.StdEncoding.EncodeToString(e.Data),
		})
		if err != nil {
			t.Fatal(err)
		}
		again, err := importer.Parse(line)
		if len(e.Data) == 0 {
			e.Data, again.Data = nil, nil
		}
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Fatalf("%q is %+v; written again as %s it is %+v, %v", text, e, line, again, err)
		}
	})
}
