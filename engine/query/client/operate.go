package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"gnomon/engine/query/wire"
)

// Log returns the last lines of a projection's guests that come after a line and have a
// level at least: debug, info, warn or error; empty: any.
func (c *Client) Log(ctx context.Context, projection string, after uint64, level string) (wire.GuestLog, error) {
	q := url.Values{}
	if after > 0 {
		q.Set("after", strconv.FormatUint(after, 10))
	}
	if level != "" {
		q.Set("level", level)
	}
	path := "/v1/projections/" + escape(projection) + "/log"
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	var page wire.GuestLog
	err := c.get(ctx, path, &page)
	return page, err
}

// Access returns what the client may do about a projection and a stream; of those that are
// empty nothing is told.
func (c *Client) Access(ctx context.Context, projection, stream string) (wire.Access, error) {
	q := url.Values{}
	if projection != "" {
		q.Set("projection", projection)
	}
	if stream != "" {
		q.Set("stream", stream)
	}
	var a wire.Access
	err := c.get(ctx, "/v1/access?"+q.Encode(), &a)
	return a, err
}

// DeleteSnapshot gives a named snapshot up.
func (c *Client) DeleteSnapshot(ctx context.Context, projection, snapshot string) error {
	req, err := c.request(ctx, http.MethodDelete, "/v1/projections/"+escape(projection)+"/snapshots/"+escape(snapshot), "", nil)
	if err != nil {
		return err
	}
	res, err := c.send(req)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

// Module returns what is known of the module that a projection runs.
func (c *Client) Module(ctx context.Context, projection string) (wire.Module, error) {
	var m wire.Module
	err := c.get(ctx, "/v1/projections/"+escape(projection)+"/module", &m)
	return m, err
}
