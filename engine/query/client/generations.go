package client

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"gnomon/engine"
	"gnomon/engine/catalog"
	"gnomon/engine/query/wire"
)

// Promote lets readers see the candidate of a projection. It is waited for as long as wait
// says, at most wire.MaxWait, to catch up.
func (c *Client) Promote(ctx context.Context, projection string, wait time.Duration) (done engine.Promotion, err error) {
	return c.PromoteTo(ctx, projection, "", wait)
}

// PromoteTo is Promote of the candidate of an id, and of no other one, unless that is empty.
func (c *Client) PromoteTo(ctx context.Context, projection, generation string, wait time.Duration) (done engine.Promotion, err error) {
	ask := wire.Promote{Generation: generation}
	if wait > 0 {
		ask.Wait = wait.String()
	}
	return done, c.post(ctx, "/v1/projections/"+escape(projection)+"/promote", ask, &done)
}

// Rollback lets readers see the previous generation of a projection again.
func (c *Client) Rollback(ctx context.Context, projection string) (done engine.Promotion, err error) {
	return c.RollbackTo(ctx, projection, "")
}

// RollbackTo is Rollback to the generation of an id, and to no other one, unless that is empty.
func (c *Client) RollbackTo(ctx context.Context, projection, generation string) (done engine.Promotion, err error) {
	return done, c.post(ctx, "/v1/projections/"+escape(projection)+"/rollback", wire.Rollback{Generation: generation}, &done)
}

// Remove removes a projection that is no longer declared, with its data.
func (c *Client) Remove(ctx context.Context, projection string) error {
	return c.post(ctx, "/v1/projections/"+escape(projection)+"/remove", struct{}{}, new(wire.Removed))
}

// History returns what happened to a projection, oldest first.
func (c *Client) History(ctx context.Context, projection string) ([]catalog.Change, error) {
	var h wire.History
	err := c.get(ctx, "/v1/projections/"+escape(projection)+"/history", &h)
	return h.Changes, err
}

// Diff calls fn for every key with a prefix in which the candidate of a projection differs
// from what is read, in key order, both as of one sequence. Limit bounds the calls, not
// what is counted; 0: there is none.
func (c *Client) Diff(ctx context.Context, projection string, prefix []byte, limit int, fn func(wire.Difference) error) (sum wire.Compared, err error) {
	q := url.Values{"prefix": {string(prefix)}}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	req, err := c.request(ctx, http.MethodGet, "/v1/projections/"+escape(projection)+"/diff?"+q.Encode(), "", nil)
	if err != nil {
		return sum, err
	}
	res, err := c.send(req)
	if err != nil {
		return sum, err
	}
	defer res.Body.Close()
	d := json.NewDecoder(bufio.NewReaderSize(res.Body, 64<<10))
	for n := 0; ; n++ {
		var line wire.DiffLine
		if err := d.Decode(&line); err != nil {
			return sum, fmt.Errorf("diff of %s was cut off after %d keys: %w", projection, n, err)
		}
		if line.Compared != nil {
			return *line.Compared, nil
		}
		if err := fn(*line.Difference); err != nil {
			return sum, err
		}
	}
}
