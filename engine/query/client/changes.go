package client

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"

	"gnomon/engine/query/wire"
)

// Between asks which keys of a projection differ between two points: From and To are a
// sequence of the stream or a time each; without To it is what is served now. Replay has what
// is not kept be computed from the events. Only keys with the Prefix and after After are
// meant, Limit of them at most (0: 100).
type Between struct {
	From, To      string
	Replay        bool
	Prefix, After []byte
	Limit         int
}

// Parameters are those of the request, in a URL.
func (b Between) Parameters() url.Values {
	q := url.Values{"from": {b.From}}
	if b.To != "" {
		q.Set("to", b.To)
	}
	if b.Replay {
		q.Set("replay", "true")
	}
	setKeys(q, b.Prefix, b.After)
	if b.Limit > 0 {
		q.Set("limit", strconv.Itoa(b.Limit))
	}
	return q
}

// setKeys sets the parameters of a part of the keys.
func setKeys(q url.Values, prefix, after []byte) {
	if len(prefix) > 0 {
		q.Set("prefix_b64", base64.StdEncoding.EncodeToString(prefix))
	}
	if len(after) > 0 {
		q.Set("after_b64", base64.StdEncoding.EncodeToString(after))
	}
}

// Changes returns a page of the keys that differ.
func (c *Client) Changes(ctx context.Context, projection string, ask Between) (page wire.Changes, err error) {
	return page, c.get(ctx, "/v1/projections/"+escape(projection)+"/changes?"+ask.Parameters().Encode(), &page)
}

// largestPage is how many keys a page may have.
const largestPage = 10_000

// AllChanges calls fn for every key that differs, in key order, page by page: Limit bounds the
// calls, not what is counted; 0: there is none. It returns the
// counts of all.
func (c *Client) AllChanges(ctx context.Context, projection string, ask Between, fn func(wire.ChangedKey) error) (sum wire.ChangesSum, err error) {
	most, told := ask.Limit, 0
	if ask.Limit == 0 || ask.Limit > largestPage {
		ask.Limit = largestPage
	}
	var before wire.ChangedCounts // of the pages before this one
	for {
		page, err := c.Changes(ctx, projection, ask)
		switch {
		case err != nil:
			return sum, err
		case sum.Generation == "":
			sum = page.ChangesSum
			ask.From, ask.To = fmt.Sprint(page.From.AsOfSeq), fmt.Sprint(page.To.AsOfSeq) // what is served goes on
		case page.Generation != sum.Generation:
			return sum, fmt.Errorf("changes of %s were cut off after %d keys: generation %s is read by now, and no longer %s: ask again", projection, before.Differ(), page.Generation, sum.Generation)
		}
		sum.Counts = before.Plus(page.Counts)
		for _, k := range page.Items {
			before.Count(k.Change)
			if most > 0 && told == most {
				continue
			}
			told++
			if err := fn(k); err != nil {
				return sum, err
			}
		}
		after, more := page.After()
		if !more || page.Counts.Complete && most > 0 && told == most {
			return sum, nil
		}
		ask.After = after
	}
}

// Past says how much of a projection's history can be read.
func (c *Client) Past(ctx context.Context, projection string) (past wire.Past, err error) {
	return past, c.get(ctx, "/v1/projections/"+escape(projection)+"/past", &past)
}
