package query_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	gnomon "gnomon/sdk/go"
	"gnomon/sdk/go/gnomontest"
	"gnomon/sdk/go/query"
)

// handle is what the test at hand does with a request: a program has one handler.
var handle query.Handler

func init() {
	gnomon.OnEvent(func(ev gnomon.Event, st gnomon.State) error { return st.Put(ev.Subject(), ev.Data()) })
	query.OnRequest(func(request []byte, st gnomon.Reader) ([]byte, error) { return handle(request, st) })
}

// ask runs the projection over events of some subjects, whose data is the subject in
// upper case, and asks it.
func ask(t *testing.T, h query.Handler, request string, subjects ...string) (string, error) {
	t.Helper()
	handle = h
	var events []gnomontest.Event
	for _, s := range subjects {
		events = append(events, gnomontest.Event{Subject: s, Data: []byte(strings.ToUpper(s))})
	}
	run, err := gnomontest.Run(events, gnomontest.Options{Batch: 2, Settings: `{"sep":"+"}`})
	if err != nil {
		t.Fatal(err)
	}
	return run.Query(request)
}

// A handler gets the bytes of a request, reads the state that the events made, and the
// settings, and what it returns is the answer.
func TestAnswers(t *testing.T) {
	h := func(request []byte, st gnomon.Reader) ([]byte, error) {
		var set struct{ Sep string }
		if err := gnomon.Settings(&set); err != nil {
			return nil, err
		}
		var all []string
		err := st.Scan(string(request), "", func(key string, value []byte) bool {
			all = append(all, key+"="+string(value))
			return true
		})
		return []byte(strings.Join(all, set.Sep)), err
	}
	for request, want := range map[string]string{"": "a=A+b.1=B.1+b.2=B.2", "b": "b.1=B.1+b.2=B.2", "c": "", "\xff": ""} {
		if got, err := ask(t, h, request, "b.1", "a", "b.2"); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", request, got, err, want)
		}
	}
	large := strings.Repeat("x", 1<<20)
	echo := func(request []byte, _ gnomon.Reader) ([]byte, error) { return request, nil }
	if got, err := ask(t, echo, large); err != nil || got != large {
		t.Errorf("a request of 1 MiB: answer of %d bytes, %v", len(got), err)
	}
}

// What keeps a handler from answering is told: an error word for word, and what may not be
// done in a request.
func TestRefusals(t *testing.T) {
	for want, h := range map[string]query.Handler{
		"no such report":                    func([]byte, gnomon.Reader) ([]byte, error) { return nil, errors.New("no such report") },
		"panic: impossible (query_test.go:": func([]byte, gnomon.Reader) ([]byte, error) { panic("impossible") },
		"not written for a request":         func([]byte, gnomon.Reader) ([]byte, error) { return nil, gnomon.State{}.Put("a", nil) },
		"emit \"a\": the state can be used": func([]byte, gnomon.Reader) ([]byte, error) { return nil, gnomon.Emit("a", nil) },
	} {
		_, err := ask(t, h, "", "a")
		var f *gnomontest.Failure
		if !errors.As(err, &f) || f.Call != "query" || !strings.Contains(f.Text, want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	_, err := ask(t, func(r []byte, _ gnomon.Reader) ([]byte, error) { return append(r, 'x'), nil }, strings.Repeat("x", 1<<20))
	if err == nil || !strings.Contains(err.Error(), "1048577 bytes: the limit is 1048576") {
		t.Errorf("too large an answer: %v", err)
	}
}

// A handler of JSON is asked for a value and answers with one; what is no such request is
// refused, and says why.
func TestJSON(t *testing.T) {
	h := query.JSON(func(q struct{ Prefix string }, st gnomon.Reader) (keys []string, err error) {
		if q.Prefix == "none" {
			return nil, fmt.Errorf("there is no %s", q.Prefix)
		}
		return keys, st.Scan(q.Prefix, "", func(key string, _ []byte) bool { keys = append(keys, key); return true })
	})
	for request, want := range map[string]string{``: `["a","b"]`, `{}`: `["a","b"]`, ` {"prefix":"b"} `: `["b"]`, `{"prefix":"x"}`: `null`} {
		if got, err := ask(t, h, request, "a", "b"); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", request, got, err, want)
		}
	}
	for request, want := range map[string]string{
		`{"prefix":"none"}`: "query: there is no none",
		`{"prefx":"b"}`:     `the request: json: unknown field "prefx"`,
		`{"prefix":5}`:      "the request: json: cannot unmarshal number",
		`{} {}`:             "the request: there is more after the JSON value",
		`what`:              "the request: invalid character",
	} {
		if _, err := ask(t, h, request, "a"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", request, err, want)
		}
	}
}
