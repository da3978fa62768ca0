package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"gnomon/engine"
	"gnomon/engine/query/wire"
)

// letterPage is how many letters are asked for at once.
const letterPage = 100

// Letters calls fn for every event that a projection has set aside, after a sequence, by
// sequence. A limit of 0 is none. It asks for page after page: what changes meanwhile
// may show.
func (c *Client) Letters(ctx context.Context, projection string, after uint64, limit int, fn func(wire.Letter) error) error {
	for left := limit; ; {
		q := url.Values{"limit": {strconv.Itoa(letterPage)}}
		if limit > 0 {
			q.Set("limit", strconv.Itoa(min(left, letterPage)))
		}
		if after > 0 {
			q.Set("after", strconv.FormatUint(after, 10))
		}
		var page wire.Letters
		if err := c.read(ctx, "/v1/projections/"+escape(projection)+"/dead-letters", q, &page); err != nil {
			return err
		}
		for _, l := range page.Items {
			if err := fn(l); err != nil {
				return err
			}
		}
		left -= len(page.Items)
		if page.Next <= after || limit > 0 && left <= 0 {
			return nil
		}
		after = page.Next
	}
}

// Order has something done with events that were set aside, the zero Letters being all,
// and returns when that is committed.
func (c *Client) Order(ctx context.Context, projection string, verb engine.Verb, l engine.Letters) (engine.Ordered, error) {
	var done engine.Ordered
	err := c.post(ctx, "/v1/projections/"+escape(projection)+"/"+string(verb), wire.OrderOf(l), &done)
	return done, err
}

// Bundle returns the repro bundle of an event that was set aside, or that a projection
// is halted before.
func (c *Client) Bundle(ctx context.Context, projection string, sequence uint64) ([]byte, error) {
	ask, err := json.Marshal(wire.Export{Sequence: sequence})
	if err != nil {
		return nil, err
	}
	req, err := c.request(ctx, http.MethodPost, "/v1/projections/"+escape(projection)+"/export", "application/json", bytes.NewReader(ask))
	if err != nil {
		return nil, err
	}
	res, err := c.send(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	file, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("bundle of event %d was cut off after %d bytes: %w", sequence, len(file), err)
	}
	return file, nil
}
