package tests

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"gnomon/engine/guest"
	"gnomon/engine/testdriver"
	"gnomon/sdk/abi"
	"gnomon/sdk/jsonfields"
	"gnomon/sdk/outcome"
)

// Every way to fail names what went wrong, in the guest's words, and leaves nothing of its
// event; the events around it count.
func TestFailures(t *testing.T) {
	const data = `{"text":"said"}`
	for kind, want := range map[string]string{
		"fail":           "no such thing",
		"throw":          "odd (guests/probe.ts:",
		"index":          "Index out of range (",
		"null":           "Unexpected 'null'",
		"absent":         `the event's data has no field "there"`,
		"kind":           `field "text" is "said", not a whole number of at most 18 digits`,
		"no key":         `put "": bad argument`,
		"long key":       `put "` + strings.Repeat("ä", 50) + `…": too large`,
		"long value":     `put "k": too large`,
		"headers":        "emit: headers must be pairs of name and value",
		"subject":        "emit : ",
		"not json":       "value of a key: not a JSON object",
		"scan and write": `scan "k": the state was written during the scan`,
		"unended":        "JsonWriter.end: nothing is open (~lib/gnomon/json.ts:",
		"nan":            "JsonWriter.float: NaN is no number in JSON",
		"range":          "byte 99 of 3",
	} {
		t.Run(kind, func(t *testing.T) {
			got := run(t, guestOf(t, "probe"), list("churn", `{"text":"b a"}`, kind, data, "churn", `{"text":"d c"}`)).Outcome
			if len(got.Errors) != 1 || got.Errors[0].Event != 2 || !strings.HasPrefix(got.Errors[0].Error, want) {
				t.Errorf("errors %v, want one of event 2: %s", got.Errors, want)
			}
			same(t, "state", got.State, map[string]string{"words": "c-d3"})
		})
	}
	got := run(t, guestOf(t, "probe"), list("data", `[]`)).Outcome
	if len(got.Errors) != 1 || !strings.HasPrefix(got.Errors[0].Error, "the event's data: ") {
		t.Errorf("errors %v, want one that says that the data is no object", got.Errors)
	}
}

// All of an event can be read: numbers of 64 bits, tokens, headers in any case, and data that
// is no text.
func TestEvent(t *testing.T) {
	l := testdriver.NewEvents(func(abi.Record) []byte { return []byte("the key") })
	r := event(1<<63|5, "event", "\xff\x00é", "ce-id", "17", "ce-time", "2026-03-01T11:34:00+01:00")
	r.TimeNs = -1
	r.Headers, _ = abi.AppendHeader(r.Headers, "x-odd", "ä")
	r.Headers, _ = abi.AppendHeader(r.Headers, "x-odd", "second")
	l.Add(r, 1)
	got := mustRun(t, guestOf(t, "probe"), l).Outcome.State["event"]
	same(t, "event", got, `[-9223372036854775803,-1,"s.t","s","t","","","event","17","2026-03-01T11:34:00+01:00","the key","ä","","`+"\uFFFD\\u0000é"+`",true,false]`)
}

// tricky are texts that are hard to read or to write.
var tricky = []string{
	"", "a", `"\/`, "\b\f\n\r\t", "\x00\x01\x1f\x7f", "ä ö", "名前", "😀𝄞", "\u2028\u2029", "\ufeff", "\U0010ffff", "e\u0301", "\ud7ff\ue000",
	strings.Repeat("long \"ä\" ", 5000),
}

// Texts come out as they went in, as strings and as bytes, and are written as RFC 8785 says.
func TestStrings(t *testing.T) {
	l := testdriver.NewEvents(nil)
	for i, text := range tricky {
		data, err := json.Marshal(map[string]string{"text": text})
		if err != nil {
			t.Fatal(err)
		}
		l.Add(event(uint64(2*i+1), "strings", string(data)), 0)
		l.Add(event(uint64(2*i+2), "strings", `{"text":`+string(jsonfields.AppendQuoted(nil, text))+`}`), 0)
	}
	state := mustRun(t, guestOf(t, "probe"), l).Outcome.State
	want := map[string]string{}
	for _, text := range tricky {
		quoted := string(jsonfields.AppendQuoted(nil, text))
		want["as string\t"+text], want["as bytes\t"+text] = quoted, quoted
	}
	same(t, "state", state, want)
}

// Halves of surrogate pairs, and bytes that are no UTF-8, become U+FFFD.
func TestBrokenText(t *testing.T) {
	for _, data := range []string{`{"text":"\ud800x"}`, `{"text":"\udc00\ud800"}`, "{\"text\":\"a\xffb\xc3\"}", "{\"text\":\"\xed\xa0\x80\xf5\xe2\x82\"}"} {
		var want struct{ Text string }
		if err := json.Unmarshal([]byte(data), &want); err != nil {
			t.Fatal(err)
		}
		state := mustRun(t, guestOf(t, "probe"), list("strings", data)).Outcome.State
		same(t, data, state["as string\t"+want.Text], string(jsonfields.AppendQuoted(nil, want.Text)))
	}
}

// Settings have defaults and bounds, and tables in them can be read; what is wrong is refused
// before the first event, by its name.
func TestSettings(t *testing.T) {
	for settings, want := range map[string]string{
		`{}`:                         "7 0.5 ",
		`{"limit":100}`:              "100 0.5 ",
		`{"share":1e3}`:              "7 1000.0 ",
		`{"names":{"b":1,"a":{}}}`:   "7 0.5 b,a",
		`{"limit":101}`:              "error: settings: limit is 101, not from 0 to 100",
		`{"limit":"1"}`:              `error: settings: field "limit" is "1", not a whole number of at most 18 digits`,
		`{"limits":1}`:               `error: settings: unknown setting "limits"; there is limit, share, strict, names`,
		`{"strict":1}`:               `error: settings: field "strict" is 1, not true or false`,
		`{"names":[]}`:               "error: settings.names: not a JSON object",
		`{"name":"x"}`:               `error: settings: unknown setting "name"`,
		`{"name":"x","strict":true}`: "7 0.5 ",
	} {
		t.Run(settings, func(t *testing.T) {
			s := guestOf(t, "probe")
			s.Settings = []byte(settings)
			got, err := testdriver.Run(t.Context(), s, list("settings", ""), testdriver.Options{})
			if err != nil {
				if said := "error: " + err.Error(); !strings.HasPrefix(want, "error: ") || !strings.Contains(said, strings.TrimPrefix(want, "error: ")) {
					t.Errorf("error %v, want %s", err, want)
				}
				return
			}
			same(t, "settings", got.Outcome.State["settings"], want)
		})
	}
}

// A value is loaded, changed and stored; numbers are written as JSON.stringify does.
func TestFold(t *testing.T) {
	got := mustRun(t, guestOf(t, "probe"), list(
		"fold", `{"name":"A","share":1,"open":true}`,
		"fold", `{"name":"B \"b\"","share":-0.25,"open":true}`,
		"fold", `{"name":"","share":1e-7,"open":false}`,
	))
	same(t, "state", got.Outcome.State, map[string]string{"tally": `{"count":3,"name":"","share":1e-7,"open":true}`})
}

// A field keeps what it says while others are asked for that the host has not looked for yet.
func TestFieldsAreDeclaredAsTheyAreAskedFor(t *testing.T) {
	got := mustRun(t, guestOf(t, "probe"), list("fields", `{"first":"a\tb","n":-12,"f3":"\u0041\u0042"}`, "fields", `{"n":1.5,"first":"c\\d","f3":"\u0041"}`))
	same(t, "state", got.Outcome.State, map[string]string{"fields": `c\d false 0 1.5 true`})
	one := mustRun(t, guestOf(t, "probe"), list("fields", `{"first":"a\tb","n":-12,"f3":"\u0041\u0042"}`))
	same(t, "state", one.Outcome.State, map[string]string{"fields": "a\tb true -12 -12 true"})
}

// Buffers grow to what has to be read: events and values of 1 MiB, pages of a scan.
func TestBuffersGrow(t *testing.T) {
	large := strings.Repeat("x", 1<<20)
	got := mustRun(t, guestOf(t, "probe"), list("grow", "small", "grow", large, "grow", "small", "grow", large+"y"))
	same(t, "state", got.Outcome.State, map[string]string{"grow": fmt.Sprint(1<<20 + 1)})
}

// A scan sees every key once, in order, over several pages and a value of 1 MiB, also while
// another scan goes on; it can begin after a key.
func TestScan(t *testing.T) {
	got := mustRun(t, guestOf(t, "probe"), list("scan", ""))
	same(t, "scan", got.Outcome.State["scanned"], fmt.Sprintf("2000 %d 10 row\t2999", 1999*20+1<<20))
}

// An emitted event belongs to the event that caused it, in batches, too.
func TestEmit(t *testing.T) {
	got := mustRun(t, guestOf(t, "probe"), list("churn", `{"text":""}`, "emit", "\x00data", "emit", ""))
	same(t, "emits", got.Outcome.Emits, []outcome.Record{
		{Event: 2, Subject: "out.t", Headers: []outcome.Header{{Name: "ce-type", Value: "seen"}, {Name: "length", Value: "5"}}, Data: "\x00data"},
		{Event: 3, Subject: "out.t", Headers: []outcome.Header{{Name: "ce-type", Value: "seen"}, {Name: "length", Value: "0"}}},
	})
}

// Lines are logged at their levels.
func TestLog(t *testing.T) {
	got := mustRun(t, guestOf(t, "probe"), list("log", "hé"))
	same(t, "logs", got.Outcome.Logs, []string{"debug: d", "warn: hé", "error: e"})
}

// What a module keeps in its memory is the same after a snapshot of several blobs, and a query
// is answered from it.
func TestMemory(t *testing.T) {
	l := testdriver.NewEvents(nil)
	for i := range 50 {
		r := event(uint64(i+1), "t", strings.Repeat("x", i))
		r.Subject = []byte([]string{"a.x", "b", "zürich.y"}[i%3])
		l.Add(r, 0)
	}
	got := mustRun(t, guestOf(t, "memory"), l, "a", "zürich", "none")
	same(t, "answers", got.Outcome.Queries, []outcome.Query{{Request: "a", Answer: "408"}, {Request: "zürich", Answer: "392"}, {Request: "none", Answer: "0"}})
}

// An upcaster makes of an event another one, several or none, with the headers in their order.
func TestUpcast(t *testing.T) {
	l := testdriver.NewEvents(nil)
	l.Add(event(1, "pair", `{"left":"L","right":"\u0052"}`, "a", "1"), 0)
	l.Add(event(2, "dropped", ""), 0)
	l.Add(event(3, "other", "kept", "ce-id", "9"), 0)
	l.Add(event(4, "broken", ""), 0)
	got := run(t, guestOf(t, "upcast"), l).Outcome
	header := func(name, value string) outcome.Header { return outcome.Header{Name: name, Value: value} }
	same(t, "records", got.Records, []outcome.Record{
		{Event: 1, Subject: "s.t", Headers: []outcome.Header{header("a", "1"), header("ce-type", "left")}, Data: "L"},
		{Event: 1, Subject: "right.t", Headers: []outcome.Header{header("a", "1"), header("ce-type", "pair")}, Data: "R"},
		{Event: 3, Subject: "s.t", Headers: []outcome.Header{header("ce-id", "9"), header("ce-type", "other")}, Data: "kept"},
	})
	same(t, "errors", got.Errors, []outcome.Failure{{Event: 4, Error: "cannot be read"}})
}

// A module that registers no handler says so, and what to call.
func TestMissingHandlers(t *testing.T) {
	_, err := testdriver.Run(t.Context(), guestOf(t, "silent"), list("a", ""), testdriver.Options{})
	if err == nil || !strings.Contains(err.Error(), "the module exports snapshot and restore, but does not call onSnapshot") {
		t.Errorf("error %v, want one that names onSnapshot", err)
	}
}

// A million events that make strings, arrays and texts leave the memory as large as ten
// thousand did.
func TestMemoryStaysFlat(t *testing.T) {
	if testing.Short() {
		t.Skip("applies a million events")
	}
	const batch, warm, all = 256, 10_000, 1_000_000
	l := testdriver.NewEvents(nil)
	for i := range batch {
		l.Add(event(uint64(i+1), "churn", fmt.Sprintf(`{"text":"the quick \"brown\" fox %d jumps over the lazy dog"}`, i)), 0)
	}
	records := []byte{}
	for i := range l.Len() {
		r := l.Record(i)
		records = r.Append(records)
	}
	session, err := testdriver.NewSession(t.Context(), guestOf(t, "probe"), guest.Surroundings{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close(t.Context()) })
	var early uint64
	for n := 0; n < all; n += batch {
		if _, err := session.Call(t.Context(), records); err != nil {
			t.Fatal(err)
		}
		if n < warm {
			early = session.Instance().MemoryBytes()
		}
	}
	if late := session.Instance().MemoryBytes(); late > early {
		t.Errorf("%d bytes after %d events, %d after %d", late, all, early, warm)
	}
}
