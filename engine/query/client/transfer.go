package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
)

// Export reads the archive of a snapshot of a projection, or of what it serves now when the
// snapshot is empty; since names the snapshot that it builds upon, or is empty. It is
// written as it is read. Close it.
func (c *Client) Export(ctx context.Context, projection, snapshot, since string) (io.ReadCloser, error) {
	path := "/v1/projections/" + escape(projection) + "/snapshots"
	if snapshot != "" {
		path += "/" + escape(snapshot)
	}
	path += "/export"
	if since != "" {
		path += "?" + url.Values{"since": {since}}.Encode()
	}
	req, err := c.request(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return nil, err
	}
	res, err := c.send(req)
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}
