package main

import (
	"context"
	"errors"
	"gnomon/engine/broker"
	"gnomon/engine/config"
	"gnomon/host"
	"os"
)

// scratchHost is a host for modules that nobody has tried yet. It keeps compiled code in
// the folder GNOMON_CACHE, or nowhere.
func scratchHost(ctx context.Context) (h *host.Host, done func(), err error) {
	cache, remove := os.Getenv("GNOMON_CACHE"), func() error { return nil }
	if cache == "" {
		if cache, err = os.MkdirTemp("", "gnomon-modules-"); err != nil {
			return nil, nil, err
		}
		remove = func() error { return os.RemoveAll(cache) }
	}
	if h, err = host.New(ctx, host.Options{CacheDir: cache, Trials: true}); err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	return h, func() { _ = h.Close(context.WithoutCancel(ctx)); _ = remove() }, nil
}

// embedded reports whether the NATS server is one inside the process.
func embedded(c *config.Config) bool {
	return c.NATS.URL == broker.Embedded && c.NATS.Context == ""
}
