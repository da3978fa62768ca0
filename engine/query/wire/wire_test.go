package wire

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"

	"gnomon/engine"
)

// Rows are printed as the contract has them.
func TestRowForms(t *testing.T) {
	for _, c := range []struct{ key, value, want string }{
		{"k", `{"b":1,"a":2}`, `{"key":"k","value":{"b":1,"a":2}}`},
		{"k", `1e400`, `{"key":"k","value":1e400}`},
		{"k", `"<>&"`, `{"key":"k","value":"<>&"}`},
		{"k", "text", `{"key":"k","value_b64":"dGV4dA=="}`},
		{"k", "", `{"key":"k","value_b64":""}`},
		{"k", "\"\xff\"", `{"key":"k","value_b64":"Iv8i"}`},
		{"\xff", `null`, `{"key_b64":"/w==","value":null}`},
		{"a\tb", `0`, `{"key":"a\tb","value":0}`},
	} {
		got, err := Marshal(Row{Key: []byte(c.key), Value: []byte(c.value)})
		if err != nil || string(got) != c.want {
			t.Errorf("%q %q: %s, %v, want %s", c.key, c.value, got, err, c.want)
		}
	}
}

// Before the first event there is no time.
func TestGetWithoutTime(t *testing.T) {
	g := Get{Projection: "p", Row: Row{Key: []byte("k"), Value: []byte("1")}}
	if got, err := Marshal(g); err != nil || string(got) != `{"projection":"p","key":"k","value":1,"as_of_seq":0,"as_of_time":null}` {
		t.Errorf("%s, %v", got, err)
	}
	g.Sequence, g.Time = 9, time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("x", 3600))
	b, err := Marshal(g)
	var back Get
	if err != nil || json.Unmarshal(b, &back) != nil || back.Sequence != 9 || !back.Time.Equal(g.Time) || back.Time.Location() != time.UTC {
		t.Errorf("%s, %v: %+v", b, err, back)
	}
}

// The time that a projection still catches up is there while it is known.
func TestTimeLeft(t *testing.T) {
	for left, want := range map[int64]bool{7500: true, 0: false} {
		b, err := Marshal(Projections{Projections: []engine.Status{{LeftMs: left}}})
		if err != nil || bytes.Contains(b, []byte(`"left_ms"`)) != want {
			t.Errorf("%d ms: %s, %v", left, b, err)
		}
		var back Projections
		if err := json.Unmarshal(b, &back); err != nil || back.Projections[0].LeftMs != left {
			t.Errorf("%d ms came back as %+v, %v", left, back, err)
		}
	}
}

// Any key and value come back from JSON as they were, but for the blanks between
// JSON's tokens.
func FuzzRow(f *testing.F) {
	f.Add([]byte("key"), []byte(`{"a": [1, 2]}`))
	f.Add([]byte{0xff}, []byte("\x00text"))
	f.Add([]byte("k"), []byte("null"))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		b, err := Marshal(Row{Key: key, Value: value})
		if err != nil || !utf8.Valid(b) {
			t.Fatalf("%q: %v", b, err)
		}
		var back Row
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		if IsJSON(value) {
			var want bytes.Buffer
			if err := json.Compact(&want, value); err != nil {
				t.Fatal(err)
			}
			value = want.Bytes()
		}
		if !bytes.Equal(back.Key, key) || !bytes.Equal(back.Value, value) {
			t.Errorf("%q %q came back as %q %q by %s", key, value, back.Key, back.Value, b)
		}
	})
}

// The kind of an event can be told from its JSON without reading all of it.
func TestKindOf(t *testing.T) {
	for _, kind := range []engine.WatchKind{engine.WatchReset, engine.WatchSnapshot, engine.WatchChange, engine.WatchGeneration, engine.WatchPosition, engine.WatchState, engine.WatchIdle, engine.WatchEnd} {
		b, err := Marshal(Watched{engine.WatchEvent{Kind: kind, Key: []byte("k"), Value: []byte(`"event":"x"`), Reason: `{"event":"x"`}})
		if got := KindOf(b); err != nil || got != kind {
			t.Errorf("%s, %v is of kind %q, want %q", b, err, got, kind)
		}
	}
	for _, none := range []string{"", "{}", `{"event":"`, `{"event":"end`, `{"status":"event"}`} {
		if got := KindOf([]byte(none)); got != "" {
			t.Errorf("%s is of kind %q", none, got)
		}
	}
}
