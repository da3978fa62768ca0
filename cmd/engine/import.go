package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/config"
	"gnomon/engine/importer"
)

func importCommand() *cobra.Command {
	var configPath, stream string
	var skipBad bool
	c := &cobra.Command{
		Use:   "import --stream S FILE…",
		Short: "Append events from JSON Lines to a stream",
		Long: `Import appends events to a stream, in the order of their lines. A line is
  {"subject":"a.b","id":"unique","type":"paid","time":"2026-01-31T12:00:00Z","data":{}}
with an optional "source", and "data_base64" instead of "data" for bytes that are no
JSON, or one of engine record. FILE may be compressed with gzip, or - for standard input. The event has the
headers of CloudEvents in binary mode, and data as its body, byte for byte.

An import can be interrupted and repeated: ids that the stream holds are left out.
It works while an engine runs on the configuration, and while none does.`,
		Example: "  engine import --stream GITLOG examples/wasm-projections/data/gitlog.jsonl.gz\n" +
			"  tail -f events.jsonl | engine import --stream EVENTS -",
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, files []string) error {
			if stream == "" {
				return cli.Usagef(c, "--stream is missing")
			}
			cfg, err := config.Load(configPath)
			if err != nil {
				return err
			}
			return importFiles(c, cfg, stream, files, skipBad)
		},
	}
	cli.ConfigFlag(c, &configPath)
	c.Flags().StringVar(&stream, "stream", "", "stream to append to")
	c.Flags().BoolVar(&skipBad, "skip-bad", false, "report bad lines and go on, instead of stopping at the first")
	return c
}

func importFiles(c *cobra.Command, cfg *config.Config, stream string, files []string, skipBad bool) (err error) {
	t, err := openTarget(c.Context(), cfg, cli.QuietLog(c.ErrOrStderr()))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	return t.permitted(c.Context(), func(ctx context.Context) error { return t.importFiles(ctx, c, stream, files, skipBad) })
}

func (t *target) importFiles(ctx context.Context, c *cobra.Command, stream string, files []string, skipBad bool) error {
	sink, err := t.sink(ctx, stream)
	if err != nil {
		return err
	}
	im := &fileImport{sink: sink, stdin: c.InOrStdin(), stderr: c.ErrOrStderr(), skipBad: skipBad}
	for _, file := range files {
		if err = im.file(ctx, file); err != nil {
			break
		}
	}
	n := sink.Counts()
	fmt.Fprintf(c.OutOrStdout(), "%s: %d events imported, %d were there already", stream, n.Imported, n.Duplicates)
	if n.Last > 0 {
		fmt.Fprintf(c.OutOrStdout(), ", the last one is %d", n.Last)
	}
	fmt.Fprintln(c.OutOrStdout())
	if err == nil && im.bad > 0 {
		err = fmt.Errorf("%d bad lines were left out", im.bad)
	}
	return importHint(err)
}

func importHint(err error) error {
	var line *importer.LineError
	if errors.As(err, &line) {
		return cli.WithHint(err, "everything before that line is imported; mend it and import the file again, or leave bad lines out with --skip-bad")
	}
	return err
}

// fileImport imports files one after the other.
type fileImport struct {
	sink    importer.Sink
	stdin   io.Reader
	stderr  io.Writer
	skipBad bool
	bad     int // lines left out
}

func (im *fileImport) file(ctx context.Context, name string) error {
	in, total, err := cli.OpenLines(name, im.stdin)
	if err != nil {
		return err
	}
	defer in.Close()
	p := cli.NewProgress(im.stderr, "import "+name, total)
	defer p.Finish()
	lines := int64(0)
	o := importer.Options{Progress: func(int64) {
		lines++
		p.Set(lines)
	}}
	if im.skipBad {
		o.Bad = func(e *importer.LineError) error {
			im.bad++
			fmt.Fprintf(im.stderr, "left out: %v\n", e)
			return nil
		}
	}
	return importer.Import(ctx, name, in, im.sink, o)
}
