package client

import (
	"context"

	"gnomon/engine/query/wire"
)

// Samples returns what a projection did in the last 10 minutes.
func (c *Client) Samples(ctx context.Context, projection string) (wire.Samples, error) {
	var s wire.Samples
	return s, c.get(ctx, "/v1/projections/"+escape(projection)+"/samples", &s)
}

// Overview returns the status of all projections, and what the engine says of itself.
func (c *Client) Overview(ctx context.Context) (wire.Projections, error) {
	var p wire.Projections
	return p, c.get(ctx, "/v1/projections", &p)
}
