package gnomontest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gnomon/sdk/go/gnomontest"
)

// Fatal is what a check says before it ends the test.
func (c *complaints) Fatalf(format string, args ...any) { c.Errorf(format, args...); panic(c) }
func (c *complaints) Fatal(args ...any)                 { c.Fatalf("%v", args...) }
func (c *complaints) Logf(string, ...any)               {}

// complaintsOf are what a check says.
func complaintsOf(t *testing.T, check func(t testing.TB)) (text string) {
	t.Helper()
	c := &complaints{TB: t}
	defer func() {
		if r := recover(); r != nil && r != any(c) {
			panic(r)
		}
		text = strings.Join(c.text, "\n")
	}()
	check(c)
	return text
}

// An expectation is written on demand, holds what comes of events, and says in what that
// differs; events that fail are a part of it.
func TestExpect(t *testing.T) {
	events, err := gnomontest.ParseLog(strings.NewReader(lines + lines + `{"subject":"refused","type":"t","data_base64":"AP8="}` + "\n"))
	if err != nil || string(events[4].Data) != "\x00\xff" {
		t.Fatalf("%+v, %v", events, err)
	}
	file := filepath.Join(t.TempDir(), "testdata", "expected.json")
	expect := func(t testing.TB) { gnomontest.Expect(t, events, gnomontest.Options{}, file) }
	if text := complaintsOf(t, expect); !strings.Contains(text, "no such file") || !strings.Contains(text, "GNOMON_UPDATE=1 writes it") {
		t.Errorf("without a file: %s", text)
	}
	t.Setenv("GNOMON_UPDATE", "1")
	expect(t)
	t.Setenv("GNOMON_UPDATE", "")
	expect(t)
	const want = `{
 "state":{
  "a":2,
  "b":2
 },
 "emits":[],
 "errors":[
  {"event":5,"error":"this subject is refused"}
 ],
 "logs":[
  "warn: refused"
 ]
}
`
	if b, err := os.ReadFile(file); err != nil || string(b) != want {
		t.Errorf("%s, %v", b, err)
	}
	if err := os.WriteFile(file, []byte(`{"state":{"a":3,"b":2}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	const differs = "differ in 2 places:\nerrors, event 5\n  - (nothing)\n  + {\"event\":5,\"error\":\"this subject is refused\"}\nstate \"a\"\n  - 3\n  + 2"
	if text := complaintsOf(t, expect); !strings.Contains(text, differs) {
		t.Errorf("says %s", text)
	}
	t.Setenv("GNOMON_UPDATE", "1")
	expect(t)
	if b, err := os.ReadFile(file); err != nil || strings.Contains(string(b), "logs") || !strings.Contains(string(b), `"a":2`) {
		t.Errorf("sections that were left out stay out: %s, %v", b, err)
	}
}
