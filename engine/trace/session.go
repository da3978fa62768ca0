package trace

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"gnomon/engine"
	"gnomon/sdk/abi"
)

// Session implements engine.Tracer.
func (t *Traces) Session(projection, generation, stream string) engine.SessionTracer {
	return &session{
		traces: t, projection: projection, generation: generation, stream: stream,
		about: []attribute.KeyValue{attribute.String("gnomon.projection", projection), attribute.String("gnomon.generation", generation), attribute.String("gnomon.stream", stream)},
	}
}

// session traces one session of a generation.
type session struct {
	traces                         *Traces
	projection, generation, stream string
	about                          []attribute.KeyValue // of all its spans

	open     *batch // that is being applied; nil: none yet
	underWay *batch // that is being committed
}

// batch is what is committed together.
type batch struct {
	ctx         context.Context // with its span
	span        trace.Span
	first, last uint64 // sequences
	events      int
	fuel        uint64
	cut         time.Time
}

func (s *session) attributes(more ...attribute.KeyValue) trace.SpanStartEventOption {
	return trace.WithAttributes(append(slices.Clone(s.about), more...)...)
}

// Applied implements engine.SessionTracer.
func (s *session) Applied(a engine.Applied) {
	if s.open == nil {
		s.open = &batch{first: a.First}
		s.open.ctx, s.open.span = s.traces.tracer.Start(context.Background(), "batch", trace.WithTimestamp(a.Began), s.attributes())
	}
	b, ended := s.open, a.Began.Add(a.Took)
	_, call := s.traces.tracer.Start(b.ctx, "apply", trace.WithTimestamp(a.Began), s.attributes(numbers(a.First, a.Last, a.Events, a.Fuel)...))
	fail(call, a.Err)
	if a.Err == nil {
		b.last, b.events, b.fuel = a.Last, b.events+a.Events, b.fuel+a.Fuel
	}
	if a.Err == nil || a.Events == 1 { // which of several failed is found out by other calls
		s.each(a, call, ended)
	}
	call.End(trace.WithTimestamp(ended))
}

// numbers are the attributes of a call, or of several.
func numbers(first, last uint64, events int, fuel uint64) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.Int64("gnomon.sequence.first", int64(first)), attribute.Int64("gnomon.sequence.last", int64(last)),
		attribute.Int("gnomon.events", events), attribute.Int64("gnomon.fuel", int64(fuel)),
	}
}

func fail(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
}

// each makes the spans of the events that are traced: those of the call and they are linked.
func (s *session) each(a engine.Applied, call trace.Span, ended time.Time) {
	last := uint64(0)
	for rest := a.Records; len(rest) > 0; {
		e, after, err := abi.Next(rest)
		if err != nil {
			return
		}
		rest = after
		parent, ok := sampled(e.Headers)
		if !ok || e.Sequence == last { // upcasters may make several records of an event
			continue
		}
		last = e.Sequence
		span := s.start(parent, e.Sequence, trace.WithTimestamp(a.Began), trace.WithLinks(trace.Link{SpanContext: call.SpanContext()}))
		call.AddLink(trace.Link{SpanContext: span.SpanContext()})
		fail(span, a.Err)
		span.End(trace.WithTimestamp(ended))
	}
}

// sampled is the trace context in headers, if there is a valid one that is sampled.
func sampled(headers []byte) (parent trace.SpanContext, ok bool) {
	if _, has := (&abi.Record{Headers: headers}).Header("traceparent"); !has {
		return parent, false // as most
	}
	parent = trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), &carrier{headers}))
	return parent, parent.IsValid() && parent.IsSampled()
}

// start begins the span of an event.
func (s *session) start(parent trace.SpanContext, sequence uint64, more ...trace.SpanStartOption) trace.Span {
	ctx := trace.ContextWithRemoteSpanContext(context.Background(), parent)
	ctx = withSpanID(ctx, spanOf(parent, s.projection, s.generation, sequence))
	_, span := s.traces.tracer.Start(ctx, "process "+s.stream, append(more, trace.WithSpanKind(trace.SpanKindConsumer), s.attributes(
		attribute.Int64("gnomon.sequence", int64(sequence)),
		attribute.String("messaging.system", "nats"), attribute.String("messaging.operation.type", "process"), attribute.String("messaging.destination.name", s.stream),
	))...)
	return span
}

// Continue implements engine.SessionTracer.
func (s *session) Continue(headers []byte, cause *abi.Record) []byte {
	parent, ok := sampled(cause.Headers)
	if !ok {
		return headers
	}
	// The span itself is told of when the call has returned. This one, which never ends and is
	// never sent, has its id, and what the sampler thinks of it.
	span := s.start(parent, cause.Sequence)
	if !span.SpanContext().IsSampled() {
		return headers
	}
	c := &carrier{headers}
	propagation.TraceContext{}.Inject(trace.ContextWithSpan(context.Background(), span), c)
	return c.headers
}

// Cut implements engine.SessionTracer.
func (s *session) Cut() {
	if s.underWay, s.open = s.open, nil; s.underWay != nil {
		s.underWay.cut = time.Now()
	}
}

// Committed implements engine.SessionTracer.
func (s *session) Committed(c engine.Committed) {
	b := s.underWay
	if s.underWay = nil; b == nil { // nothing was applied, such as when only the position moved
		return
	}
	ended := b.cut.Add(c.Took)
	_, span := s.traces.tracer.Start(b.ctx, "commit", trace.WithTimestamp(b.cut), s.attributes(attribute.Int64("gnomon.sequence", int64(c.Sequence))))
	fail(span, c.Err)
	span.End(trace.WithTimestamp(ended))
	b.end(c.Err, ended)
}

func (b *batch) end(err error, at time.Time) {
	b.span.SetAttributes(numbers(b.first, max(b.first, b.last), b.events, b.fuel)...)
	fail(b.span, err)
	b.span.End(trace.WithTimestamp(at))
}

// Close implements engine.SessionTracer.
func (s *session) Close() {
	for _, b := range []*batch{s.underWay, s.open} {
		if b != nil {
			b.end(errNotCommitted, time.Now())
		}
	}
}

// errNotCommitted says that a session ended before what it applied was committed: it is applied
// again, or was found not to be applicable.
var errNotCommitted = errors.New("not committed")
