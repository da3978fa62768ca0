package client

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"gnomon/engine/query/wire"
)

// Deploy puts a module with what belongs to it into a bucket.
func (c *Client) Deploy(ctx context.Context, bucket, name string, object []byte) (done wire.Deployed, err error) {
	req, err := c.request(ctx, http.MethodPut, modulePath(bucket, name), "application/x-tar", bytes.NewReader(object))
	if err != nil {
		return done, err
	}
	return done, c.do(req, &done)
}

// Undeploy removes one.
func (c *Client) Undeploy(ctx context.Context, bucket, name string) error {
	req, err := c.request(ctx, http.MethodDelete, modulePath(bucket, name), "", nil)
	if err != nil {
		return err
	}
	res, err := c.send(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return fmt.Errorf("answer of %s: %w", c.shown, err)
	}
	return nil
}

func modulePath(bucket, name string) string {
	return "/v1/modules/" + escape(name) + "?" + url.Values{"bucket": {bucket}}.Encode()
}
