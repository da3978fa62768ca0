package main

import (
	"testing"

	"gnomon/sdk/go/gnomontest"
)

// The version in Go makes of the events what the one in KurrentDB's dialect makes of them.
func TestSameAsKurrentDB(t *testing.T) {
	gnomontest.Expect(t, gnomontest.ReadLog(t, "events.jsonl"), gnomontest.Options{}, "expected.json")
}
