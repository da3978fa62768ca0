package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine"
	"gnomon/engine/broker"
	"gnomon/engine/query"
)

// What is appended over HTTP is answered with its sequence, a second time as the first time; what
// cannot be is refused with the reason, and with what is there instead of what was expected.
func TestPublishOverHTTP(t *testing.T) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	b, err := broker.Open(t.Context(), broker.Config{
		URL: broker.Embedded, Server: broker.Server{Dir: t.TempDir(), SyncInterval: time.Minute}, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if _, _, err := b.EnsureStream(t.Context(), broker.StreamSpec{Name: "S", Subjects: []string{"s.>"}, Atomic: true}); err != nil {
		t.Fatal(err)
	}
	small := jetstream.StreamConfig{Name: "SMALL", Subjects: []string{"small"}, MaxMsgSize: 1000}
	if _, err := b.JetStream().CreateStream(t.Context(), small); err != nil {
		t.Fatal(err)
	}
	server := query.New(query.Options{Engine: engine.New(engine.Options{Log: log}), Appender: &appender{broker: b}, Log: log})
	for _, tt := range []struct {
		stream, event string
		status        int
		want          string
	}{
		{"S", `{"subject":"s.a","data":1}`, 201, `"seq":1`},
		{"S", `{"subject":"t","data":1}`, 404, `"code":"no-such-stream","detail":"publish t: stream not found: no stream stores this subject"`},
		{"T", `{"subject":"s.a","data":1}`, 404, `"code":"no-such-stream","detail":"publish s.a: stream not found: stream T does not store this subject","hint":"name the stream that stores the subject, or`},
		{"S", `{"subject":"s.*"}`, 400, `has a wildcard`},
		{"S", `{"subject":"s.a","time":"yesterday"}`, 400, `is not RFC 3339`},
		{"S", `{"subject":"s.a","data":1,"data_b64":"Mg=="}`, 400, `data and data_b64 are both given`},
		{"S", fmt.Sprintf(`{"subject":"s.a","data":"%s"}`, strings.Repeat("x", 1<<20)), 400, `at most 1048576 are taken`},
		{"SMALL", fmt.Sprintf(`{"subject":"small","data":"%s"}`, strings.Repeat("x", 1000)), 400, `max_msg_size of the stream`},
		{"S", `{"subject":"s.a","id":"two\nlines"}`, 400, `id \"two\\nlines\" cannot be a header`},
		{"S", `{"subject":"s.a","expect_last_subject_seq":0,"expect_subject":"s..a"}`, 400, `expect_subject: subject \"s..a\" has an empty token`},
		{"S", `{"subject":"s.a","expect_subject":"s.b"}`, 400, `no sequence that its last event must have`},
		{"S", `{"subject":"s.a","data":2}`, 201, `{"stream":"S","seq":2,"duplicate":false}`},
		{"S", `{"subject":"s.b","msg_id":"b","data":{"by":"ada"},"expect_last_subject_seq":0,"expect_last_seq":2}`, 201, `"seq":3`},
		{"S", `{"subject":"s.b","msg_id":"b","data":{"by":"ada"},"expect_last_subject_seq":0,"expect_last_seq":2}`, 200, `{"stream":"S","seq":3,"duplicate":true}`},
		{"S", `{"subject":"s.b","msg_id":"c","expect_last_subject_seq":0}`, 409, `"last_subject_seq":3,"last_event":{"seq":3,"subject":"s.b"`},
		{"S", `{"subject":"s.b","msg_id":"c","expect_last_subject_seq":0}`, 409, `"msg_id":"b","data":{"by":"ada"}}}`},
		{"S", `{"subject":"s.b","expect_stream":"OTHER"}`, 409, `"code":"wrong-stream"`},
		{"S", `{"events":[{"subject":"s.b","expect_stream":"S"},{"subject":"s.b","expect_stream":"OTHER"}]}`, 409, `event 2: publish s.b: wrong stream: expected stream OTHER, and it is appended to S`},
		{"S", `{"subject":"s.b","expect_last_seq":1}`, 409, `"last_seq":3,"last_event":{"seq":3,`},
		{"S", `{"subject":"s.c","expect_last_subject_seq":1}`, 409, `"last_subject_seq":0}`},
		{"S", `{"events":[{"subject":"s.c","id":"1"},{"subject":"s.c","id":"2"}]}`, 201, `{"stream":"S","seq":5,"first_seq":4,"count":2,"duplicate":false}`},
		{"S", `{"events":[{"subject":"s.c","id":"1"},{"subject":"s.c","id":"2"}]}`, 200, `{"stream":"S","seq":5,"first_seq":4,"count":2,"duplicate":true}`},
		{"S", `{"events":[{"subject":"s.d"},{"subject":"s.c","id":"2"}]}`, 409, `"code":"known-id"`},
		{"S", `{"events":[{"subject":"s.d"},{"subject":"s.c","expect_last_subject_seq":4}]}`, 409, `"event":2,"last_subject_seq":5,`},
		{"S", `{"events":[{"subject":"s.d"},{"subject":"s.*"}]}`, 400, `event 2: subject`},
		{"S", `{"events":[{"subject":"s.d"},{"subject":"t"}]}`, 404, `event 2 of the batch, t: stream not found`},
		{"S", `{"events":[]}`, 400, `a batch has 1 to 1000 events, not 0`},
		{"SMALL", `{"events":[{"subject":"small"}]}`, 409, `"code":"not-atomic"`},
		{"S", `{"subject":"s.d"}`, 201, `"seq":6`},
	} {
		r := httptest.NewRequest(http.MethodPost, "http://localhost/v1/streams/"+tt.stream+"/events?show=data", strings.NewReader(tt.event))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%.60s to %s: %d %s, want %d %s", tt.event, tt.stream, w.Code, w.Body, tt.status, tt.want)
		}
	}
}
