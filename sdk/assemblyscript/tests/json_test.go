package tests

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/engine/testdriver"
	"gnomon/sdk/jsonfields"
)

// documents are what the reader of JSON is tried on, and what mutations begin with.
var documents = []string{
	`{}`, ` { "a" : 1 , "b" : [ { } , -0.5e+3 , "x" ] , "c" : { "d" : null } , "e" : true , "f" : false } `, `{"a":"\u00e9\ud83d\ude00\n\"\\\/"}`,
	`{"\u0061":1,"\t":2,"":3}`, `{"a":"é😀"}`, `{"a":01}`, `{"a":1.}`, `{"a":-}`, `{"a":1e}`, `{"a":+1}`, `{"a":tru}`, `{"a":"\x"}`, `{"a":"\u12"}`,
	`{"a":1,}`, `{,}`, `{"a"}`, `{"a":}`, `{a:1}`, `{"a":1}}`, `[]`, `1`, ``, `{`, `{"a":[1,]}`, `{"a":[`, "{\"a\":\"\n\"}", `{"a":"` + "\xff" + `"}`, `{"a":nullx}`,
	`{"a":{"b":{"c":[[[]]]}},"z":0}`,
}

// What the module reads as an object is what encoding/json takes for one, and it reads the
// same in it: names, strings, numbers.
func TestJSON(t *testing.T) {
	ask := asker(t)
	for _, document := range documents {
		checkJSON(t, ask, []byte(document))
	}
	if _, err := ask([]byte(`{"a":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`)); err == nil {
		t.Error("10,000 arrays in an object are read: 10,000 is the limit of all")
	}
}

// The same holds of documents that are changed at random. (Not a fuzz target: each of its
// workers would compile the guest again, by a compiler that is itself measured.)
func TestJSONMutated(t *testing.T) {
	const seed, most = 11, 40_000
	ask, rnd := asker(t), rand.New(rand.NewPCG(seed, 0))
	count := most
	if testing.Short() {
		count /= 20
	}
	for range count {
		document := []byte(documents[rnd.IntN(len(documents))])
		for range 1 + rnd.IntN(3) {
			document = mutated(rnd, document)
		}
		if checkJSON(t, ask, document); t.Failed() {
			return
		}
	}
}

// mutated changes a byte, adds one, takes one away, or joins the beginning of one document to
// the end of another.
func mutated(rnd *rand.Rand, document []byte) []byte {
	const bytesOfJSON = "{}[]\",:0123456789.eE+-tfnrualse \\\n\x00\xc3\xa9"
	at := rnd.IntN(len(document) + 1)
	b := bytesOfJSON[rnd.IntN(len(bytesOfJSON))]
	head, tail := slices.Clone(document[:at]), document[at:]
	switch rnd.IntN(4) {
	case 0:
		return append(append(head, b), tail...)
	case 1:
		return append(head, tail[min(1, len(tail)):]...)
	case 2:
		return append(append(head, b), tail[min(1, len(tail)):]...)
	}
	other := documents[rnd.IntN(len(documents))]
	return append(head, other[rnd.IntN(len(other)+1):]...)
}

// asker returns a function that has the module read an object and write it again.
func asker(t testing.TB) func(document []byte) ([]byte, error) {
	subject := guestOf(t, "probe")
	ctx := t.Context()
	in, err := subject.Module.Instantiate(ctx, guest.Config{Memory: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return func(document []byte) ([]byte, error) {
		answer, err := in.Query(ctx, document, testdriver.NewState(state.TxLimit{}))
		if err != nil { // a trap leaves an instance that must not be used again
			_ = in.Close(ctx)
			if in, err = subject.Module.Instantiate(ctx, guest.Config{Memory: 64 << 20}); err != nil {
				t.Fatal(err)
			}
			return nil, errRefused
		}
		return answer, nil
	}
}

var errRefused = &guest.Error{Call: "query", Kind: guest.Refused}

func checkJSON(t *testing.T, ask func(document []byte) ([]byte, error), document []byte) {
	t.Helper()
	names, err := jsonfields.Names(document)
	if len(names) > 60 || twice(names) {
		return // the module writes a name as often as it stands there
	}
	answer, refused := ask(document)
	if (refused == nil) != (err == nil) {
		t.Fatalf("%q: refused is %v, though it is %v", document, refused, err)
	}
	if err != nil {
		return
	}
	want := rewritten(t, document, names)
	if !bytes.Equal(answer, want) {
		t.Errorf("%q is read as\n  %s\nwant\n  %s", document, answer, want)
	}
}

func twice(names []string) bool {
	seen := map[string]bool{}
	for _, n := range names {
		if seen[n] {
			return true
		}
		seen[n] = true
	}
	return false
}

// rewritten is what the module answers.
func rewritten(t *testing.T, document []byte, names []string) []byte {
	t.Helper()
	values, err := jsonfields.NewReader(names...).Read(document)
	if err != nil || !json.Valid(document) {
		t.Fatalf("%q: %v", document, err)
	}
	b := []byte("{")
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(jsonfields.AppendQuoted(b, names[i]), ':')
		switch v.Kind() {
		case jsonfields.String:
			text, _ := v.Text()
			b = jsonfields.AppendQuoted(b, text)
		case jsonfields.Object:
			b = append(b, "{}"...)
		case jsonfields.Array:
			b = append(b, "[]"...)
		default:
			b = append(b, v.Raw()...)
		}
	}
	return append(b, '}')
}
