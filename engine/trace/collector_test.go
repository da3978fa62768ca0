package trace_test

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	collect "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"gnomon/engine/trace"
	"gnomon/internal/testutil"
)

// collector takes traces over HTTP, as protobuf.
type collector struct {
	t   *testing.T
	url string
	log testutil.Log

	mu       sync.Mutex
	spans    []*otlp.Span
	resource map[string]string
}

func newCollector(t *testing.T) *collector {
	c := &collector{t: t}
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	c.url = s.URL
	return c
}

// ServeHTTP implements http.Handler.
func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err == nil && r.Header.Get("Content-Encoding") == "gzip" {
		var z *gzip.Reader
		if z, err = gzip.NewReader(bytes.NewReader(b)); err == nil {
			b, err = io.ReadAll(z)
		}
	}
	var sent collect.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(b, &sent)
	}
	if err != nil || r.URL.Path != "/v1/traces" {
		c.t.Errorf("%s %s: %v", r.Method, r.URL, err)
		http.Error(w, "bad", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range sent.ResourceSpans {
		c.resource = textsOf(rs.Resource.Attributes)
		for _, ss := range rs.ScopeSpans {
			c.spans = append(c.spans, ss.Spans...)
		}
	}
}

// open sends traces to the collector.
func (c *collector) open() *trace.Traces {
	c.t.Helper()
	c.t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.url)
	t, err := trace.Open(c.t.Context(), "v1", c.log.Logger())
	if err != nil || t == nil {
		c.t.Fatal(t, err)
	}
	return t
}

// named are the spans of a name, after everything was sent, with those attributes.
func (c *collector) named(name string, attributes ...string) (all []*otlp.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		texts := textsOf(s.Attributes)
		ok := s.Name == name
		for i := 0; i < len(attributes); i += 2 {
			ok = ok && texts[attributes[i]] == attributes[i+1]
		}
		if ok {
			all = append(all, s)
		}
	}
	return all
}

// one is the one span of a name with those attributes.
func (c *collector) one(name string, attributes ...string) *otlp.Span {
	c.t.Helper()
	all := c.named(name, attributes...)
	if len(all) != 1 {
		c.t.Fatalf("%d spans of %s with %v, want 1", len(all), name, attributes)
	}
	return all[0]
}

func textsOf(attributes []*common.KeyValue) map[string]string {
	m := map[string]string{}
	for _, a := range attributes {
		switch v := a.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			m[a.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			m[a.Key] = fmt.Sprint(v.IntValue)
		}
	}
	return m
}

// linked reports whether a span is linked to another one.
func linked(from, to *otlp.Span) bool {
	return slices.ContainsFunc(from.Links, func(l *otlp.Span_Link) bool { return bytes.Equal(l.SpanId, to.SpanId) })
}

// traceparent is that of what a span causes.
func traceparent(s *otlp.Span) string {
	return "00-" + hex.EncodeToString(s.TraceId) + "-" + hex.EncodeToString(s.SpanId) + "-01"
}
