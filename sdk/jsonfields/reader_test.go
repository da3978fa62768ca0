package jsonfields

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestFieldsOfTheObjectItself(t *testing.T) {
	f := NewReader("name", "n", "gone")
	v, err := f.Read([]byte(" { \"name\" : \"a\\u00e9\\ud83d\\ude00\\/\" , \"in\" : [ { \"n\" : 1 } , [ ] , { } ] ,\"n\":-12, \"x\":{\"name\":2} } "))
	if err != nil {
		t.Fatal(err)
	}
	name, _ := v[0].Text()
	n, ok := v[1].Int()
	if string(name) != "aé😀/" || n != -12 || !ok || v[2].Kind() != Absent {
		t.Errorf("name %q, n %d, gone %v", name, n, v[2].Kind())
	}
}

func TestLastOfFieldsCounts(t *testing.T) {
	v, err := NewReader("a").Read([]byte(`{"a":1,"\u0061":"two\n"}`))
	if text, ok := v[0].Text(); err != nil || string(text) != "two\n" || !ok {
		t.Errorf("a is %q, %v, error %v", text, ok, err)
	}
}

func TestKinds(t *testing.T) {
	v, err := NewReader("s", "n", "b", "z", "a", "o", "e").Read([]byte(`{"s":"","n":1.50e1,"b":true,"z":null,"a":[1, 2],"o":{"a":"}"},"e":false}`))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		kind Kind
		raw  string
		text string
		ok   bool
	}{
		{String, `""`, "", true}, {Number, "1.50e1", "1.50e1", true}, {Bool, "true", "", false}, {Null, "null", "", false},
		{Array, "[1, 2]", "", false}, {Object, `{"a":"}"}`, "", false}, {Bool, "false", "", false},
	} {
		text, ok := v[i].Text()
		if v[i].Kind() != want.kind || string(v[i].Raw()) != want.raw || string(text) != want.text || ok != want.ok {
			t.Errorf("field %d: kind %d, raw %s, text %q, %v; want %+v", i, v[i].Kind(), v[i].Raw(), text, ok, want)
		}
		if n, ok := v[i].Int(); ok {
			t.Errorf("field %d is the whole number %d", i, n)
		}
	}
}

func TestBrokenJSONIsRefused(t *testing.T) {
	f := NewReader("a")
	for _, data := range []string{
		"", "null", "[]", `"a"`, "{", `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{a:1}`, `{"a" 1}`, `{"a":1}x`, `{"a":"x}`, `{"a":01}`,
		`{"a":-}`, `{"a":1.}`, `{"a":1e}`, `{"a":.5}`, `{"a":tru}`, `{"a":[1,]}`, `{"a":[1}`, `{"a":{"b":1]}`, `{"a":"\x"}`, `{"a":"\u12g4"}`, "{\"a\":\"\n\"}",
		`{"a":1 "b":2}`, `{"a":[`, `{"a":"\`, `{,}`,
		`{"a":` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth) + `}`,
	} {
		if _, err := f.Read([]byte(data)); err == nil {
			t.Errorf("%.40s was read without an error", data)
		}
	}
}

// Fields agrees with encoding/json on what is JSON, and on what a field holds.
func FuzzFields(f *testing.F) {
	for _, s := range []string{
		`{"case":"a\u00e9","activity":"\ud83d\ude00\ud800","n":12}`, `{"x":{"case":[1,{"case":null}]},"case":-0.5e+7}`, `{"case":"\xff"}`,
		" {\t\"case\" :\r\n{ } }", `{"case":[],"case":"b"}`, `{"a":[[[]]],"":0}`, `{"case":9}`,
	} {
		f.Add([]byte(s))
	}
	fields := NewReader("case", "n")
	f.Fuzz(func(t *testing.T, data []byte) {
		var want map[string]json.RawMessage
		wantErr := json.Unmarshal(data, &want)
		got, err := fields.Read(data)
		if isNull := wantErr == nil && want == nil; isNull != (wantErr == nil && err != nil) || (wantErr != nil && err == nil) {
			t.Fatalf("%q: error %v, encoding/json says %v", data, err, wantErr)
		}
		if err != nil {
			return
		}
		for i, name := range []string{"case", "n"} {
			if string(got[i].Raw()) != string(want[name]) {
				t.Errorf("%q: %s is %s, want %s", data, name, got[i].Raw(), want[name])
			}
			var s string
			if got[i].Kind() != String {
				continue
			}
			if err := json.Unmarshal(want[name], &s); err != nil {
				t.Fatal(err)
			}
			if text, ok := got[i].Text(); string(text) != s || !ok {
				t.Errorf("%q: %s says %q, want %q", data, name, text, s)
			}
		}
	})
}

// What AppendQuoted writes, encoding/json reads.
func FuzzAppendQuoted(f *testing.F) {
	for _, s := range []string{"", "plain", "é\x00\x1f\"\\\n\t", "\xff\xfe", "\u2028"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var got string
		quoted := AppendQuoted(nil, text)
		if err := json.Unmarshal(quoted, &got); err != nil || got != strings.ToValidUTF8(text, "\ufffd") && !strings.Contains(got, "\ufffd") {
			t.Errorf("%q is quoted as %s, which says %q: %v", text, quoted, got, err)
		}
	})
}

// Texts are quoted as RFC 8785 says, so that all languages write the same bytes.
func TestAppendQuotedIsCanonical(t *testing.T) {
	text := "\x00\b\t\n\v\f\r\x1f\"\\/<\x7f é\u2028😀"
	const want = `"\u0000\b\t\n\u000b\f\r\u001f\"\\/<` + "\x7f é\u2028😀\""
	if got := string(AppendQuoted(nil, text)); got != want {
		t.Errorf("quoted as %s, want %s", got, want)
	}
}
