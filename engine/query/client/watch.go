package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"gnomon/engine"
	"gnomon/engine/query/wire"
)

// silence is how long an engine may send nothing to a watch before it is taken for gone: it
// sends something every 15 s.
const silence = time.Minute

// ErrWatchBroken says that a watch broke off, and can be resumed.
var ErrWatchBroken = errors.New("the watch broke off")

// Watch calls fn with the keys of a projection that begin with a prefix, and then with what
// changes, until ctx ends or fn fails; see engine.WatchKind. From is the bookmark of the
// last position that an earlier watch was told; the zero one: none. It fails with
// ErrWatchBroken when the connection ends, with ErrUnreachable, or with a *wire.Problem.
func (c *Client) Watch(ctx context.Context, projection string, prefix []byte, from engine.Bookmark, fn func(engine.WatchEvent) error) error {
	q := url.Values{"prefix": {string(prefix)}}
	if from != (engine.Bookmark{}) {
		q.Set("from", from.String())
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(silence, func() { cancel(fmt.Errorf("%w: nothing came for %s", ErrWatchBroken, silence)) })
	defer silent.Stop()
	req, err := c.request(ctx, http.MethodGet, "/v1/projections/"+escape(projection)+"/watch?"+q.Encode(), "", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/x-ndjson")
	res, err := c.send(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	d := json.NewDecoder(bufio.NewReaderSize(res.Body, 64<<10))
	for {
		var e wire.Watched
		switch err := d.Decode(&e); {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, io.EOF):
			return ErrWatchBroken
		case err != nil:
			return fmt.Errorf("%w: %w", ErrWatchBroken, err)
		}
		silent.Reset(silence)
		if err := fn(e.WatchEvent); err != nil {
			return err
		}
		if e.Kind == engine.WatchEnd {
			return fmt.Errorf("%w: %s", ErrWatchBroken, e.Reason)
		}
	}
}
