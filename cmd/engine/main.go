package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"gnomon/host"
)

// Exit codes of every command.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitDiffers = 3
)

func main() {
	if host.IsTrial() {
		os.Exit(host.ServeTrial())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the process at once
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run runs one command and returns its exit code. Tests run the program through it.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	out := keptWriter(stdout)
	root.SetOut(out)
	root.SetErr(stderr)
	c, err := root.ExecuteContextC(ctx)
	if err == nil {
		err = out.lost()
	}
	if err == nil {
		return exitDone
	}
	printError(stderr, filesToo(c, err))
	var usage *usageError
	var differs *differsError
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &differs):
		return exitDiffers
	}
	return exitFailed
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "engine",
		Short: "Run event-sourcing projections, written in any Wasm language, over NATS JetStream",
		Long: `Gnomon runs projections over NATS JetStream. A projection is a WebAssembly module
that is handed the events of a stream, in order, and writes keys and values.
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 differs.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return usagef(c, "%w", err) })
	root.SetUsageTemplate(usageTemplate(root))
	chooses(root)
	root.AddGroup(
		&cobra.Group{ID: "run", Title: "Run:"},
		&cobra.Group{ID: "events", Title: "Events:"},
		&cobra.Group{ID: "read", Title: "Read:"},
		&cobra.Group{ID: "tools", Title: "Tools:"},
	)
	root.AddCommand(
		inGroup("run", runCommand(), planCommand(), reloadCommand(), logLevelCommand(), pauseCommand(), resumeCommand(), rebuildCommand(), promoteCommand(), rollbackCommand(), removeCommand(), deployCommand(), acceptCommand(), deadLettersCommand())...)
	root.AddCommand(inGroup("events", importCommand(), publishCommand(), recordCommand())...)
	root.AddCommand(inGroup("read", statusCommand(), getCommand(), scanCommand(), watchCommand(), queryCommand(), diffCommand(), healthCommand(), historyCommand(), explainCommand(), changesCommand(), logsCommand(), snapshotCommand())...)
	root.AddCommand(inGroup("tools", newCommand(), attachCommand(), devCommand(), checkCommand(), testCommand(), replayBundleCommand(), inspectCommand(), verifyCommand(), versionCommand())...)
	root.AddCommand(inGroup("tools", topCommand(), doctorCommand(), completionCommand(), manCommand())...)
	completes(root)
	checkTopics(root)
	return root
}

func inGroup(id string, commands ...*cobra.Command) []*cobra.Command {
	for _, c := range commands {
		c.GroupID = id
		c.Args = asUsage(c.Args)
	}
	return commands
}

// differsError is an error of something that is not as the user expected it.
type differsError struct{ error }

func (e *differsError) Unwrap() error { return e.error }

// hinted is an error with the way out of it.
type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }

// withHint adds a way out to an error.
func withHint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &hinted{err, fmt.Sprintf(format, args...)}
}

// printError prints an error in one line, and below it what to do.
func printError(w io.Writer, err error) {
	fmt.Fprintf(w, "engine: %s\n", readableText([]byte(err.Error()))) // which may have the words of a guest
	var usage *usageError
	var h *hinted
	switch {
	case errors.As(err, &usage):
		fmt.Fprintf(w, "hint: see %s --help\n", usage.command)
	case errors.As(err, &h):
		fmt.Fprintf(w, "hint: %s\n", h.hint)
	}
}
