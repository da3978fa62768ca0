// Command sandbox runs an upcaster in the sandbox: it reads a batch from the standard
// input and writes what the module makes of it. It is a program of its own, for the race
// detector makes the compiler of modules ten times slower.
//
//	sandbox MODULE SETTINGS CACHE
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"gnomon/engine/guest"
	"gnomon/host"
)

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, path, settings, cache string) error {
	code, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	batch, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	h, err := host.New(ctx, host.Options{CacheDir: cache})
	if err != nil {
		return err
	}
	defer h.Close(ctx)
	m, err := h.Load(ctx, code, host.Limits{Memory: 64 << 20, Fuel: 500_000_000})
	if err != nil {
		return err
	}
	in, err := m.Instantiate(ctx, guest.Config{Memory: 64 << 20, Settings: []byte(settings)})
	if err != nil {
		return err
	}
	if err := in.Apply(ctx, nil, nil); err == nil {
		return errors.New("it passes for a projection")
	}
	if in, err = m.Instantiate(ctx, guest.Config{Memory: 64 << 20, Settings: []byte(settings)}); err != nil {
		return err
	}
	for range 2 { // the second time over the first
		made, err := in.Upcast(ctx, batch)
		var guest *guest.Error
		if errors.As(err, &guest) {
			return fmt.Errorf("event %d: %w", guest.Event, err)
		}
		if err != nil {
			return err
		}
		if _, err := os.Stdout.Write(made); err != nil {
			return err
		}
	}
	return nil
}
