package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"gnomon/engine"
	"gnomon/engine/query/wire"
	"gnomon/engine/state"
)

// Watch calls fn with the keys of a projection that begin with a prefix, and then with what
// changes, until ctx ends or fn fails; see engine.WatchKind. From is the bookmark of the
// last position that an earlier watch was told; the zero one: none. It fails with
// ErrWatchBroken when the connection ends, with ErrUnreachable, or with a *wire.Problem.
func (c *Client) Watch(ctx context.Context, projection string, prefix []byte, from state.Bookmark, fn func(engine.WatchEvent) error) error {
	q := url.Values{"prefix": {string(prefix)}}
	if from != (state.Bookmark{}) {
		q.Set("from", from.String())
	}
	in, err := c.stream(ctx, "/v1/projections/"+escape(projection)+"/watch?"+q.Encode(), "application/x-ndjson")
	if err != nil {
		return err
	}
	defer in.Close()
	d := json.NewDecoder(in)
	for {
		var e wire.Watched
		if err := in.heard(d.Decode(&e)); err != nil {
			return err
		}
		if err := fn(e.WatchEvent); err != nil {
			return err
		}
		if e.Kind == engine.WatchEnd {
			return fmt.Errorf("%w: %s", ErrWatchBroken, e.Reason)
		}
	}
}
