package trace

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"

	"go.opentelemetry.io/otel/trace"
)

// ids makes random ids, but where the context has one that was derived.
type ids struct{}

type spanKey struct{}

// withSpanID gives the next span of a context an id.
func withSpanID(ctx context.Context, id trace.SpanID) context.Context {
	return context.WithValue(ctx, spanKey{}, id)
}

// NewIDs implements sdk.IDGenerator.
func (i ids) NewIDs(ctx context.Context) (t trace.TraceID, s trace.SpanID) {
	for !t.IsValid() {
		binary.LittleEndian.PutUint64(t[:], rand.Uint64())
		binary.LittleEndian.PutUint64(t[8:], rand.Uint64())
	}
	return t, i.NewSpanID(ctx, t)
}

// NewSpanID implements sdk.IDGenerator.
func (ids) NewSpanID(ctx context.Context, _ trace.TraceID) (s trace.SpanID) {
	if id, ok := ctx.Value(spanKey{}).(trace.SpanID); ok {
		return id
	}
	for !s.IsValid() {
		binary.LittleEndian.PutUint64(s[:], rand.Uint64())
	}
	return s
}

// spanOf is the id of the span of an event in a generation of a projection. It is derived from
// what the event is and was traced by, so that it is the same when the event is applied again,
// and what is emitted for it, too.
func spanOf(parent trace.SpanContext, projection, generation string, sequence uint64) (s trace.SpanID) {
	traceID, parentID := parent.TraceID(), parent.SpanID()
	b := append(traceID[:], parentID[:]...)
	b = binary.LittleEndian.AppendUint64(b, sequence)
	b = append(append(append(b, projection...), 0), generation...)
	sum := sha256.Sum256(b)
	copy(s[:], sum[:])
	if !s.IsValid() {
		s[0] = 1
	}
	return s
}
