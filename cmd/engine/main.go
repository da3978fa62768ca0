package main

import (
	"context"
	"io"
	"os"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/cmd/engine/top"
	"gnomon/cmd/engine/trial"
	"gnomon/host"
)

func main() {
	if host.IsTrial() {
		os.Exit(host.ServeTrial())
	}
	os.Exit(cli.Main(rootCommand()))
}

// run runs one command and returns its exit code. Tests run the program through it.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return cli.Run(ctx, rootCommand(), args, stdin, stdout, stderr)
}

func rootCommand() *cobra.Command {
	root := cli.Program()
	root.AddGroup(
		&cobra.Group{ID: "run", Title: "Run:"},
		&cobra.Group{ID: "events", Title: "Events:"},
		&cobra.Group{ID: "read", Title: "Read:"},
		&cobra.Group{ID: "tools", Title: "Tools:"},
	)
	root.AddCommand(
		inGroup("run", runCommand(), planCommand(), reloadCommand(), logLevelCommand(), pauseCommand(), resumeCommand(), rebuildCommand(), promoteCommand(), rollbackCommand(), removeCommand(), deployCommand(), acceptCommand(), deadLettersCommand())...)
	root.AddCommand(inGroup("events", importCommand(), publishCommand(), trial.RecordCommand(readStreams))...)
	root.AddCommand(inGroup("read", statusCommand(), getCommand(), scanCommand(), watchCommand(), queryCommand(), diffCommand(), healthCommand(), historyCommand(), explainCommand(), changesCommand(), logsCommand(), snapshotCommand())...)
	root.AddCommand(inGroup("tools", newCommand(), trial.AttachCommand(), developCommand(), trial.CheckCommand(), trial.TestCommand(readStreams), trial.ReplayBundleCommand(), inspectCommand(), verifyCommand(), versionCommand())...)
	root.AddCommand(inGroup("tools", top.Command(), doctorCommand(), completionCommand(), manCommand())...)
	completes(root)
	cli.CheckTopics(root)
	return root
}

func inGroup(id string, commands ...*cobra.Command) []*cobra.Command {
	for _, c := range commands {
		c.GroupID = id
		c.Args = cli.AsUsage(c.Args)
	}
	return commands
}
