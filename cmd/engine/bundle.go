package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/cmd/engine/trial"
	"gnomon/engine"
	"gnomon/engine/config"
	"gnomon/engine/fields"
	"gnomon/engine/query"
	"gnomon/engine/repro"
	"gnomon/engine/state"
	"gnomon/host"
	"gnomon/plugins"
)

var _ query.Bundler = (*node)(nil)

// Bundle implements query.Bundler.
func (n *node) Bundle(ctx context.Context, projection string, sequence uint64) ([]byte, error) {
	spec, err := n.engine.Spec(projection)
	if err != nil {
		return nil, err
	}
	st, err := n.engine.Status(projection)
	if err != nil {
		return nil, err
	}
	reading, err := n.engine.Read(projection)
	if err != nil {
		return nil, err
	}
	defer reading.Close()
	letter, err := findLetter(reading, sequence)
	if errors.Is(err, engine.ErrNoLetter) && st.Failing == sequence && reading.Checkpoint.Position.Sequence < sequence {
		letter, err = n.failingEvent(ctx, &spec, st)
	}
	if err != nil {
		return nil, err
	}
	c := repro.Case{Engine: version, Spec: spec, Letter: letter, State: reading, AsOf: reading.Checkpoint.Position.Sequence, Limit: reading.Limit()}
	if c.Memory, c.MemoryAsOf, err = reading.Memory(); err != nil {
		return nil, err
	}
	code, err := n.declared.kept.get(spec.Module.Digest())
	if err != nil {
		return nil, err
	}
	if err := n.declared.kept.addUpcasters(&c); err != nil {
		return nil, err
	}
	b, err := makeBundle(ctx, c, plugins.Module{Name: spec.Module.Digest(), Bytes: code})
	if errors.Is(err, repro.ErrModule) {
		err = changedModule{err}
	}
	return b, err
}

// changedModule is query.ErrModuleChanged in the words of a bundle.
type changedModule struct{ error }

func (changedModule) Is(target error) bool { return target == query.ErrModuleChanged }

// findLetter returns the letter of an event.
func findLetter(v state.View, sequence uint64) (found state.Letter, err error) {
	err = state.ReadLetters(v, sequence-1, func(l state.Letter) bool {
		found = l
		return false
	})
	if err == nil && found.Sequence != sequence {
		err = fmt.Errorf("event %d: %w", sequence, engine.ErrNoLetter)
	}
	return found, err
}

// failingEvent is the event that a projection is halted before, as a letter that is not
// set aside.
func (n *node) failingEvent(ctx context.Context, p *engine.Spec, st engine.Status) (state.Letter, error) {
	e, err := n.source.Event(ctx, p.Stream, st.Failing)
	if err != nil {
		return state.Letter{}, err
	}
	key, err := fields.Key(p.Key)
	if err != nil {
		return state.Letter{}, err
	}
	if key != nil && len(p.Upcasters) == 0 { // which get it as it is stored
		e.Key = key(e)
	}
	reason := strings.TrimPrefix(st.Reason, fmt.Sprintf("event %d: ", st.Failing))
	return state.Letter{Sequence: st.Failing, Key: e.Key, Event: e.Append(nil), Error: reason, Module: st.Module, Time: st.Since, Attempts: 1}, nil
}

// moduleFile reads the module of a projection from the configured folder.
func moduleFile(cfg *config.Config, p config.Projection) (plugins.Module, error) {
	folder, err := plugins.Open(cfg.Plugins.Dir)
	if err != nil {
		return plugins.Module{}, err
	}
	defer folder.Close()
	return folder.Load(p.Module, int64(p.Limits.Module))
}

// makeBundle adds the module's file to a case, and makes the bundle's file.
func makeBundle(ctx context.Context, c repro.Case, module plugins.Module) ([]byte, error) {
	c.Bytes = module.Bytes
	b, err := repro.Make(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("projection %s, %s: %w", c.Spec.Name, module.Name, err)
	}
	var out bytes.Buffer
	err = b.Write(&out)
	return out.Bytes(), err
}

// bundle makes a bundle from the files of an engine that is not running, and its
// configuration.
func (f *files) bundle(ctx context.Context, cfg *config.Config, name string, sequence uint64) (_ []byte, err error) {
	at := slices.IndexFunc(cfg.Projections, func(p config.Projection) bool { return p.Name == name })
	if at < 0 {
		return nil, fmt.Errorf("the configuration has no projection %q", name)
	}
	p := cfg.Projections[at]
	ks, ck, live, err := f.open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ks.Close()) }()
	v, err := ks.View(ck.Version)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	c := repro.Case{Engine: version, State: v, AsOf: ck.Position.Sequence, Limit: ks.Limit()}
	if c.Letter, err = findLetter(v, sequence); err != nil {
		return nil, err
	}
	if len(ck.Memories) > 0 {
		c.MemoryAsOf = ck.Memories[0].Version.Sequence()
		if c.Memory, err = ks.Memory(ck.Memories[0]); err != nil {
			return nil, err
		}
	}
	file, err := moduleFile(cfg, p)
	if err != nil {
		return nil, err
	}
	if file.SHA256 != ck.Position.Module && ck.Position.Module != "" {
		return nil, cli.WithHint(fmt.Errorf("projection %s: its files were made by the module %s, and %s in %s is %s", name, ck.Position.Module, p.Module, cfg.Plugins.Dir, file.SHA256),
			"put the module that failed back, or name a configuration with --config that has it")
	}
	h, done, err := cli.ScratchHost(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	var upcasters []plugins.Module
	if c.Spec, upcasters, err = offlineSpec(ctx, h, cfg, p); err != nil {
		return nil, err
	}
	for _, m := range upcasters {
		c.Upcasters = append(c.Upcasters, m.Bytes)
	}
	record, err := f.record(name)
	if err != nil {
		return nil, err
	}
	if !c.Spec.Runs(&record, live) {
		return nil, cli.WithHint(fmt.Errorf("projection %s: its files are of the generation %s, and the configuration makes %s: settings or source were changed", name, live, c.Spec.Generation()),
			"name the configuration that it ran with: --config FILE")
	}
	return makeBundle(ctx, c, file)
}

// offlineSpec makes the spec of one projection, as a node would, and returns the modules
// of its upcasters.
func offlineSpec(ctx context.Context, h *host.Host, cfg *config.Config, p config.Projection) (engine.Spec, []plugins.Module, error) {
	ds := &declarations{host: h, log: cli.QuietLog(io.Discard)}
	d, err := ds.read(cfg, p)
	if err != nil {
		return engine.Spec{}, nil, err
	}
	spec, err := ds.spec(ctx, d)
	if err != nil {
		err = fmt.Errorf("projection %s: %w", p.Name, err)
	}
	return spec, d.upcasters, err
}

func lettersExportCommand() *cobra.Command {
	var f readFlags
	var configPath, out string
	c := &cobra.Command{
		Use:   "export NAME SEQ",
		Short: "Write a file with which a failure can be reproduced anywhere",
		Long: `Export writes a repro bundle: module, settings, the event, and the state that it reads. The event is one
that is set aside, or, of a running engine, the one that the projection is halted before. It is applied to
the state as it is now, and nothing of that is kept. engine replay-bundle runs the file.
The file holds data of the event and of the state: mind who gets it.
With --data-dir the module and its settings are those of --config.`,
		Example: "  engine dead-letters export orders 1234\n  engine dead-letters export orders 1234 --data-dir data -o failure.zip",
		Args:    cli.AsUsage(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			seq, err := parseSequence(c, args[1])
			if err != nil {
				return err
			}
			file, err := f.bundle(c, args[0], seq, configPath)
			if err != nil {
				return cli.Explain(err)
			}
			b, err := repro.Read(file)
			if err != nil {
				return fmt.Errorf("the engine's answer: %w", err)
			}
			if out == "" {
				out = fmt.Sprintf("%s-%d.zip", args[0], seq)
			}
			if err := writeNew(out, file); err != nil {
				return err
			}
			describeBundle(c.OutOrStdout(), out, len(file), b)
			return nil
		},
	}
	f.AddServer(c)
	c.Flags().StringVar(&f.dataDir, "data-dir", "", "read the files of an engine that is not running, instead of asking one")
	cli.ConfigFlag(c, &configPath)
	c.Flags().StringVarP(&out, "output", "o", "", "file to write; default: NAME-SEQ.zip")
	return c
}

// bundle has a bundle made by a running engine, or makes it from files.
func (f *readFlags) bundle(c *cobra.Command, name string, sequence uint64, configPath string) (_ []byte, err error) {
	if f.dataDir == "" {
		cl, err := f.Client()
		if err != nil {
			return nil, err
		}
		return cl.Bundle(c.Context(), name, sequence)
	}
	cfg, err := config.Load(configPath)
	if err != nil {
		return nil, err
	}
	r, err := openFiles(f.dataDir, c.ErrOrStderr())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return r.(*files).bundle(c.Context(), cfg, name, sequence)
}

// writeNew writes a file that does not exist yet, for its owner only.
func writeNew(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return cli.WithHint(fmt.Errorf("%s exists already", path), "name another file with -o")
	}
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}

func describeBundle(w io.Writer, path string, size int, b *repro.Bundle) {
	m := b.Manifest
	fmt.Fprintf(w, "%s: event %d of %s, on the state at %d, %s\n", path, m.Sequence, m.Projection, m.AsOf, humanize.IBytes(uint64(size)))
	fmt.Fprintf(w, "  result    %s\n", trial.ResultText(m.Result))
	if m.Error != "" && m.Error != m.Result {
		fmt.Fprintf(w, "  warning   when it was set aside it was: %s\n", cli.Readable([]byte(m.Error)))
	}
}
