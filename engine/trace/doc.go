// Package trace tells what projections do as traces of OpenTelemetry (go.opentelemetry.io/otel):
// a span for what is committed together, with one for each call of the guest and one for the
// commit, and a span for each event whose headers have a sampled trace context (W3C Trace
// Context, https://www.w3.org/TR/trace-context/), which what it emits goes on from.
package trace
