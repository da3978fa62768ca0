package client

import (
	"context"
	"encoding/base64"
	"net/url"
	"strconv"

	"gnomon/engine/query/wire"
)

// Question asks how a key came to its value: as of At, a sequence of the stream or a time
// (empty: now), after the sequence Since, with the newest Limit changes at most (0: 20).
type Question struct {
	Key   []byte
	At    string
	Since uint64
	Limit int
}

// Explain returns which events changed a key of a projection, newest first.
func (c *Client) Explain(ctx context.Context, projection string, ask Question) (x wire.Explanation, err error) {
	q := url.Values{"key_b64": {base64.StdEncoding.EncodeToString(ask.Key)}}
	if ask.At != "" {
		q.Set("at", ask.At)
	}
	if ask.Since > 0 {
		q.Set("since", strconv.FormatUint(ask.Since, 10))
	}
	if ask.Limit > 0 {
		q.Set("limit", strconv.Itoa(ask.Limit))
	}
	return x, c.get(ctx, "/v1/projections/"+escape(projection)+"/explain?"+q.Encode(), &x)
}
