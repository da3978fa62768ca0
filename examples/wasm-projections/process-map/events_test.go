package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"maps"
	"os"
	"strings"
	"testing"

	"gnomon/sdk/go/gnomontest"
)

func readLines(t *testing.T, path string) [][]byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(bytes.TrimSpace(all), []byte("\n"))
}

// step is an event with the given data, at one moment.
func step(data string) gnomontest.Event {
	return gnomontest.Event{Subject: "log.x", Time: "2026-03-01T10:00:00.9999+01:00", Data: json.RawMessage(data)}
}

func wantState(t *testing.T, got *gnomontest.Result, want map[string]string) {
	t.Helper()
	if !maps.Equal(got.State, want) {
		t.Errorf("state = %q\nwant    %q", got.State, want)
	}
}

// Only the fields of the data itself count, however the JSON is written.
func TestFieldsOfDataCount(t *testing.T) {
	got := run(t, []gnomontest.Event{
		step(`{"before":{"case":"x","activity":"x"},"case":"7","list":[{"activity":"x"}],"activity":"A","after":{"resource":"x"}}`),
		step(" {\n\t\"act\\u0069vity\" : \"\\u0041\\u00e9\\n\\\"\" , \"case\":\"\\u0037\" ,\"resource\" : null }\r\n"),
	})
	wantState(t, got, map[string]string{
		"activity\tA":        `{"events":1}`,
		"start\tA":           `{"cases":1}`,
		"activity\tAé\n\"":   `{"events":1}`,
		"follows\tA\tAé\n\"": `{"events":1}`,
		"case\t7":            `{"events":2,"first_ms":1772355600999,"last_ms":1772355600999,"activity":"Aé\n\""}`,
	})
}

// A number names a case as well as a string does.
func TestNumbersAreNames(t *testing.T) {
	got := run(t, []gnomontest.Event{step(`{"case":42,"activity":"A","resource":7}`), step(`{"case":"42","activity":"A"}`)})
	wantState(t, got, map[string]string{
		"activity\tA":   `{"events":2}`,
		"start\tA":      `{"cases":1}`,
		"follows\tA\tA": `{"events":1}`,
		"resource\t7":   `{"events":1}`,
		"case\t42":      `{"events":2,"first_ms":1772355600999,"last_ms":1772355600999,"activity":"A"}`,
	})
}

// What is not an event of a process is counted, and logged with its sequence.
func TestOtherEventsAreIgnored(t *testing.T) {
	got := run(t, []gnomontest.Event{
		step(`{"case":"1"}`), step(`{"activity":"A"}`), step(`{"case":null,"activity":"A"}`),
		step(`{"case":"1","activity":{"name":"A"}}`), step(`["case","activity"]`), step(`{"case":"1","activity":"A"`), step(``),
	})
	wantState(t, got, map[string]string{"ignored": `{"events":7}`})
	if len(got.Logged) != 7 || !strings.HasPrefix(got.Logged[1], "warn: event 2 is ignored: ") {
		t.Errorf("logged %q, want a warning for each of the seven", got.Logged)
	}
}

// Milliseconds are rounded down before 1970, too. Case and order are the stream's:
// a case's last event is not always its latest.
func TestTimes(t *testing.T) {
	early, late := step(`{"case":"1","activity":"A"}`), step(`{"case":"1","activity":"B"}`)
	late.Time = "1969-12-31T23:59:59.9991Z"
	got := run(t, []gnomontest.Event{early, late})
	if v, want := got.State["case\t1"], `{"events":2,"first_ms":1772355600999,"last_ms":-1,"activity":"B"}`; v != want {
		t.Errorf("case is %s, want %s", v, want)
	}
}
