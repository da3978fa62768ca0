package main

import (
	"cmp"
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/config"
	"gnomon/engine/query/client"
	"gnomon/internal/scaffold"
)

// completionPatience is how long a shell waits for names of a running engine. Without them
// it completes nothing, and says nothing.
const completionPatience = 700 * time.Millisecond

var shells = map[string]func(root *cobra.Command, c *cobra.Command) error{
	"bash":       func(root, c *cobra.Command) error { return root.GenBashCompletionV2(c.OutOrStdout(), true) },
	"zsh":        func(root, c *cobra.Command) error { return root.GenZshCompletion(c.OutOrStdout()) },
	"fish":       func(root, c *cobra.Command) error { return root.GenFishCompletion(c.OutOrStdout(), true) },
	"powershell": func(root, c *cobra.Command) error { return root.GenPowerShellCompletionWithDesc(c.OutOrStdout()) },
}

func completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print the script that lets a shell complete commands, names and files",
		Long: `Completion prints a script for a shell. With it the shell completes commands and flags, the names of
projections, streams and snapshots of the engine that runs (as --server, or GNOMON_SERVER, says), and files where
files are due. While no engine answers, within a moment, names are not completed. Bash needs its package bash-completion for it.`,
		Example: `  source <(engine completion bash)
  engine completion bash > /etc/bash_completion.d/engine
  engine completion zsh > "${fpath[1]}/_engine"
  engine completion fish > ~/.config/fish/completions/engine.fish
  engine completion powershell | Out-String | Invoke-Expression`,
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		RunE:      func(c *cobra.Command, args []string) error { return shells[args[0]](c.Root(), c) },
	}
}

// completer lists what may stand somewhere, as a running engine has it.
type completer = func(c *cobra.Command, args []string) []string

// words are what arguments and flags are called, in capitals in the usage of commands, and what may stand there.
// What is not here is up to the user, and completed as nothing.
var words = map[string]completer{
	"NAME": projectionNames, "PROJECTION": projectionNames, "SNAPSHOT": snapshotNames, "STREAM": streamNames,
	"LANGUAGE": languageNames, "LEVEL": levelNames,
}

// paths are those that stand for files or folders, completed by the shell itself.
var paths = map[string]cobra.ShellCompDirective{
	"FILE": cobra.ShellCompDirectiveDefault, "MODULE": cobra.ShellCompDirectiveDefault, "SCRIPT": cobra.ShellCompDirectiveDefault,
	"DIR": cobra.ShellCompDirectiveFilterDirs, "DATA_DIR": cobra.ShellCompDirectiveFilterDirs,
}

// languageNames are those in which a project can begin.
func languageNames(*cobra.Command, []string) (names []string) {
	for _, l := range scaffold.Languages() {
		names = append(names, l.Name)
	}
	return names
}

func levelNames(*cobra.Command, []string) []string { return []string{"debug", "info", "warn", "error"} }

// flagWords are the words for the values of flags, by name; other flags are completed as nothing.
var flagWords = map[string]string{
	"stream": "STREAM", "projection": "PROJECTION", "since": "SNAPSHOT", "snapshot": "SNAPSHOT", "data-dir": "DIR",
	"config": "FILE", "output": "FILE", "events": "FILE", "expect": "FILE", "batch": "FILE", "bundle": "FILE", "module": "FILE",
	"lang": "LANGUAGE", "level": "LEVEL",
}

// completes lets every command complete what its usage names.
func completes(c *cobra.Command) {
	for _, sub := range c.Commands() {
		completes(sub)
	}
	if c.HasSubCommands() {
		return
	}
	if c.ValidArgs == nil {
		c.ValidArgsFunction = argumentCompletion(argumentsOf(c.Use))
	}
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if f.NoOptDefVal == "" { // it has a value
			_ = c.RegisterFlagCompletionFunc(f.Name, completionOf(flagWords[f.Name])) // fails when there is one
		}
	})
}

// argumentsOf are the words for the arguments in the usage of a command, without flags; the last one is for
// all that follow when it ends in "…".
func argumentsOf(use string) (all []string) {
	fields := strings.Fields(use)[1:]
	for i := 0; i < len(fields) && fields[i] != "|"; i++ {
		if strings.HasPrefix(fields[i], "-") { // a flag that is needed, with its value
			i++
			continue
		}
		word := strings.Trim(fields[i], "[]")
		if first, _, alternatives := strings.Cut(word, "|"); alternatives {
			word = first
		}
		more := strings.HasSuffix(word, "…")
		word, _, _ = strings.Cut(strings.TrimSuffix(word, "…"), ".") // FILE.wasm
		if more {
			word += "…"
		}
		all = append(all, word)
	}
	return all
}

func argumentCompletion(arguments []string) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		i := len(args)
		if last := len(arguments) - 1; i > last && last >= 0 && strings.HasSuffix(arguments[last], "…") {
			i = last
		}
		if i >= len(arguments) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return completionOf(strings.TrimSuffix(arguments[i], "…"))(c, args, begun)
	}
}

// completionOf completes what a word stands for.
func completionOf(word string) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, begun string) (found []string, _ cobra.ShellCompDirective) {
		if path, ok := paths[word]; ok {
			return nil, path
		}
		if list := words[word]; list != nil {
			for _, name := range list(c, args) {
				if strings.HasPrefix(name, begun) {
					found = append(found, name)
				}
			}
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

// askNames asks the engine that a command would ask. What it cannot have is left out.
func askNames(c *cobra.Command, ask func(context.Context, *client.Client) []string) []string {
	f := cli.Server{URL: cmp.Or(os.Getenv("GNOMON_SERVER"), cli.DefaultServer)}
	if flag := c.Flags().Lookup("server"); flag != nil {
		f.URL = flag.Value.String()
	}
	cl, err := f.Client()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(c.Context(), completionPatience)
	defer cancel()
	return ask(ctx, cl)
}

func projectionNames(c *cobra.Command, _ []string) []string {
	return askNames(c, func(ctx context.Context, cl *client.Client) (names []string) {
		all, _ := cl.Projections(ctx)
		for _, s := range all {
			names = append(names, s.Projection)
		}
		return names
	})
}

// snapshotNames are those of the projection that the first argument names.
func snapshotNames(c *cobra.Command, args []string) []string {
	if len(args) == 0 || strings.HasPrefix(c.Use, "create ") { // that is to have a new one
		return nil
	}
	return askNames(c, func(ctx context.Context, cl *client.Client) (names []string) {
		all, _ := cl.Snapshots(ctx, args[0])
		for _, s := range all {
			names = append(names, s.Name)
		}
		return names
	})
}

// streamNames are those that projections of the engine read, and those of the configuration.
func streamNames(c *cobra.Command, _ []string) []string {
	names := askNames(c, func(ctx context.Context, cl *client.Client) (names []string) {
		all, _ := cl.Projections(ctx)
		for _, s := range all {
			names = append(names, s.Stream)
		}
		return names
	})
	if f := c.Flags().Lookup("config"); f != nil {
		if declared, err := config.Load(f.Value.String()); err == nil {
			for _, s := range declared.Streams {
				names = append(names, s.Name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
