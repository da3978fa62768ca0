package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/store"
)

func verifyCommand() *cobra.Command {
	var only string
	c := &cobra.Command{
		Use:   "verify DATA_DIR",
		Short: "Read everything that a data directory holds, and compare it with what it should be",
		Long: `Verify reads every value of every keyspace of an engine that is not running, and compares checksums, numbers
of rows and the digest with what the checkpoint says. Each keyspace is read in a process of its own: what damage can do to
one does not keep the others from being read. It changes nothing, and exits with 1 when something is damaged.`,
		Example: "  engine verify data",
		Args:    cli.AsUsage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) (err error) {
			r, err := openFiles(args[0], c.ErrOrStderr())
			var locked *store.LockedError
			if errors.As(err, &locked) {
				return cli.WithHint(locked, "stop it to verify its files")
			}
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, r.Close()) }()
			all, err := inspect(c.Context(), r.(*files).dir, func(in *inspected) bool { return only == "" || only == in.name() }, only != "")
			if err != nil {
				return err
			}
			if only != "" {
				return damageOf(all)
			}
			for i := range all {
				in := &all[i]
				if in.Error == "" {
					in.Error = verifyApart(c.Context(), args[0], in.name())
				}
				if in.Error == "" {
					fmt.Fprintf(c.OutOrStdout(), "%s: verified, %d keys at %d\n", in.name(), in.Keys, in.Position.Sequence)
				} else {
					fmt.Fprintf(c.OutOrStdout(), "%s: %s\n", in.name(), in.Error)
				}
			}
			return damage(all)
		},
	}
	c.Flags().StringVar(&only, "keyspace", "", "")
	_ = c.Flags().MarkHidden("keyspace") // how a process is told which one it is for
	return c
}

// damageOf is what is wrong with the one keyspace that was read.
func damageOf(all []inspected) error {
	for _, in := range all {
		if in.Error != "" {
			return errors.New(in.Error)
		}
	}
	return nil
}

// verifyApart verifies one keyspace in another process, and returns what is wrong with
// it, or with that process.
func verifyApart(ctx context.Context, dir, keyspace string) string {
	self, err := os.Executable()
	if err != nil {
		return err.Error()
	}
	var said bytes.Buffer
	c := exec.CommandContext(ctx, self, "verify", "--keyspace", keyspace, dir)
	c.Args[0] = "engine"
	c.Stderr = &said
	err = c.Run()
	if err == nil {
		return ""
	}
	line, _, _ := strings.Cut(strings.TrimSpace(said.String()), "\n")
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == cli.ExitFailed {
		return strings.TrimPrefix(line, "engine: ")
	}
	return fmt.Sprintf("the process that read it died (%v): %.300s", err, line)
}
