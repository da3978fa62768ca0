package wire

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

// A difference is printed in the forms of other reads, and read as it was.
func TestDifference(t *testing.T) {
	for want, d := range map[string]Difference{
		`{"key":"a","change":"changed","live":1,"candidate":[2]}`:                     {[]byte("a"), KeyChanged, []byte("1"), []byte("[2]")},
		`{"key":"a","change":"changed","live":null,"candidate_b64":""}`:               {[]byte("a"), KeyChanged, []byte("null"), []byte{}},
		`{"key":"a","change":"changed","live_b64":"WzFd","candidate_b64":"WyAxXQ=="}`: {[]byte("a"), KeyChanged, []byte("[1]"), []byte("[ 1]")},
		`{"key":"<","change":"added","candidate":"<b>&"}`:                             {[]byte("<"), KeyAdded, nil, []byte(`"<b>&"`)},
		`{"key":"","change":"missing","live_b64":"dGV4dA=="}`:                         {[]byte(""), KeyMissing, []byte("text"), nil},
		`{"key_b64":"/w==","change":"missing","live":{}}`:                             {[]byte("\xff"), KeyMissing, []byte("{}"), nil},
	} {
		b, err := Marshal(d)
		var got DiffLine
		if err == nil {
			err = json.Unmarshal(b, &got)
		}
		if err != nil || string(b) != want || got.Compared != nil || !reflect.DeepEqual(*got.Difference, d) {
			t.Errorf("%s, %v, %+v; want %s, %+v", b, err, got.Difference, want, d)
		}
	}
}

// What a comparison amounts to is told from a difference, though they share names of fields.
func TestCompared(t *testing.T) {
	sum := Compared{AsOfSeq: 9, Live: "a", Candidate: "b", Same: 3}
	for _, c := range []KeyChange{KeyAdded, KeyMissing, KeyMissing, KeyChanged} {
		if sum.Count(c); !sum.Differs() {
			t.Errorf("%s does not differ", c)
		}
	}
	b, err := Marshal(sum)
	if want := `{"as_of_seq":9,"live":"a","candidate":"b","added":1,"missing":2,"changed":1,"same":3}`; err != nil || string(b) != want {
		t.Errorf("%s, %v, want %s", b, err, want)
	}
	var got DiffLine
	if err := json.Unmarshal(b, &got); err != nil || got.Difference != nil || *got.Compared != sum {
		t.Errorf("%+v, %v", got, err)
	}
	if (&Compared{Same: 5}).Differs() {
		t.Error("what is the same differs")
	}
}

// A promotion waits for a duration, within bounds, or not at all.
func TestPromoteDuration(t *testing.T) {
	for wait, want := range map[string]time.Duration{"": 0, "0s": 0, "30s": 30 * time.Second, "24h": MaxWait, "-1s": -1, "24h1s": -1, "30": -1, "soon": -1} {
		if d, err := (Promote{Wait: wait}).Duration(); (err != nil) != (want < 0) || err == nil && d != want {
			t.Errorf("%q: %v, %v", wait, d, err)
		}
	}
}
