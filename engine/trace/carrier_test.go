package trace

import (
	"strings"
	"testing"

	"gnomon/sdk/abi"
)

// Headers are found in any case, and keep the case and the place that they have.
func TestCarrier(t *testing.T) {
	for _, tt := range []struct{ headers, want string }{
		{"", "traceparent=new"},
		{"a=1", "a=1 traceparent=new"},
		{"traceparent=old b=2", "traceparent=new b=2"},
		{"a=1 Traceparent=old b=2", "a=1 Traceparent=new b=2"},
		{"TRACEPARENT=old traceparent=older", "TRACEPARENT=new traceparent=older"},
	} {
		c := &carrier{}
		for f := range strings.FieldsSeq(tt.headers) {
			name, value, _ := strings.Cut(f, "=")
			c.headers, _ = abi.AppendHeader(c.headers, name, value)
		}
		was := c.headers
		if got := c.Get("traceparent"); (got != "") != strings.Contains(tt.headers, "old") || got == "older" {
			t.Errorf("%q: found %q", tt.headers, got)
		}
		c.Set("traceparent", "new")
		var got []string
		got = append(got, c.Keys()...)
		for i, f := range strings.Fields(tt.want) {
			name, _, _ := strings.Cut(f, "=")
			if i >= len(got) || got[i] != name {
				t.Errorf("%q: names %q, want those of %q", tt.headers, got, tt.want)
				break
			}
		}
		if c.Get("traceparent") != "new" || len(was) > 0 && &was[0] == &c.headers[0] {
			t.Errorf("%q: it has %q, or is written over", tt.headers, c.Get("traceparent"))
		}
	}
}

// Any bytes can stand where headers should: what is found in them is bounded by them.
func FuzzCarrier(f *testing.F) {
	h, _ := abi.AppendHeader(nil, "traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	f.Add(h)
	f.Add([]byte("\x0b\x00\xff\xfftraceparent"))
	f.Fuzz(func(t *testing.T, headers []byte) {
		before := string(headers)
		parent, ok := sampled(headers)
		if ok && !parent.IsSampled() {
			t.Error("it is not sampled")
		}
		c := &carrier{headers}
		c.Set("tracestate", "a=b")
		if keys := c.Keys(); len(keys) > len(c.headers)/4+1 {
			t.Errorf("%d keys in %d bytes", len(keys), len(c.headers))
		}
		if string(headers) != before {
			t.Error("the headers were written over")
		}
	})
}
