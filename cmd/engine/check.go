package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"gnomon/engine"
	"gnomon/engine/config"
	"gnomon/host"
	"gnomon/sdk/abi"
)

func checkCommand() *cobra.Command {
	limits := config.DefaultProjection().Limits
	module, memory := sizeText(limits.Module), sizeText(limits.Memory)
	c := &cobra.Command{
		Use:   "check MODULE…",
		Short: "Hold modules against the contract, compile them and start them once",
		Long: `Check does with a module what run does before it uses one: it reads its structure,
holds imports and exports against the contract, compiles it, makes an instance and
calls its init with empty settings. It changes nothing.`,
		Example: "  engine check build/plugins/count.wasm",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			size, err := parseSize(c, "module", module)
			if err != nil {
				return err
			}
			start, err := parseSize(c, "memory", memory)
			if err != nil {
				return err
			}
			return checkModules(c.Context(), c.OutOrStdout(), args, host.Limits{ModuleBytes: int64(size), Memory: start})
		},
	}
	c.Flags().StringVar(&module, "module", module, "limit of the module's file")
	c.Flags().StringVar(&memory, "memory", memory, "limit of the module's memory")
	return c
}

// sizeText writes a size as configurations do.
func sizeText(s config.Size) string { return strings.ReplaceAll(s.String(), " ", "") }

// parseSize reads the value of a flag, in bytes.
func parseSize(c *cobra.Command, flag, value string) (uint64, error) {
	n, err := humanize.ParseBytes(value)
	if err != nil || n == 0 || n > 4<<30 {
		return 0, usagef(c, "--%s %q: use a size such as 64MiB, at most 4GiB", flag, value)
	}
	return n, nil
}

func checkModules(ctx context.Context, w io.Writer, paths []string, l host.Limits) error {
	cache, err := os.MkdirTemp("", "gnomon-check-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(cache)
	h, err := host.New(ctx, host.Options{CacheDir: cache, Trials: true})
	if err != nil {
		return err
	}
	defer h.Close(ctx)
	for _, path := range paths {
		if err := checkModule(ctx, h, w, path, l); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

func checkModule(ctx context.Context, h *host.Host, w io.Writer, path string, l host.Limits) error {
	module, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	m, err := h.Load(ctx, module, l)
	if err != nil {
		return err
	}
	defer m.Close(ctx)
	in, err := m.Instantiate(ctx, engine.InstanceConfig{Memory: l.Memory})
	if err != nil {
		return withHint(err, "init was called with empty settings; a module that needs some says so there")
	}
	defer in.Close(ctx)
	describeModule(w, path, len(module), m, in.MemoryBytes())
	return nil
}

func describeModule(w io.Writer, path string, size int, m *host.Module, memory uint64) {
	fmt.Fprintf(w, "%s: ok\n", path)
	fmt.Fprintf(w, "  sha256    %s\n", m.Digest())
	fmt.Fprintf(w, "  size      %s, memory %s when started\n", humanize.IBytes(uint64(size)), humanize.IBytes(memory))
	fmt.Fprintf(w, "  contract  %s\n", abi.Module)
	state := "in keys"
	if m.Traits().Memory {
		state = "in keys, and in its own memory (snapshot, restore)"
	}
	fmt.Fprintf(w, "  state     %s\n", state)
	if m.Traits().Emits {
		fmt.Fprintf(w, "  warning   imports emit: run refuses it, because this version does not publish emitted events yet\n")
	}
	for _, text := range m.Warnings() {
		fmt.Fprintf(w, "  note      %s\n", text)
	}
}
