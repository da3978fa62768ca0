package trial

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/config"
	"gnomon/engine/fields"
	"gnomon/engine/importer"
	"gnomon/engine/store"
	"gnomon/engine/streams"
	"gnomon/sdk/abi"
)

// ReadStreams connects to the server of a configuration, and calls fn with the streams there; the connection is
// closed when it returns. Errors name permissions that are missing.
type ReadStreams func(ctx context.Context, c *config.Config, log *slog.Logger, fn func(context.Context, streams.Source) error) error

// recorder writes events of a stream to a file.
type recorder struct {
	stream, url, configPath, output string
	from, to                        uint64
	subjects                        []string
	read                            ReadStreams
	replace                         bool   // the file may be there
	otherwise                       string // how to have it so, for a hint
}

// RecordCommand is engine record.
func RecordCommand(read ReadStreams) *cobra.Command {
	r := recorder{read: read, otherwise: " with -o"}
	c := &cobra.Command{
		Use:   "record --stream S",
		Short: "Write events of a stream to a file, to test modules with",
		Long: `Record writes events of a stream as JSON Lines, each exactly as a module gets it: with its sequence, the
time it was stored, all headers, and its data byte for byte. engine test and engine check take the file, and
engine import, which gives the events sequences of their own. The file is compressed when its name ends in .gz,
and must not exist yet; without -o the lines go to standard output.
The server is that of the configuration, or the one of --nats. Mind what the events say before you keep them.`,
		Example: "  engine record --stream BANK --from 1000 --to 2000 -o testdata/events.jsonl\n" +
			"  engine record --stream BANK --nats nats://localhost:4222 --subject 'bank.accounts.>' | gzip > events.jsonl.gz",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			n, err := r.record(c)
			if err == nil && r.output != "" {
				fmt.Fprintf(c.OutOrStdout(), "%s: %s of %s\n", r.output, cli.Count(n, "event", "events"), r.stream)
			}
			return err
		},
	}
	r.add(c)
	c.Flags().StringVarP(&r.output, "output", "o", "", "file to write; default: standard output")
	return c
}

// recordFlags say where events are, and which to take.
var recordFlags = []string{"config", "stream", "nats", "from", "to", "subject"}

func (r *recorder) add(c *cobra.Command) {
	cli.ConfigFlag(c, &r.configPath)
	flags := c.Flags()
	flags.StringVar(&r.stream, "stream", "", "stream to read")
	flags.StringVar(&r.url, "nats", "", "`URL` of a server, instead of that of the configuration")
	flags.Uint64Var(&r.from, "from", 1, "first sequence")
	flags.Uint64Var(&r.to, "to", 0, "last sequence; default: the last that there is now")
	flags.StringSliceVar(&r.subjects, "subject", nil, "only events of these subjects, with wildcards")
}

// configuration is where the server is.
func (r *recorder) configuration(c *cobra.Command) (*config.Config, error) {
	if r.url != "" && !cli.Given(c, "config") {
		cfg := config.Default()
		cfg.NATS.URL = r.url
		return &cfg, nil
	}
	cfg, err := config.Load(r.configPath)
	if err != nil {
		return nil, err
	}
	if r.url != "" {
		cfg.NATS.URL = r.url
	}
	if h, running := store.Running(cfg.DataDir); cli.Embedded(cfg) && running {
		return nil, cli.WithHint(fmt.Errorf("process %d has the embedded NATS server of %s", h.PID, cfg.DataDir), "let that server listen (nats.embedded.listen) and name it with --nats, or stop the engine first")
	}
	return cfg, nil
}

// record writes the events, and returns how many there are.
func (r *recorder) record(c *cobra.Command) (n int, err error) {
	switch {
	case r.stream == "":
		return 0, cli.Usagef(c, "--stream is missing")
	case r.to != 0 && r.to < r.from:
		return 0, cli.Usagef(c, "--to %d is before --from %d", r.to, r.from)
	}
	picks, err := fields.Filter(r.subjects)
	if err != nil {
		return 0, cli.Usagef(c, "--subject: %w", err)
	}
	cfg, err := r.configuration(c)
	if err != nil {
		return 0, err
	}
	closeFile := func(err error) error { return err } // until there is one
	err = r.read(c.Context(), cfg, cli.QuietLog(c.ErrOrStderr()), func(ctx context.Context, source streams.Source) error {
		var w io.Writer
		if w, closeFile, err = r.create(c.OutOrStdout()); err != nil {
			closeFile = func(err error) error { return err }
			return err
		}
		return eachEvent(ctx, source, r.stream, r.from, r.to, func(e abi.Record) error {
			if picks != nil && !picks(e.Subject) {
				return nil
			}
			n++
			return writeLine(w, e)
		})
	})
	return n, closeFile(err)
}

func writeLine(w io.Writer, r abi.Record) error {
	e, err := importer.RecordedEvent(r)
	if err != nil {
		return fmt.Errorf("event %d: %w", r.Sequence, err)
	}
	line, err := e.JSONLine()
	if err != nil {
		return fmt.Errorf("event %d: %w", r.Sequence, err)
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

// create opens the file. What closes it takes the error of what was written, and removes the
// file when there is one: a file that is to be replaced stays as it was then.
func (r *recorder) create(stdout io.Writer) (w io.Writer, closeFile func(error) error, err error) {
	if r.output == "" {
		b := bufio.NewWriter(stdout)
		return b, func(err error) error { return errors.Join(err, b.Flush()) }, nil
	}
	f, err := r.open()
	if err != nil {
		return nil, nil, err
	}
	b := bufio.NewWriter(f)
	ends := []func() error{b.Flush, f.Close}
	w = b
	if strings.HasSuffix(r.output, ".gz") {
		z := gzip.NewWriter(b)
		w, ends = z, append([]func() error{z.Close}, ends...)
	}
	return w, func(err error) error {
		for _, end := range ends {
			err = errors.Join(err, end())
		}
		if err == nil && f.Name() != r.output {
			err = os.Rename(f.Name(), r.output)
		}
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
		return err
	}, nil
}

// open opens the file, or one beside it that is to take its place.
func (r *recorder) open() (*os.File, error) {
	if r.replace {
		return os.CreateTemp(filepath.Dir(r.output), ".record-*")
	}
	f, err := os.OpenFile(r.output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		err = cli.WithHint(fmt.Errorf("%s exists already", r.output), "name another file%s", r.otherwise)
	}
	return f, err
}

// eachEvent reads a range of a stream: up to the last event that it has now, when to is 0.
func eachEvent(ctx context.Context, source streams.Source, stream string, from, to uint64, fn func(abi.Record) error) error {
	info, err := source.Stream(ctx, stream)
	if err != nil {
		return err
	}
	if to == 0 {
		to = math.MaxUint64
	}
	to = min(to, info.Last)
	if from = max(from, info.First); from > to {
		return nil
	}
	reader, err := source.Read(ctx, stream, from, streams.ReadLimit{Events: 1000, Bytes: 4 << 20})
	if err != nil {
		return err
	}
	defer reader.Close()
	ask := time.NewTicker(time.Second) // events at the end may be gone
	defer ask.Stop()
	for ended := false; ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ask.C:
			if through, ok, err := reader.CaughtUp(ctx); err == nil && ok && through >= to {
				ended = true // once what was read is taken
			}
		case <-reader.Ready():
		}
		for {
			b, err := reader.Take()
			if err != nil {
				return err
			}
			if b == nil {
				break
			}
			done, err := eachRecord(b.Records, to, fn)
			if err != nil || done || b.Through >= to {
				return err
			}
			reader.Release(b)
		}
		if ended {
			return nil
		}
	}
}

// eachRecord calls fn for records up to a sequence, and reports whether there are later ones.
func eachRecord(records []byte, to uint64, fn func(abi.Record) error) (done bool, err error) {
	for len(records) > 0 {
		var r abi.Record
		if r, records, err = abi.Next(records); err != nil {
			return true, err
		}
		if r.Sequence > to {
			return true, nil
		}
		if err := fn(r); err != nil {
			return true, err
		}
	}
	return false, nil
}
