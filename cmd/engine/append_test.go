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

// What cannot be published is refused over HTTP with the reason: no stream stores it, or
// it is no event that the server takes.
func TestPublishOverHTTP(t *testing.T) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	b, err := broker.Open(t.Context(), broker.Config{
		URL: broker.Embedded, Server: broker.Server{Dir: t.TempDir(), SyncInterval: time.Minute}, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if _, _, err := b.EnsureStream(t.Context(), broker.StreamSpec{Name: "S", Subjects: []string{"s.>"}}); err != nil {
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
		{"T", `{"subject":"s.a","data":1}`, 404, `"code":"no-such-stream","detail":"publish s.a: stream not found: stream T does not store this subject"`},
		{"S", `{"subject":"s.*"}`, 400, `has a wildcard`},
		{"S", `{"subject":"s.a","time":"yesterday"}`, 400, `is not RFC 3339`},
		{"S", `{"subject":"s.a","data":1,"data_b64":"Mg=="}`, 400, `data and data_b64 are both given`},
		{"S", fmt.Sprintf(`{"subject":"s.a","data":"%s"}`, strings.Repeat("x", 1<<20)), 400, `at most 1048576 are taken`},
		{"SMALL", fmt.Sprintf(`{"subject":"small","data":"%s"}`, strings.Repeat("x", 1000)), 400, `max_msg_size of the stream`},
		{"S", `{"subject":"s.a","data":2}`, 201, `"seq":2`},
	} {
		r := httptest.NewRequest(http.MethodPost, "http://localhost/v1/streams/"+tt.stream+"/events", strings.NewReader(tt.event))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%.60s to %s: %d %s, want %d %s", tt.event, tt.stream, w.Code, w.Body, tt.status, tt.want)
		}
	}
}
