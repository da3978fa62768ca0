package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"gnomon/engine/query/client"
)

// Program is the command that all others are below.
func Program() *cobra.Command {
	program := &cobra.Command{
		Use:   "engine",
		Short: "Run event-sourcing projections, written in any Wasm language, over NATS JetStream",
		Long: `Gnomon runs projections over NATS JetStream. A projection is a WebAssembly module
that is handed the events of a stream, in order, and writes keys and values.
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 differs.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	program.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return Usagef(c, "%w", err) })
	program.SetUsageTemplate(usageTemplate(program))
	Chooses(program)
	return program
}

// Main runs a program with what the process was given, and returns its exit code. The first SIGINT or SIGTERM ends the
// command's context, a second one the process, at once.
func Main(program *cobra.Command) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop()
	}()
	return Run(ctx, program, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}

// Run runs one command of a program, tells its error, and returns its exit code.
func Run(ctx context.Context, program *cobra.Command, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	program.SetArgs(args)
	program.SetIn(stdin)
	out := keepWriter(stdout)
	program.SetOut(out)
	program.SetErr(stderr)
	c, err := program.ExecuteContextC(ctx)
	if err == nil {
		err = out.lost()
	}
	if err != nil {
		PrintError(stderr, filesToo(c, err))
	}
	return ExitCode(err)
}

// filesToo names the files as the way out, too, where no engine answers and the command reads them.
func filesToo(c *cobra.Command, err error) error {
	if errors.Is(err, client.ErrUnreachable) && c.Flags().Lookup("data-dir") != nil {
		return WithHint(err, StartOne+", or its files with --data-dir")
	}
	return err
}
