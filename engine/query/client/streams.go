package client

import (
	"context"
	"net/url"
	"strconv"

	"gnomon/engine/query/wire"
	"gnomon/engine/streams"
)

// Streams lists the streams that projections read.
func (c *Client) Streams(ctx context.Context) ([]wire.StreamOf, error) {
	var s wire.Streams
	err := c.get(ctx, "/v1/streams", &s)
	return s.Streams, err
}

// Stream describes a stream as its server has it.
func (c *Client) Stream(ctx context.Context, name string) (f streams.Facts, err error) {
	return f, c.get(ctx, "/v1/streams/"+escape(name), &f)
}

// Stretch says which events of a stream are asked for: those around a sequence or a time
// (RFC 3339), after a sequence, or before one; one of the three at most (none: the last
// ones), with a subject, and so many at most (0: 50).
type Stretch struct {
	Around, After, Before string
	Subject               string
	Limit                 int
}

// Query are the parameters of a request for it, to be written after a path.
func (s Stretch) Query() string {
	q := url.Values{}
	for name, value := range map[string]string{"around": s.Around, "after": s.After, "before": s.Before, "subject": s.Subject} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if s.Limit > 0 {
		q.Set("limit", strconv.Itoa(s.Limit))
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

// Events returns events of a stream.
func (c *Client) Events(ctx context.Context, stream string, s Stretch) (p wire.Events, err error) {
	return p, c.get(ctx, "/v1/streams/"+escape(stream)+"/events"+s.Query(), &p)
}
