package trace

import (
	"bytes"

	"go.opentelemetry.io/otel/propagation"

	"gnomon/sdk/abi"
)

// carrier are headers as in a record. Names keep the case that they have: NATS tells headers
// apart by it, and clients write both traceparent and Traceparent.
type carrier struct{ headers []byte }

var _ propagation.TextMapCarrier = (*carrier)(nil)

// Get implements propagation.TextMapCarrier, without regard to case.
func (c *carrier) Get(key string) string {
	value, _ := (&abi.Record{Headers: c.headers}).Header(key)
	return string(value)
}

// Set implements propagation.TextMapCarrier. A header that is there keeps its name and place.
func (c *carrier) Set(key, value string) {
	var out []byte
	found := false
	for rest := c.headers; len(rest) > 0; {
		name, was, after, err := abi.NextHeader(rest)
		if err != nil {
			return
		}
		if rest = after; !found && bytes.EqualFold(name, []byte(key)) {
			found, was = true, []byte(value)
		}
		out, _ = abi.AppendHeader(out, string(name), string(was))
	}
	if !found {
		out, _ = abi.AppendHeader(out, key, value)
	}
	c.headers = out
}

// Keys implements propagation.TextMapCarrier.
func (c *carrier) Keys() (keys []string) {
	for rest := c.headers; len(rest) > 0; {
		name, _, after, err := abi.NextHeader(rest)
		if err != nil {
			return keys
		}
		keys, rest = append(keys, string(name)), after
	}
	return keys
}
