package c_test

import (
	"fmt"
	"testing"

	"gnomon/sdk/jsonfields"
)

// texts are JSON, and almost JSON.
var texts = []string{
	``, ` `, `{}`, ` { } `, `{}x`, `[]`, `{"a":1}`, `{"a":-0,"b":01}`, `{"a":1.5e3,"b":-12E-1}`, `{"a":1.,"b":2}`, `{"a":123456789012345678,"b":1234567890123456789}`,
	`{"a":"x","a":"y"}`, `{"a":{"b":1},"b":[1,{"a":2},[]]}`, `{"a":true,"b":null}`, `{"a":tru}`, `{"a":truee}`, `{"a" : "" , "b":"\"\\\/\b\f\n\r\t\u0001\u00e9"}`,
	`{"a":"\ud83d\ude00","b":"\ud83d"}`, `{"a":"\ude00\ud83d\u0041"}`, `{"a":"\u12g4"}`, `{"a":"\x"}`, "{\"a\":\"\x01\"}", "{\"a\":\"\xff\xc3\xa9\xed\xa0\x80\xf4\x90\x80\x80\"}",
	`{"\u0061":"escaped name"}`, `{"a":1,}`, `{,}`, `{"a"}`, `{"a":}`, `{"a":1 "b":2}`, `{a:1}`, `{"a":"0123456789abcdefghij\"klmnopqrstuvwxyz`, `{"a":"12345678é12345678\n1234567812345678"}`,
	"{\"a\":\"\x7f\u2028\"}", `{"a":-}`, `{"a":+1}`, `{"a":1e}`, `{"a":[1,2}`, `{"a":[[[[]]]]}`, "\ufeff{}", `{"a":1}}`, "{\t\"a\"\r\n:\n1}", "{\v\"a\":1}",
}

// The SDK reads and writes JSON as the Go SDK does, and the host: what is valid, which of
// several fields counts, what strings say.
func TestJSON(t *testing.T) {
	s := guestOf(t, "json.c")
	for _, text := range texts {
		if got, want := answer(t, s, []byte(text)), read([]byte(text)); got != want {
			t.Errorf("%q\n got %q\nwant %q", text, got, want)
		}
	}
}

// So it does of any bytes.
func FuzzJSON(f *testing.F) {
	s := guestOf(f, "json.c")
	for _, text := range texts {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if got, want := answer(t, s, text), read(text); got != want {
			t.Errorf("%q\n got %q\nwant %q", text, got, want)
		}
	})
}

// read is what json.c answers, by the reader of the Go SDK.
func read(text []byte) (answer string) {
	values, err := jsonfields.NewReader("a", "b").Read(text)
	if err != nil {
		return "no object"
	}
	for _, v := range values {
		whole := ""
		if n, ok := v.Int(); ok {
			whole = fmt.Sprint(n)
		}
		said, _ := v.Text()
		if v.Kind() != jsonfields.String {
			said = nil
		}
		answer += fmt.Sprintf("%d %s %s %s\n", v.Kind(), v.Raw(), whole, jsonfields.AppendQuoted(nil, said))
	}
	return answer
}
