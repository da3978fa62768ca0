package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"gnomon/engine"
	"gnomon/engine/query/wire"
)

// Statuses calls fn with the status of all projections, at once and then whenever it is
// another one, at most once a second, until ctx ends or fn fails. It fails with
// ErrWatchBroken when the connection ends, with ErrUnreachable, or with a *wire.Problem.
func (c *Client) Statuses(ctx context.Context, fn func([]engine.Status) error) error {
	in, err := c.stream(ctx, "/v1/projections", "text/event-stream")
	if err != nil {
		return err
	}
	defer in.Close()
	for kind := ""; ; {
		line, err := in.ReadBytes('\n')
		if err := in.heard(err); err != nil {
			return err
		}
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
