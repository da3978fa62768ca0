package main

import (
	"context"
	"errors"
	"log/slog"

	"gnomon/engine/config"
	"gnomon/engine/ingest"
	"gnomon/engine/streams"
)

// readStreams implements trial.ReadStreams.
func readStreams(ctx context.Context, c *config.Config, log *slog.Logger, fn func(context.Context, streams.Source) error) (err error) {
	t, err := openTarget(ctx, c, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	return t.permitted(ctx, func(ctx context.Context) error {
		return fn(ctx, ingest.New(t.broker.JetStream(), t.broker.Explain))
	})
}
