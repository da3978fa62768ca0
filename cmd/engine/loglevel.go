package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/query/wire"
)

// logLevelCommand changes what a running engine logs.
func logLevelCommand() *cobra.Command {
	var f cli.Server
	c := &cobra.Command{
		Use:   "log-level [LEVEL]",
		Short: "Say from which level on a running engine logs: debug, info, warn or error",
		Long: `Log-level has a running engine log from a level on, from now on, and prints it; without one it prints the present one.
That of the configuration ([log] level) is back with the next start, the next hang-up signal and the next engine reload.`,
		Example:   "  engine log-level debug\n  engine log-level",
		Args:      cli.AsUsage(cobra.MaximumNArgs(1)),
		ValidArgs: wire.LogLevels,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 && !slices.Contains(wire.LogLevels, args[0]) {
				return cli.Usagef(c, "level %q: there are %s", args[0], strings.Join(wire.LogLevels, ", "))
			}
			cl, err := f.Client()
			if err != nil {
				return err
			}
			var level wire.Log
			if len(args) > 0 {
				level, err = cl.SetLogLevel(c.Context(), args[0])
			} else {
				level, err = cl.LogLevel(c.Context())
			}
			if err != nil {
				return cli.Explain(err)
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), level.Level)
			return err
		},
	}
	f.AddServer(c)
	return c
}
