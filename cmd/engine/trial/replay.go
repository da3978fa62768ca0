package trial

import (
	"context"
	"errors"
	"fmt"
	"gnomon/cmd/engine/cli"
	"gnomon/engine/repro"
	"gnomon/host"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
)

// ResultText is what a bundle says came of its event, for a person; empty: it passed.
func ResultText(result string) string {
	if result == "" {
		return "it passes"
	}
	return cli.Readable([]byte(result))
}

// ReplayBundleCommand is engine replay-bundle.
func ReplayBundleCommand() *cobra.Command {
	var module string
	var asJSON bool
	c := &cobra.Command{
		Use:   "replay-bundle FILE",
		Short: "Run a repro bundle: does the event still fail as it did?",
		Long: `Replay-bundle applies the event of a bundle to the state in it, in the sandbox, with no server and no stream.
It exits with 0 when the result is the one that was recorded, and with 3 when it is another: then a module given
with --module may be mended. What the module logs goes to standard error.
Compiled modules are kept in the folder GNOMON_CACHE, when that is set: it has to be private.`,
		Example: "  engine replay-bundle orders-1234.zip\n  engine replay-bundle orders-1234.zip --module build/plugins/orders.wasm",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return runBundle(c, args[0], module, asJSON)
		},
	}
	c.Flags().StringVar(&module, "module", "", "run this module instead of the bundle's")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// runBundle runs a bundle by a module; empty: by its own.
func runBundle(c *cobra.Command, file, module string, asJSON bool) error {
	b, err := readBundle(file)
	if err != nil {
		return err
	}
	code, name := b.Module, "the bundle's module"
	if module != "" {
		name = module
		if code, err = os.ReadFile(module); err != nil {
			return err
		}
	}
	r, err := replayBundle(c.Context(), b, code, c.ErrOrStderr())
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return r.print(c.OutOrStdout(), asJSON)
}

func readBundle(path string) (*repro.Bundle, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	file, err := io.ReadAll(io.LimitReader(f, repro.MaxFile+1))
	if err != nil {
		return nil, err
	}
	b, err := repro.Read(file)
	if err != nil {
		return nil, cli.WithHint(fmt.Errorf("%s: %w", filepath.Base(path), err), "it may have been cut off on its way: compare it with the one that was exported, or export it again")
	}
	return b, nil
}

// replayed is what came of a bundle.
type replayed struct {
	Projection string `json:"projection"`
	Sequence   uint64 `json:"seq"`
	Recorded   string `json:"recorded"` // error; empty: it passed
	Result     string `json:"result"`
	Unknown    string `json:"unknown,omitempty"` // what the module read that the bundle does not have
	Same       bool   `json:"same"`
}

func replayBundle(ctx context.Context, b *repro.Bundle, code []byte, stderr io.Writer) (replayed, error) {
	m := b.Manifest
	r := replayed{Projection: m.Projection, Sequence: m.Sequence, Recorded: m.Result}
	h, done, err := cli.ScratchHost(ctx)
	if err != nil {
		return r, err
	}
	defer done()
	module, err := h.Load(ctx, code, host.Limits{Memory: m.Limits.Memory, Fuel: m.Limits.Fuel, Compile: 2 * time.Minute})
	if err != nil {
		return r, err
	}
	r.Result, err = b.Run(ctx, module, cli.GuestLog{Log: slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if errors.Is(err, repro.ErrUnknown) {
		r.Unknown, err = err.Error(), nil
	}
	r.Same = r.Result == r.Recorded && r.Unknown == ""
	return r, err
}

func (r *replayed) print(w io.Writer, asJSON bool) error {
	if asJSON {
		if err := cli.PrintJSON(w, r); err != nil {
			return err
		}
	} else {
		now := ResultText(r.Result)
		switch {
		case r.Unknown != "":
			now = cli.Readable([]byte(r.Unknown))
		case r.Result == "" && r.Recorded != "":
			now = "it passes now"
		}
		fmt.Fprintf(w, "event %d of %s\n  recorded  %s\n  result    %s\n", r.Sequence, r.Projection, ResultText(r.Recorded), now)
	}
	if r.Same {
		return nil
	}
	return cli.Differs(errors.New("the result is not the one that was recorded"))
}
