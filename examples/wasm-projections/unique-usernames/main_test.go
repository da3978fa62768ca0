package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"gnomon/sdk/go/gnomontest"
)

func claim(name, owner string) gnomontest.Event {
	return gnomontest.Event{Subject: "users.claimed." + name, Data: json.RawMessage(fmt.Sprintf(`{"owner":%q}`, owner))}
}

// A name is whose event it was; other events of the stream change nothing.
func TestNames(t *testing.T) {
	got, err := gnomontest.Run([]gnomontest.Event{
		claim("ada", "one"), claim("bob", "two"), {Subject: "users.seen.ada", Data: json.RawMessage(`{}`)}, claim("cyd", "one"),
	}, gnomontest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"name\tada": `{"owner":"one","seq":1}`, "name\tbob": `{"owner":"two","seq":2}`, "name\tcyd": `{"owner":"one","seq":4}`, "total": `{"names":3}`,
	} {
		if string(got.State[key]) != want {
			t.Errorf("%q is %s, want %s", key, got.State[key], want)
		}
	}
	if len(got.State) != 4 {
		t.Errorf("the state has %d keys", len(got.State))
	}
}

// A second claim of a name, which the condition keeps out of the stream, is an error that names both.
func TestClaimedTwice(t *testing.T) {
	_, err := gnomontest.Run([]gnomontest.Event{claim("ada", "one"), claim("ada", "two")}, gnomontest.Options{})
	if err == nil || !strings.Contains(err.Error(), `"two" claims the name "ada", which "one" has since 1`) {
		t.Errorf("error = %v", err)
	}
}

func TestInvariance(t *testing.T) {
	var events []gnomontest.Event
	for i := range 300 {
		events = append(events, claim(fmt.Sprint("n", i), fmt.Sprint("c", i%7)))
	}
	gnomontest.CheckInvariance(t, events, gnomontest.Options{})
}
