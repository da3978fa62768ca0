package trace

import (
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Handler has a span for each request that says what it is traced by; others have none, so that
// probes and scrapes make no traces. To who answers, the request is traced by that span.
func (t *Traces) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		if !trace.SpanContextFromContext(ctx).IsValid() {
			next.ServeHTTP(w, r)
			return
		}
		route := routeOf(r.URL.EscapedPath())
		ctx, span := t.tracer.Start(ctx, r.Method+" "+route, trace.WithSpanKind(trace.SpanKindServer),
			trace.WithAttributes(attribute.String("http.request.method", r.Method), attribute.String("http.route", route), attribute.String("url.scheme", schemeOf(r))))
		defer span.End()
		r = r.WithContext(ctx)
		r.Header = r.Header.Clone()
		propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(r.Header))
		status := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(status, r)
		span.SetAttributes(attribute.Int("http.response.status_code", status.status))
		if status.status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, http.StatusText(status.status))
		}
	})
}

func schemeOf(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// routeOf is a path without what stands for one of many: names, and keys, which may be about
// people.
func routeOf(path string) string {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	names := map[string]string{"projections": "{projection}", "streams": "{stream}", "modules": "{name}"}
	if parts[0] != "v1" || len(parts) < 2 {
		return "/" + parts[0]
	}
	route := "/v1/" + parts[1]
	if len(parts) > 2 && names[parts[1]] != "" {
		route += "/" + names[parts[1]]
		if len(parts) > 3 {
			route += "/" + parts[3]
		}
		if len(parts) > 4 {
			route += "/{…}"
		}
	}
	return route
}

// statusWriter notes the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
	told   bool
}

// WriteHeader implements http.ResponseWriter.
func (s *statusWriter) WriteHeader(status int) {
	if !s.told && status >= http.StatusOK {
		s.status, s.told = status, true
	}
	s.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController find the writer below.
func (s *statusWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }
