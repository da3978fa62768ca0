package outcome_test

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	. "gnomon/sdk/outcome"
)

// The example in the package's comment is read, and written again as it is.
func TestFileOfTheDocumentation(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var file strings.Builder
	for line := range strings.Lines(string(doc)) {
		if text, ok := strings.CutPrefix(line, "//\t"); ok {
			file.WriteString(text)
		}
	}
	o, err := Decode([]byte(file.String()))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(o.Encode()); got != file.String() {
		t.Errorf("written again it is\n%s", got)
	}
	if len(o.State) != 1 || len(o.Emits) != 1 || len(o.Errors) != 1 || len(o.Logs) != 1 || len(o.Queries) != 2 {
		t.Errorf("read: %+v", o)
	}
}

// Each kind of value has one way to be written, from which it comes back byte for byte.
func TestValues(t *testing.T) {
	deep := strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)
	for _, c := range []struct{ value, want string }{
		{`{"a":1.0}`, `{"a":1.0}`},
		{`{"a": 1}`, `"{\"a\": 1}"`},
		{`7`, `7`},
		{`null`, `null`},
		{`"7"`, `"\"7\""`},
		{``, `""`},
		{`plain <text> & more`, `"plain <text> & more"`},
		{"tab\tünïcode\x00", `"tab\tünïcode\u0000"`},
		{"\xff\x00", `{"$base64":"/wA="}`},
		{`{"$base64":"/wA="}`, `"{\"$base64\":\"/wA=\"}"`},
		{`{"$base64":"/wA=","b":1}`, `{"$base64":"/wA=","b":1}`},
		{`{"$base64":7}`, `{"$base64":7}`},
		{"[\"\xff\"]", `{"$base64":"WyL/Il0="}`},
		{deep, `"` + deep + `"`},
	} {
		got := EncodeValue(c.value)
		if string(got) != c.want {
			t.Errorf("%.60q is written %.60s, want %.60s", c.value, got, c.want)
		}
		if back, err := DecodeValue(got); back != c.value || err != nil {
			t.Errorf("%.60s is read as %.60q, %v", got, back, err)
		}
	}
}

// A file that a tool has formatted is the same outcome.
func TestFormattedFile(t *testing.T) {
	o, err := Decode([]byte("{ \"state\" : {\n \"k\" : { \"a\" : [ 1.0 , 2 ] } } }"))
	if err != nil || o.State["k"] != `{"a":[1.0,2]}` {
		t.Errorf("read as %+v, %v", o, err)
	}
}

// A file that is wrong is refused with the line, and what is wrong there.
func TestBadFiles(t *testing.T) {
	for file, want := range map[string]string{
		``:                                  "line 1: the file ends too early",
		`[]`:                                "line 1: a JSON object expected",
		"{}\n{}":                            "line 2: more after the object",
		"{\n\"stat\":{}}":                   `line 2: unknown section "stat": there are state`,
		`{"state":[]}`:                      "state: a JSON object expected",
		`{"state":{"a":1,"a":2}}`:           `state: "a" is there twice`,
		`{"state":{"a":1,"base64:YQ==":2}}`: `state: key "a" is there twice`,
		`{"state":{"base64:!":2}}`:          "after \"base64:\" there must be base64",
		`{"state":{"a":{"$base64":"!"}}}`:   `key "a": $base64: illegal base64`,
		`{"emits":[{"event":1}]}`:           `emits: entry 1: it must have "event", "subject" and "data"`,
		`{"emits":[{"event":1,"subject":"s","headers":[["a"]],"data":1}]}`: `entry 1: header ["a"]: it must be [NAME,VALUE]`,
		`{"errors":[{"event":1,"eror":"x"}]}`:                              `unknown field "eror"`,
		`{"errors":[{"event":1,"error":"x"},{"event":1}]}`:                 `errors: entry 2: it must have "event" and "error"`,
		`{"queries":[{"request":1}]}`:                                      `it must have "request", and either`,
		`{"logs":[1]}`:                                                     "logs: json: cannot unmarshal number",
		"{\"state\":{\n\"a\":1":                                            "line 2: the file ends too early",
		"{\"state\":{\"\xff\":1}}":                                         "not valid UTF-8",
	} {
		if _, err := Decode([]byte(file)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n error = %v\n want %s", file, err, want)
		}
	}
}

// What is not in the expectation is not compared, but an error that nobody expects is
// always a difference.
func TestCompareWhatIsExpected(t *testing.T) {
	got := &Outcome{
		State: map[string]string{"a": "1"}, Emits: []Record{{Event: 1}}, Logs: []string{"info: x"},
		Queries: []Query{{Request: "1"}}, Records: []Record{{Event: 2}},
	}
	if all := Compare(&Outcome{}, got); len(all) != 0 {
		t.Errorf("nothing is expected, and differs: %v", all)
	}
	got.Errors = []Failure{{Event: 4, Error: "broken"}}
	if all := Compare(&Outcome{}, got); len(all) != 1 || all[0].Event != 4 {
		t.Errorf("an error that is not expected: %v", all)
	}
	got.Errors = nil
	empty := &Outcome{State: map[string]string{}, Emits: []Record{}, Records: []Record{}, Logs: []string{}, Queries: []Query{}}
	if all := Compare(empty, got); len(all) != 5 {
		t.Errorf("all sections are expected to be empty: %v", all)
	}
}

// A difference names its place, and shows where the two begin to differ.
func TestDifferences(t *testing.T) {
	long := strings.Repeat("x", 300)
	want := &Outcome{
		State:   map[string]string{"a\t1": `{"n":1}`, "b": "2", "d": long + "1" + long},
		Emits:   []Record{{Event: 1, Subject: "s", Data: "1"}, {Event: 3, Subject: "s", Headers: []Header{{"ce-type", "t"}}, Data: "3"}},
		Errors:  []Failure{{5, "no"}},
		Logs:    []string{"info: 1", "info: 2", "info: 4"},
		Queries: []Query{{Request: `{"top":1}`, Answer: "[]"}},
	}
	got := &Outcome{
		State:   map[string]string{"a\t1": `{"n":1.0}`, "c": "3", "d": long + "2" + long},
		Emits:   []Record{{Event: 1, Subject: "s", Data: "1"}, {Event: 1, Subject: "s", Data: "2"}, {Event: 3, Subject: "s", Data: "3"}},
		Errors:  []Failure{{5, "yes"}},
		Logs:    []string{"info: 1", "info: 2", "info: 3", "info: 4"},
		Queries: []Query{{Request: `{"top":1}`, Error: "top"}},
	}
	report := Report(Compare(want, got), 8)
	if want, err := os.ReadFile("testdata/differences.txt"); err != nil || string(want) != report {
		t.Errorf("%v\n%s", err, report)
	}
}

// However much is missing from the state, a report shows the errors that it comes from, and
// they come first.
func TestReportOfFailures(t *testing.T) {
	want, got := &Outcome{State: map[string]string{}, Logs: []string{"info: done"}}, &Outcome{State: map[string]string{}}
	for i := range 30 {
		want.State[fmt.Sprint(i)] = "1"
		got.Errors = append(got.Errors, Failure{uint64(i + 1), "x is not defined"})
	}
	report := Report(Compare(want, got), 5)
	var titles []string
	for line := range strings.Lines(report) {
		if line[0] != ' ' {
			titles = append(titles, strings.TrimSpace(line))
		}
	}
	wanted := []string{"errors, event 1", "errors, event 2", "errors: and 28 more", `state "0"`, `state "1"`, "state: and 28 more", "logs, line 1"}
	if !slices.Equal(titles, wanted) || !strings.Contains(report, "x is not defined") {
		t.Errorf("it has %q, want %q:\n%s", titles, wanted, report)
	}
}

// Any outcome is read as it was written.
func FuzzDecodeEncode(f *testing.F) {
	f.Add("key", `{"a":1}`, "subject", "name", "value", uint64(7), uint8(0xff))
	f.Add("base64:", `{"$base64":"AA=="}`, "\xff", "", "\"", uint64(1)<<63, uint8(0x3f))
	f.Add("", `"x"`, "<\u2028>", "\x00", " 1", uint64(0), uint8(0))
	f.Fuzz(func(t *testing.T, key, value, subject, name, header string, event uint64, sections uint8) {
		o := &Outcome{}
		has := func(bit int) bool { return sections>>bit&1 == 1 }
		if has(0) {
			o.State = map[string]string{key: value, subject: header}
		}
		if has(1) {
			o.Emits = []Record{{Event: event, Subject: subject, Headers: []Header{{name, header}, {name, value}}, Data: value}, {Data: key}}
		}
		if has(2) {
			o.Records = []Record{{Event: event, Subject: key, Data: header}}
		}
		if has(3) {
			o.Errors = []Failure{{event, value}, {0, name}}
		}
		if has(4) {
			o.Logs = []string{"info: " + value, key}
		}
		if has(5) {
			o.Queries = []Query{{Request: value, Answer: header}, {Request: key, Error: "!" + value}}
		}
		if has(6) {
			o.Errors, o.Logs = []Failure{}, []string{}
		}
		file := o.Encode()
		back, err := Decode(file)
		if err != nil || !reflect.DeepEqual(back, o) {
			t.Fatalf("%s\nis read as %+v, %v\nwant %+v", file, back, err, o)
		}
		if len(Compare(o, back)) != 0 {
			t.Error("it differs from itself")
		}
	})
}

// A value is read from nothing but what it is written as, up to blanks and escapes.
func FuzzDecodeValue(f *testing.F) {
	f.Add([]byte(`{"a": 1}`))
	f.Add([]byte(`{"$base64":"AA=="}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		value, err := DecodeValue(text)
		if err != nil {
			return
		}
		if back, err := DecodeValue(EncodeValue(value)); back != value || err != nil {
			t.Errorf("%q is %q, which comes back as %q, %v", text, value, back, err)
		}
	})
}
