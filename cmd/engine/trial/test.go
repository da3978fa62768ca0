package trial

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/fields"
	"gnomon/engine/testdriver"
	"gnomon/host"
	"gnomon/plugins"
	"gnomon/sdk/abi"
	"gnomon/sdk/outcome"
)

// testFlags are what a test is asked for.
type testFlags struct {
	limitFlags
	recorder                                       recorder
	fromServer                                     bool
	events, expect, settings, key, onError, bundle string
	queries                                        []string
	update, noInvariance, watch                    bool
	seed                                           uint64
}

// TestCommand is engine test.
func TestCommand(read ReadStreams) *cobra.Command {
	f := testFlags{recorder: recorder{read: read}}
	c := &cobra.Command{
		Use:   "test MODULE --events FILE",
		Short: "Run a module over events, with no server, and hold what it makes of them against what is expected",
		Long: `Test runs a module in the sandbox of the engine, over events of a file: JSON Lines as engine import takes
them, or - for standard input. They get the sequences from 1, and each is stored at its own time. What comes
of them, state, emitted events, errors, lines of the log, and answers to requests, is compared with the file
--expect, which --update writes. Without --expect it is printed in that form. An event that fails is recorded
and passed over, as with on_error = "skip"; with --on-error halt it ends the run.

Then the same events are applied in other batches, by fresh instances, in partitions where --key declares a
key, with another wall clock and with other random numbers. The result must be the same each time; if not, the
first event of which it differs is named, with what usually causes that.

With --from-server the events are those of --stream on a server, as engine record writes them: they are written
to the file of --events, which must not exist yet without --update, and the module is run over that file.

It exits with 3 when something differs. With --bundle it runs a repro bundle instead, as engine replay-bundle
does. Compiled modules are kept in the folder GNOMON_CACHE, when that is set: it has to be private.`,
		Example: "  engine test build/balances.wasm --events testdata/events.jsonl\n" +
			"  engine test build/balances.wasm --events testdata/events.jsonl --expect testdata/expected.json --update\n" +
			"  engine test build/balances.wasm --events testdata/events.jsonl --settings testdata/settings.json --key json:account --expect testdata/expected.json\n" +
			"  engine test build/balances.wasm --events testdata/real.jsonl --from-server --stream BANK --from 1000 --to 2000\n" +
			"  engine test build/balances.wasm --bundle orders-1234.zip",
		Args: func(c *cobra.Command, args []string) error {
			if f.fromServer && len(args) > 1 {
				return cli.Usagef(c, "--from-server takes no value, and there is one MODULE: name the server with --nats URL")
			}
			return cobra.MaximumNArgs(1)(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			if f.bundle != "" {
				return f.runBundle(c, args)
			}
			t, err := f.tester(c, args)
			if err != nil {
				return err
			}
			if f.fromServer {
				f.recorder.replace = f.update
				if err := t.record(&f.recorder); err != nil {
					return err
				}
			}
			if f.watch {
				return t.watch(c.Context())
			}
			return t.run(c.Context())
		},
	}
	f.add(c)
	f.recorder.add(c)
	flags := c.Flags()
	flags.StringVar(&f.events, "events", "", "`FILE` of events to apply")
	flags.BoolVar(&f.fromServer, "from-server", false, "write events of --stream to the file of --events first, from the server of the configuration or of --nats")
	flags.StringVar(&f.expect, "expect", "", "`FILE` with what is expected of them")
	flags.BoolVar(&f.update, "update", false, "write what there is to the file of --expect, instead of comparing; with --from-server, replace that of --events, too")
	flags.StringVar(&f.settings, "settings", "{}", "settings of the projection: a JSON `OBJECT`, or a file that has one")
	flags.StringVar(&f.key, "key", "", "key of each event: `KIND` subject:N, header:NAME or json:PATH")
	flags.StringArrayVar(&f.queries, "query", nil, "`REQUEST` to answer at the end, beside those of --expect; can be repeated")
	flags.StringVar(&f.onError, "on-error", "skip", "what an event that fails does: skip or halt")
	flags.BoolVar(&f.noInvariance, "no-invariance", false, "apply the events once, and do not look for what a result must not depend on")
	flags.Uint64Var(&f.seed, "seed", 0, "repeat the variations of another run; default: other ones each time")
	flags.BoolVar(&f.watch, "watch", false, "run again whenever module, events, settings or expectation change, until interrupted")
	flags.StringVar(&f.bundle, "bundle", "", "`FILE` of a failed event to run instead of events; without MODULE by its own module")
	return c
}

// runBundle runs a repro bundle.
func (f *testFlags) runBundle(c *cobra.Command, args []string) error {
	for _, flag := range []string{"events", "expect", "update", "settings", "key", "query", "watch", "on-error", "seed", "no-invariance", "from-server"} {
		if cli.Given(c, flag) {
			return cli.Usagef(c, "--bundle and --%s are both set: a bundle has its own event, state and settings", flag)
		}
	}
	return runBundle(c, f.bundle, cmp.Or(append(args, "")...), false)
}

// tester runs a module over events, once or again and again.
type tester struct {
	module, events, expect, settings string // files; of settings perhaps an object
	limits                           host.Limits
	keyOf                            func(abi.Record) []byte
	queries                          [][]byte
	update, halt, vary, keys         bool
	seed                             uint64

	command        *cobra.Command
	stdin          io.Reader
	stdout, stderr io.Writer
}

func (f *testFlags) tester(c *cobra.Command, args []string) (t *tester, err error) {
	t = &tester{
		events: f.events, expect: f.expect, settings: f.settings, update: f.update && f.expect != "", halt: f.onError == "halt",
		vary: !f.noInvariance, keys: f.key != "", seed: f.seed,
		command: c, stdin: c.InOrStdin(), stdout: c.OutOrStdout(), stderr: c.ErrOrStderr(),
	}
	switch {
	case len(args) == 0:
		return nil, cli.Usagef(c, "MODULE is missing: name a file such as build/balances.wasm")
	case f.events == "":
		return nil, cli.Usagef(c, "--events is missing: name a file of JSON Lines, or - for standard input")
	case f.onError != "skip" && f.onError != "halt":
		return nil, cli.Usagef(c, "--on-error %q: use skip or halt", f.onError)
	case f.update && f.expect == "" && !f.fromServer:
		return nil, cli.Usagef(c, "--update: name the file to write with --expect")
	case f.fromServer && f.events == "-":
		return nil, cli.Usagef(c, "--from-server: name the file to write with --events")
	case f.watch && f.events == "-":
		return nil, cli.Usagef(c, "--watch and --events -: standard input can be read once only")
	case f.watch && f.update:
		return nil, cli.Usagef(c, "--watch and --update are both set: use one of them")
	}
	for _, flag := range recordFlags {
		if cli.Given(c, flag) && !f.fromServer {
			return nil, cli.Usagef(c, "--%s is for --from-server, which is not set", flag)
		}
	}
	t.module = args[0]
	if !cli.Given(c, "seed") {
		t.seed = rand.Uint64N(1 << 32)
	}
	for _, q := range f.queries {
		t.queries = append(t.queries, []byte(q))
	}
	if t.limits, err = f.limits(c); err != nil {
		return nil, err
	}
	if t.keyOf, err = fields.Key(f.key); err != nil {
		return nil, cli.Usagef(c, "--key: %w", err)
	}
	return t, nil
}

// record writes the file of --events.
func (t *tester) record(r *recorder) error {
	if _, err := readModule(t.module); err != nil { // sooner than afterwards
		return err
	}
	r.output, r.otherwise = t.events, ", replace it with --update, or leave out --from-server"
	n, err := r.record(t.command)
	if err == nil {
		fmt.Fprintf(t.stderr, "%s: %s of %s\n", t.events, cli.Count(n, "event", "events"), r.stream)
	}
	return err
}

// run tests the module once. It fails with exitDiffers when something differs.
func (t *tester) run(ctx context.Context) error {
	h, done, err := cli.ScratchHost(ctx)
	if err != nil {
		return err
	}
	defer done()
	return t.with(ctx, h)
}

// with tests the module once, by a host.
func (t *tester) with(ctx context.Context, h *host.Host) error {
	settings, err := readSettings(t.command, t.settings)
	if err != nil {
		return err
	}
	want, err := t.wanted()
	if err != nil {
		return err
	}
	code, err := readModule(t.module)
	if err != nil {
		return err
	}
	m, err := h.Load(ctx, code, t.limits)
	if err != nil {
		return cli.WithHint(fmt.Errorf("%s: %w", t.module, err), "engine check %s says what to do about it", t.module)
	}
	defer m.Close(ctx)
	list, err := t.readEvents(ctx)
	if err != nil {
		return err
	}
	r := &report{tester: t, subject: testdriver.Subject{Module: m, Settings: settings, Memory: t.limits.Memory}, want: want}
	if err := r.test(ctx, list); err != nil {
		return fmt.Errorf("%s: %w", t.module, err)
	}
	return r.print()
}

// wanted reads the expectation; nil: there is none.
func (t *tester) wanted() (*outcome.Outcome, error) {
	if t.expect == "" {
		return nil, nil
	}
	file, err := os.ReadFile(t.expect)
	switch {
	case errors.Is(err, fs.ErrNotExist) && t.update:
		return nil, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, cli.WithHint(err, "write it with --update")
	case err != nil:
		return nil, err
	}
	want, err := outcome.Decode(file)
	if err != nil {
		return nil, cli.WithHint(fmt.Errorf("%s: %w", t.expect, err), "docs/authoring/testing.md has its form; --update writes it to a file that is not there")
	}
	return want, nil
}

func (t *tester) readEvents(ctx context.Context) (*testdriver.Events, error) {
	in := t.stdin
	if t.events != "-" {
		f, err := os.Open(t.events)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	return testdriver.ReadEvents(ctx, eventsFile(t.events), in, t.keyOf)
}

// watch tests again and again.
func (t *tester) watch(ctx context.Context) error {
	h, done, err := cli.ScratchHost(ctx)
	if err != nil {
		return err
	}
	defer done()
	files := []string{t.module, t.events}
	for _, file := range []string{t.expect, t.settings} {
		if file != "" && file[0] != '{' {
			files = append(files, file)
		}
	}
	w := plugins.Watch(ctx, plugins.WatchOptions{Files: files})
	defer w.Close()
	for {
		if err := t.with(ctx, h); err != nil && ctx.Err() == nil {
			cli.PrintError(t.stderr, err)
		}
		fmt.Fprintln(t.stderr, "watching for changes; Ctrl-C ends")
		select {
		case <-ctx.Done():
			return nil
		case <-w.Changes():
			fmt.Fprintln(t.stdout)
		}
	}
}

// writeExpectation replaces the file of --expect, or what it links to: projects may share one.
func (t *tester) writeExpectation(o *outcome.Outcome) (changed bool, err error) {
	file, path := o.Encode(), t.expect
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, file) {
		return false, nil
	}
	if shared, err := filepath.EvalSymlinks(path); err == nil {
		path = shared
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".expect-*")
	if err != nil {
		return false, err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(file)
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err != nil {
		return false, err
	}
	return true, os.Rename(tmp.Name(), path)
}
