package query_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gnomon/engine/query"
	"gnomon/engine/query/wire"
)

// Several events are appended as one; that they were there already is 200 instead of 201, and
// the sequence to read with is in the body and in a header.
func TestAppendSeveral(t *testing.T) {
	r := newRig(t, "")
	a := r.ask("POST", "/v1/streams/S/events", `{"events":[{"subject":"e.x","data":1,"expect_last_seq":0},{"subject":"e.y","msg_id":"m","expect_last_subject_seq":7,"expect_subject":"e.>"}]}`)
	if a.StatusCode != 200 || a.body != `{"stream":"S","seq":44,"first_seq":43,"count":2,"duplicate":true}`+"\n" || a.Header.Get("Gnomon-Sequence") != "44" {
		t.Errorf("%s %v", a, a.Header)
	}
	e := r.appender.events
	if len(e) != 2 || e[0].Subject != "e.x" || *e[0].ExpectLastSeq != 0 || e[0].ExpectLastSubjectSeq != nil || e[1].MessageID() != "m" || *e[1].ExpectLastSubjectSeq != 7 || e[1].ExpectSubject != "e.>" {
		t.Errorf("the appender got %+v", e)
	}
	if a := r.ask("POST", "/v1/streams/S/events", `{"subject":"e.x"}`); a.StatusCode != 201 || a.Header.Get("Gnomon-Sequence") != "43" {
		t.Errorf("one event: %s %v", a, a.Header)
	}
	if done, err := r.client().PublishBatch(t.Context(), "S", []wire.NewEvent{{Subject: "e.z"}}); err != nil || done.First != 43 || r.appender.events[0].Subject != "e.z" {
		t.Errorf("the client: %+v, %v", done, err)
	}
}

// A refusal shows which event is there instead, and what it says if that is asked for.
func TestAppendConflict(t *testing.T) {
	r := newRig(t, "")
	have := uint64(5)
	last := &wire.Stored{Sequence: 5, Subject: "e.x", StoredAt: time.Unix(1, 0).UTC(), MsgID: "m", Data: json.RawMessage(`{"by":"ada"}`)}
	r.appender.err = fmt.Errorf("so: %w", &query.ConflictError{Conflict: wire.Conflict{Event: 2, LastSubjectSeq: &have, Last: last}, Err: errors.New("wrong")})
	for show, want := range map[string]string{
		"":           `"event":2,"last_subject_seq":5,"last_event":{"seq":5,"subject":"e.x","stored_at":"1970-01-01T00:00:01Z","msg_id":"m"}}`,
		"?show=data": `"event":2,"last_subject_seq":5,"last_event":{"seq":5,"subject":"e.x","stored_at":"1970-01-01T00:00:01Z","msg_id":"m","data":{"by":"ada"}}}`,
	} {
		for _, body := range []string{`{"subject":"e.x"}`, `{"events":[]}`} {
			a := r.ask("POST", "/v1/streams/S/events"+show, body)
			if p := a.problem(t); p.Code != wire.CodeWrongSequence || p.Status != 409 || !strings.HasSuffix(strings.TrimSpace(a.body), want) {
				t.Errorf("%s: %s, want %s", show, a, want)
			}
		}
	}
	_, err := r.client().Publish(t.Context(), "S", wire.NewEvent{Subject: "e.x"})
	var p *wire.Problem
	if !errors.As(err, &p) || p.Conflict == nil || *p.LastSubjectSeq != 5 || string(p.Last.Data) != `{"by":"ada"}` {
		t.Errorf("the client: %+v", err)
	}
	for is, code := range map[error]string{
		query.ErrWrongStream: wire.CodeWrongStream, query.ErrKnownID: wire.CodeKnownID, query.ErrNotAtomic: wire.CodeNotAtomic, query.ErrInDoubt: wire.CodeInDoubt, query.ErrInTheWay: wire.CodeBusy, query.ErrBadEvent: wire.CodeBadRequest,
	} {
		r.appender.err = is
		if p := r.ask("POST", "/v1/streams/S/events", `{"subject":"e.x"}`).problem(t); p.Code != code || p.Conflict != nil {
			t.Errorf("%v: %+v", is, p)
		}
	}
}

// What is no append is refused with the reason, and nothing is appended.
func TestAppendIsRefused(t *testing.T) {
	r := newRig(t, "")
	for body, want := range map[string]string{
		`{"events":[{"subject":"a"}],"subject":"b"}`:                  "events stands beside fields of an event",
		`{"events":[{"subject":"a"}],"expect_last_seq":0}`:            "events stands beside fields of an event",
		`{"events":[{"subject":"a","events":[]}]}`:                    `unknown field "events"`,
		`{"subject":"a","expect_last_seq":-1}`:                        "cannot unmarshal number -1",
		`{"subject":"a","expect_last_subject_seq":"3"}`:               "cannot unmarshal string",
		`{"subject":"a","expect_last_subject_seq":1.5}`:               "cannot unmarshal number 1.5",
		`{"subject":"a","expect_the_best":"S"}`:                       `unknown field "expect_the_best"`,
		`{"subject":"a"}{"subject":"b"}`:                              "more after the JSON value",
		`[{"subject":"a"}]`:                                           "cannot unmarshal array",
		``:                                                            "EOF",
		`{"subject":"a","data":"` + strings.Repeat("x", 5<<20) + `"}`: "more than 4194304 bytes",
	} {
		a := r.ask("POST", "/v1/streams/S/events", body)
		if p := a.problem(t); p.Status != 400 && p.Status != 413 || !strings.Contains(p.Detail, want) {
			t.Errorf("%.60s: %s, want %s", body, a, want)
		}
	}
	if p := r.ask("POST", "/v1/streams/S/events?show=all", `{"subject":"a"}`).problem(t); p.Status != 400 || !strings.Contains(p.Detail, `show is "all"; there is: data`) {
		t.Errorf("%+v", p)
	}
	if r.appender.event.Subject != "" || r.appender.events != nil {
		t.Errorf("appended %+v, %+v", r.appender.event, r.appender.events)
	}
}

// Whatever bytes a body is: it is refused, or an append that means the same when it is written out
// and read again.
func FuzzAppendBody(f *testing.F) {
	for _, seed := range []string{
		`{"subject":"a","data":{"x":[1,null]},"expect_last_seq":3}`, `{"events":[{"subject":"a","data_b64":"AP8="},{"subject":"b","msg_id":"1"}]}`,
		`{"events":null,"subject":"a"}`, `{"events":[],"id":""}`, `{"Subject":"a","SUBJECT":"b"}`, `{"subject":"a","data":null}`, `{"subject":"a"} `, "[]", "\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		one, several, err := query.ParseAppend(bytes.NewReader(body))
		if err != nil {
			return
		}
		var again any = one
		if several != nil {
			again = wire.NewEvents{Events: several}
		}
		text, err := wire.Marshal(again)
		if err != nil {
			t.Fatalf("%q is read as %+v, which cannot be written: %v", body, again, err)
		}
		one2, several2, err := query.ParseAppend(bytes.NewReader(text))
		same, _ := wire.Marshal(wire.NewEvents{Events: several2})
		if several2 == nil {
			same, _ = wire.Marshal(one2)
		}
		if err != nil || !bytes.Equal(same, text) {
			t.Errorf("%q is %s, and that is %s, %v", body, text, same, err)
		}
	})
}
