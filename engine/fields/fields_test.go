package fields

import (
	"strings"
	"testing"

	"gnomon/sdk/abi"
)

func TestKey(t *testing.T) {
	headers, _ := abi.AppendHeader(nil, "Ce-Type", "paid")
	e := abi.Record{
		Subject: []byte("events.account.42"),
		Headers: headers,
		Data:    []byte(`{"account":{"id":"a\"1"},"n":7,"list":[1,2],"none":null}`),
	}
	tests := []struct{ spec, want string }{
		{"subject:1", "events"}, {"subject:3", "42"}, {"subject:4", ""},
		{"header:ce-type", "paid"}, {"header:x", ""},
		{"json:account.id", `a"1`}, {"json:n", "7"}, {"json:list", "[1,2]"}, {"json:list.1", "2"}, {"json:none", "null"}, {"json:x.y", ""},
	}
	for _, tt := range tests {
		key, err := Key(tt.spec)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(key(e)); got != tt.want {
			t.Errorf("key %s = %q, want %q", tt.spec, got, tt.want)
		}
	}
	for _, spec := range []string{"subject", "subject:0", "subject:x", "header:", "json:", "case", "xml:a"} {
		if _, err := Key(spec); err == nil || !strings.Contains(err.Error(), spec) {
			t.Errorf("spec %q: %v, want an error that names it", spec, err)
		}
	}
	if key, err := Key(""); key != nil || err != nil {
		t.Error("no key was declared, but one is taken")
	}
}

func TestFilter(t *testing.T) {
	match, err := Filter([]string{"a.>", "b.*"})
	if err != nil {
		t.Fatal(err)
	}
	for subject, want := range map[string]bool{"a.x.y": true, "b.x": true, "b.x.y": false, "c": false} {
		if match([]byte(subject)) != want {
			t.Errorf("%s: match is not %v", subject, want)
		}
	}
	for _, all := range [][]string{nil, {">"}, {"a", ">"}} {
		if match, err := Filter(all); match != nil || err != nil {
			t.Errorf("%v should match everything", all)
		}
	}
	if _, err := Filter([]string{"a..b"}); err == nil {
		t.Error("a malformed filter was accepted")
	}
}

// Garbage in an event gives some key, never a panic, whatever its depth.
func FuzzJSONKey(f *testing.F) {
	f.Add([]byte(`{"a":{"b":1e400}}`), "a.b")
	f.Add([]byte(strings.Repeat("[", 10_000)), "a.b")
	f.Add([]byte("{\"a\":\"\xff\\ud800\"}"), "a")
	f.Fuzz(func(t *testing.T, data []byte, path string) {
		key, err := Key("json:" + path)
		if err != nil {
			return
		}
		if k := key(abi.Record{Data: data}); len(k) > len(data)*3+16 {
			t.Errorf("key of %d bytes from %d", len(k), len(data))
		}
	})
}
