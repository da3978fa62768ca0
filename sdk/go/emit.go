package gnomon

import (
	"errors"

	"gnomon/sdk/abi"
	"gnomon/sdk/go/internal/boundary"
)

var errHeaders = errors.New("headers must be pairs of name and value, each shorter than 64 KiB")

// Emit stages an event that is published, once, when the one being handled is committed.
// Headers are pairs of name and value; names that begin with Nats- or Gnomon- are reserved.
// It can be used only while the handler runs.
//
// The projection's configuration says which subjects may be emitted to (projection.emit).
// To emit to any other makes the event that is being handled fail, once the handler returns.
func Emit(subject string, data []byte, headers ...string) error {
	encoded, err := encodeHeaders(headers)
	if err != nil {
		return &KeyError{"emit", subject, err}
	}
	if code := boundary.Emit(uint32(projection.index), subject, encoded, data); code < 0 {
		return keyError("emit", subject, code)
	}
	return nil
}

func encodeHeaders(pairs []string) (encoded []byte, err error) {
	if len(pairs)%2 != 0 {
		return nil, errHeaders
	}
	for ; len(pairs) > 0; pairs = pairs[2:] {
		var ok bool
		if encoded, ok = abi.AppendHeader(encoded, pairs[0], pairs[1]); !ok {
			return nil, errHeaders
		}
	}
	return encoded, nil
}
