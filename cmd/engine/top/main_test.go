package top

import (
	"context"
	"io"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
)

// TestMain makes the test binary act as the command when it is run as "engine".
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"engine": func() { os.Exit(cli.Main(program())) }})
}

// run runs engine top as the program does.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return cli.Run(ctx, program(), args, stdin, stdout, stderr)
}

// program has no other command.
func program() *cobra.Command {
	p := cli.Program()
	p.AddCommand(Command())
	return p
}
