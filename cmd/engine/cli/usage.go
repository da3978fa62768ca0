package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// usageError is a wrong call of a command.
type usageError struct {
	err     error
	command string
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// Usagef makes an error of usage: who called the command is pointed to its help.
func Usagef(c *cobra.Command, format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...), c.CommandPath()}
}

// AsUsage makes wrong numbers of arguments, and flags that exclude each other, errors
// of usage.
func AsUsage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if check == nil {
			check = cobra.NoArgs
			if c.HasSubCommands() {
				return nil
			}
		}
		if err := check(c, args); err != nil {
			if strings.Contains(err.Error(), "arg(s)") { // which says how many, and not what for
				err = fmt.Errorf("%s takes %s: %s given", c.CommandPath(), takes(c), Numbered(len(args), "argument"))
			}
			return Usagef(c, "%w", err)
		}
		if Given(c, "server") && Given(c, "data-dir") {
			return Usagef(c, "--server and --data-dir are both set: use one of them")
		}
		return nil
	}
}

// takes are the arguments in the usage of a command.
func takes(c *cobra.Command) string {
	_, arguments, some := strings.Cut(c.Use, " ")
	if !some {
		return "no arguments"
	}
	return arguments
}

// Given reports whether the command line has a flag.
func Given(c *cobra.Command, flag string) bool {
	f := c.Flags().Lookup(flag)
	return f != nil && f.Changed
}

// Chooses makes a command with subcommands refuse what is none of them: left alone,
// cobra prints the help and is content.
func Chooses(c *cobra.Command) {
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, args []string) error {
		switch {
		case len(args) > 0:
			return unknownCommand(c, args[0])
		case !c.HasParent():
			return c.Help()
		}
		var names []string
		for _, sub := range c.Commands() {
			names = append(names, sub.Name())
		}
		return Usagef(c, "%s needs a command: %s", c.CommandPath(), strings.Join(names, ", "))
	}
}

// unknownCommand is the error for a subcommand that there is not.
func unknownCommand(c *cobra.Command, name string) error {
	of, near := "", ""
	if c.HasParent() {
		of = " of " + c.CommandPath()
	}
	c.SuggestionsMinimumDistance = 2
	if names := c.SuggestionsFor(name); len(names) > 0 {
		near = fmt.Sprintf(": did you mean %q?", names[0])
	}
	return Usagef(c, "unknown command %q%s%s", name, of, near)
}

// CheckTopics makes help of something unknown an error of usage.
func CheckTopics(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	help, _, err := root.Find([]string{"help"})
	if err != nil {
		panic(err) // was made above
	}
	help.Args = func(_ *cobra.Command, args []string) error {
		c, rest, err := root.Find(args)
		if err == nil && len(rest) > 0 {
			err = unknownCommand(c, rest[0])
		}
		return err
	}
}

// usageTemplate is cobra's without the line that offers a command with subcommands
// to be used without one.
func usageTemplate(c *cobra.Command) string {
	return strings.Replace(c.UsageTemplate(), "{{if .Runnable}}", "{{if and .Runnable (not .HasAvailableSubCommands)}}", 1)
}
