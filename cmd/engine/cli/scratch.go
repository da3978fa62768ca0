package cli

import (
	"context"
	"errors"
	"gnomon/host"
	"os"
)

// ScratchHost is a host for modules that nobody has tried yet. It keeps compiled code in
// the folder GNOMON_CACHE, or nowhere.
func ScratchHost(ctx context.Context) (h *host.Host, done func(), err error) {
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
