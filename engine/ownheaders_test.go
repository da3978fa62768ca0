package engine

import (
	"testing"

	"gnomon/sdk/abi"
)

// FuzzOwnHeaders checks the headers of a guest, whatever bytes they are: what is taken can be
// written as lines.
func FuzzOwnHeaders(f *testing.F) {
	h, _ := abi.AppendHeader(nil, "traceparent", "x")
	f.Add(h)
	f.Add([]byte("\x01\x00\x00\x00:"))
	f.Fuzz(func(t *testing.T, headers []byte) {
		if _, err := ownHeaders(headers); err != nil {
			return
		}
		for len(headers) > 0 {
			name, value, rest, err := abi.NextHeader(headers)
			if err != nil || len(name) == 0 {
				t.Fatalf("taken is %q: %v", headers, err)
			}
			for _, c := range append(append([]byte(nil), name...), value...) {
				if c == '\r' || c == '\n' {
					t.Fatalf("taken is %q: %q", name, value)
				}
			}
			headers = rest
		}
	})
}
