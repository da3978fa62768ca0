package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"gnomon/engine"
	"gnomon/engine/query/wire"
)

// Statuses calls fn with the status of all projections, at once and then whenever it is
// another one, at most once a second, until ctx ends or fn fails. It fails with
// ErrWatchBroken when the connection ends, with ErrUnreachable, or with a *wire.Problem.
func (c *Client) Statuses(ctx context.Context, fn func([]engine.Status) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(silence, func() { cancel(fmt.Errorf("%w: nothing came for %s", ErrWatchBroken, silence)) })
	defer silent.Stop()
	req, err := c.request(ctx, http.MethodGet, "/v1/projections", "", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/event-stream")
	res, err := c.send(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	in := bufio.NewReaderSize(res.Body, 64<<10)
	for kind := ""; ; {
		line, err := in.ReadBytes('\n')
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, io.EOF):
			return ErrWatchBroken
		case err != nil:
			return fmt.Errorf("%w: %w", ErrWatchBroken, err)
		}
		silent.Reset(silence)
		name, value, _ := bytes.Cut(bytes.TrimRight(line, "\n"), []byte(": "))
		switch string(name) {
		case "event":
			kind = string(value)
		case "data":
			if err := status(kind, value, fn); err != nil {
				return err
			}
		}
	}
}

// status hands on what one event says.
func status(kind string, data []byte, fn func([]engine.Status) error) error {
	var all wire.Projections
	var end wire.Ended
	switch kind {
	case "status":
		if err := json.Unmarshal(data, &all); err != nil {
			return fmt.Errorf("%w: %w", ErrWatchBroken, err)
		}
		return fn(all.Projections)
	case "end":
		_ = json.Unmarshal(data, &end) // it broke off, whatever it says
		return fmt.Errorf("%w: %s", ErrWatchBroken, end.Reason)
	}
	return nil // a later one than this program
}
