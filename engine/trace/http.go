package trace

import (
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Handler has a span for each request that says what it is traced by; others have none, so that
// probes and scrapes make no traces. To who answers, the request is traced by that span. Route
// names what a request is for, without what stands for one of many: names, and keys, which may
// be about people.
func (t *Traces) Handler(next http.Handler, route func(*http.Request) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		if !trace.SpanContextFromContext(ctx).IsValid() {
			next.ServeHTTP(w, r)
			return
		}
		to := route(r)
		name, method := methodOf(r)
		ctx, span := t.tracer.Start(ctx, name+" "+to, trace.WithSpanKind(trace.SpanKindServer),
			trace.WithAttributes(attribute.String("http.request.method", method), attribute.String("http.route", to), attribute.String("url.scheme", schemeOf(r))))
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

// methodOf is the method of a request in the name of its span, and as its attribute: what a
// client made up is in neither (OpenTelemetry's semantic conventions for HTTP spans).
func methodOf(r *http.Request) (name, method string) {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions:
		return r.Method, r.Method
	}
	return "HTTP", "_OTHER"
}

func schemeOf(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
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
