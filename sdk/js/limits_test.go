package js_test

import (
	"errors"
	"strings"
	"testing"

	"gnomon/engine/guest"
)

// What the host refuses fails the event that wrote it, also in a batch in which a later event
// writes something else there: what is kept until the end of a batch hides nothing.
func TestRefusedWhereItWasWritten(t *testing.T) {
	for _, tt := range []struct{ name, first, second, want string }{
		{"a value", `state.put("k", "x".repeat(2 ** 20 + 1))`, `state.put("k", "")`, `put "k": too large`},
		{"a value of few characters", `state.put("k", "é".repeat(2 ** 19) + "x")`, `state.delete("k")`, `put "k": too large`},
		{"bytes", `state.put("k", new Uint8Array(2 ** 20 + 1))`, `state.delete("k")`, `put "k": too large`},
		{"an object", `state.putJSON("k", { a: ["é".repeat(2 ** 19)] })`, `state.putJSON("k", {})`, `put "k": too large`},
		{"an object that grew", `state.fold("k", { a: [] }, (v) => { for (let i = 0; i < 20; i++) v.a.push({ name: long + i }); })`, `state.delete("k")`, `put "k": too large`},
		{"a value that is not plain", `state.putJSON("k", { toJSON() { return "x".repeat(2 ** 20); } })`, `state.delete("k")`, `put "k": too large`},
		{"half of a pair", `state.put("k", "\ud83d")`, `state.put("k", "")`, "half of a surrogate pair"},
		{"a key", `state.put("k".repeat(64001), "")`, `state.delete("k".repeat(64001))`, "too large: a key may have 64000 bytes"},
		{"a key of few characters", `state.put("é".repeat(32001), "")`, `0`, "too large: a key may have 64000 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t, "const long = \"x\".repeat(60000); export function onEvent(event, state) { if (event.sequence === 1) {"+tt.first+"} else {"+tt.second+"} }", "{}")
			err := r.try(events("1", "2")...)
			var guest *guest.Error
			if !errors.As(err, &guest) || guest.Event != 0 || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %.200v, want of event 0: %s", err, tt.want)
			}
		})
	}
}

// What an event wrote in all is handed to the host before the next event, when it may be more
// than an event is allowed: the limit is held against it, whatever is left of it later.
func TestManyWritesAreHandedOver(t *testing.T) {
	for name, first := range map[string]string{
		"bytes":   `for (let i = 0; i < 3; i++) state.put("k" + i, long)`,
		"objects": `for (let i = 0; i < 3; i++) state.putJSON("k" + i, [long.slice(0, 400_000)])`,
		"keys":    `for (let i = 0; i < 2000; i++) state.put("k" + i, "")`,
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, `const long = "x".repeat(2 ** 20); export function onEvent(event, state) {
				if (event.sequence === 1) {`+first+`} else for (let i = 0; i < 2000; i++) state.delete("k" + i); }`, "{}")
			r.apply(events("1", "2")...)
			if r.want(); r.state.puts < 3 {
				t.Errorf("%d puts", r.state.puts)
			}
		})
	}
}

// A scan does not see what is written meanwhile, and ends with an error where another one would
// make it see that.
func TestScanAndWrite(t *testing.T) {
	r := start(t, `export function onEvent(event, state) {
		if (event.text === "fill") for (let i = 0; i < 300; i++) state.put("k" + i, "12345678".repeat(20));
		if (event.text === "delete") for (const [k] of state.scan("k")) { state.delete(k); state.put(k + "!", ""); }
		if (event.text === "read") for (const [k] of state.scan("k")) for (const [i] of state.scan(k)) state.get(i);
		if (event.text === "both") for (const [k] of state.scan("k")) { state.delete(k); [...state.scan("x")]; }
	}`, "{}")
	r.apply(events("fill", "delete", "read")...)
	if len(r.state.rows) != 300 || r.state.rows["k299"] != "" {
		t.Errorf("%d rows", len(r.state.rows))
	}
	if err := r.try(events("both")...); err == nil || !strings.Contains(err.Error(), `scan "k": the state was written, and scanned again, during the scan`) {
		t.Errorf("error %v", err)
	}
}

// Of JSON that is not UTF-8 each such byte is U+FFFD, as in all languages; a text that is read of
// it is an error: nothing is replaced there.
func TestDataThatIsNotUTF8(t *testing.T) {
	for read, want := range map[string]string{`event.data.a`: "\ufffd\ufffd", `event.text`: "", `event.bytes.length`: "10"} {
		r := start(t, `export function onEvent(event, state) { state.put("k", String(`+read+`)); }`, "{}")
		err := r.try(events("{\"a\":\"\xff\xc3\"}")...)
		if want == "" {
			if err == nil || !strings.Contains(err.Error(), "not UTF-8") {
				t.Errorf("%s: error %v, state %q", read, err, r.state.rows)
			}
		} else if r.want("k", want); err != nil {
			t.Errorf("%s: %v", read, err)
		}
	}
}
