package client

import "context"

// Alive returns an error unless the engine's process answers. It needs no token.
func (c *Client) Alive(ctx context.Context) error {
	var answer struct{ Status string }
	return c.get(ctx, "/healthz", &answer)
}
