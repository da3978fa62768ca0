package main

import (
	"os"
	"testing"

	"gnomon/sdk/go/gnomontest"
)

const opened = `{"account":"a-1","owner":"Ada"}`

// events are those of account a-1, of the given types and data, one after the other.
func events(kindsAndData ...string) (list []gnomontest.Event) {
	for ; len(kindsAndData) > 0; kindsAndData = kindsAndData[2:] {
		list = append(list, gnomontest.Event{
			Subject: "bank.accounts", Type: "account." + kindsAndData[0],
			Time: "2026-03-01T10:00:00Z", Data: []byte(kindsAndData[1]),
		})
	}
	return list
}

// The events of testdata lead to what is expected of them, natively as in the sandbox.
func TestExpected(t *testing.T) {
	dir := "testdata"
	if _, err := os.Stat(dir); err != nil {
		dir = "../testdata" // all languages have it in common
	}
	settings, err := os.ReadFile(dir + "/settings.json")
	if err != nil {
		t.Fatal(err)
	}
	gnomontest.Expect(t, gnomontest.ReadLog(t, dir+"/events.jsonl"), gnomontest.Options{Settings: string(settings)}, dir+"/expected.json")
}

// A balance is what was deposited less what was withdrawn.
func TestBalance(t *testing.T) {
	got, err := gnomontest.Run(events("opened", opened, "deposited", `{"account":"a-1","amount":40}`, "withdrawn", `{"account":"a-1","amount":15}`), gnomontest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"owner":"Ada","balance":25,"events":3,"last":"2026-03-01T10:00:00Z"}`
	if v := got.State["account\ta-1"]; v != want {
		t.Errorf("account a-1 is %s, want %s", v, want)
	}
}

// Crossing the limit is told once, however far below it the account is.
func TestAlertOnCrossing(t *testing.T) {
	withdraw := `{"account":"a-1","amount":60}`
	got, err := gnomontest.Run(events("opened", opened, "withdrawn", withdraw, "withdrawn", withdraw, "withdrawn", withdraw), gnomontest.Options{Settings: `{"overdraft":100}`})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Emitted) != 1 || got.Emitted[0].Sequence != 3 || got.Emitted[0].Data != `{"account":"a-1","balance":-120,"sequence":3}` {
		t.Errorf("emitted %+v, want one alert, for event 3", got.Emitted)
	}
}

// What cannot be is an error, which names what was expected.
func TestRefusals(t *testing.T) {
	for _, tt := range []struct{ kind, data, want string }{
		{"opened", opened, "event 2: account a-1 is open already"},
		{"deposited", `{"account":"b","amount":1}`, "event 2: account b is not open"},
		{"deposited", `{"account":"a-1","amount":1.5}`, "event 2: amount must be a whole number from 1 to 999999999999999"},
		{"closed", `{}`, "event 2: account must be a text"},
	} {
		_, err := gnomontest.Run(events("opened", opened, tt.kind, tt.data), gnomontest.Options{})
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s %s: error %v, want %s", tt.kind, tt.data, err, tt.want)
		}
	}
}
