package main

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"

	collect "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// An engine with a collector in its environment traces what a request appends, from the request
// on to what a projection makes of the event.
func TestTracesFromRequestToProjection(t *testing.T) {
	var mu sync.Mutex
	spans := map[string][2]string{} // by name: parent and own id
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var sent collect.ExportTraceServiceRequest
		b, err := io.ReadAll(r.Body)
		if err == nil {
			err = proto.Unmarshal(b, &sent)
		}
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, rs := range sent.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					spans[s.Name] = [2]string{hex.EncodeToString(s.ParentSpanId), hex.EncodeToString(s.SpanId)}
				}
			}
		}
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	h := newHome(t, "log.>", projection("count", "count.wasm"))
	p := h.serve()
	req, err := http.NewRequestWithContext(t.Context(), "POST", h.served()+"/v1/streams/LOG/events", strings.NewReader(`{"subject":"log.a","data":1}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	p.awaitLive("count", 1)
	p.signal(syscall.SIGINT)
	if out, err := p.wait(); err != nil {
		t.Fatal(err, out)
	}
	mu.Lock()
	defer mu.Unlock()
	request, event := spans["POST /v1/streams/{stream}/events"], spans["process LOG"]
	if request[0] != "00f067aa0ba902b7" || event[0] != request[1] || event[1] == "" || spans["commit"][0] != spans["batch"][1] {
		t.Errorf("the spans are %v", spans)
	}
}
