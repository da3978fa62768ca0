package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/catalog"
)

func snapshotCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "snapshot",
		Short: "Take, list, delete, export and import snapshots of a projection's state",
		Long: `A snapshot pins a version of a projection's state under a name. It is instant, for
nothing is copied; it costs the disk that every later version of a changed key takes.`,
		Example: "  engine snapshot create repo-files before-upgrade\n  engine snapshot list repo-files",
	}
	c.AddCommand(snapshotCreateCommand(), snapshotListCommand(), snapshotDeleteCommand(), snapshotExportCommand(), snapshotImportCommand())
	cli.Chooses(c)
	return c
}

func snapshotCreateCommand() *cobra.Command {
	var f readFlags
	c := &cobra.Command{
		Use:     "create NAME SNAPSHOT",
		Short:   "Pin what a projection serves now, under a name",
		Example: "  engine snapshot create repo-files before-upgrade",
		Args:    cli.AsUsage(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := f.Client()
			if err != nil {
				return err
			}
			s, err := cl.CreateSnapshot(c.Context(), args[0], args[1])
			if err != nil {
				return cli.Explain(err)
			}
			if f.JSON {
				return cli.PrintJSON(c.OutOrStdout(), s)
			}
			fmt.Fprintf(c.OutOrStdout(), "%s at %d: %d keys, digest %s\n", s.Name, s.Sequence, s.Keys, s.Digest)
			return nil
		},
	}
	f.AddServer(c)
	c.Flags().BoolVar(&f.JSON, "json", false, "print JSON")
	return c
}

func snapshotDeleteCommand() *cobra.Command {
	var f readFlags
	c := &cobra.Command{
		Use:     "delete NAME SNAPSHOT",
		Short:   "Give a snapshot up: the disk that is taken for it alone comes free in time",
		Example: "  engine snapshot delete repo-files before-upgrade",
		Args:    cli.AsUsage(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := f.Client()
			if err != nil {
				return err
			}
			return cli.Explain(cl.DeleteSnapshot(c.Context(), args[0], args[1]))
		},
	}
	f.AddServer(c)
	return c
}

func snapshotListCommand() *cobra.Command {
	var f readFlags
	c := &cobra.Command{
		Use:     "list NAME",
		Short:   "List a projection's snapshots",
		Example: "  engine snapshot list repo-files --json",
		Args:    cli.AsUsage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			return f.read(c, func(r reader) error {
				list, err := r.Snapshots(c.Context(), args[0])
				if err != nil {
					return err
				}
				if f.JSON {
					return cli.PrintJSON(c.OutOrStdout(), map[string][]catalog.Snapshot{"snapshots": append([]catalog.Snapshot{}, list...)})
				}
				t := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 3, ' ', 0)
				fmt.Fprintln(t, "SNAPSHOT\tSEQUENCE\tTAKEN\tKEYS\tBYTES\tDIGEST")
				for _, s := range list {
					fmt.Fprintf(t, "%s\t%d\t%s\t%d\t%d\t%s\n", s.Name, s.Sequence, s.Created.Format("2006-01-02 15:04:05 MST"), s.Keys, s.Bytes, s.Digest)
				}
				return t.Flush()
			})
		},
	}
	f.add(c)
	return c
}
