package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/engine"
	"gnomon/engine/config"
	"gnomon/engine/query/client"
	"gnomon/engine/store"
)

// devOptions are the flags of dev.
type devOptions struct {
	named                           string // folder of a project, or a script
	dir, config, projection, server string
	fresh, untested                 bool
}

// Program is what dev has the rest of the program do.
type Program struct {
	// Run runs the engine that the configuration in a file declares, until ctx ends. It says whether its data is kept.
	Run func(ctx context.Context, c *config.Config, path string, kept bool, stdout, stderr io.Writer) error
	// Watch hands what a projection becomes to take, until ctx ends. It tells what else happens on stderr.
	Watch func(ctx context.Context, cl *client.Client, projection string, take func(engine.WatchEvent), stderr io.Writer) error
	// Import appends the events of a file to a stream, and says how many on the command's output.
	Import func(c *cobra.Command, cfg *config.Config, stream, file string) error
}

// Command is engine dev.
func Command(program Program) *cobra.Command {
	o := &devOptions{}
	var script scriptFlags
	var f cli.Server
	c := &cobra.Command{
		Use:   "dev [SCRIPT.js|DIR]",
		Short: "Build, test and load a projection whenever its sources change, and show its state",
		Long: `Dev works on a project such as engine new makes: a folder with a Makefile and a config.toml. It builds the
module (make), tests it (make test), and loads it into an engine. Whenever a file of the project changes it does so
again; what does not build, or fails its test, is shown, and the last good module stays. Meanwhile it prints every
change of the state, as engine watch does, but no more than 20 lines a step.

The engine is the one that runs on the configuration; where none does, dev starts one, which ends with it. Its data is
where the configuration says, and is kept; with --fresh it begins with nothing but the stream's seed. A file that is the
stream's seed is imported again when it changes, of which ids that the stream holds are left out.
With --server it is the engine there: the module is put into plugins.bucket of the configuration, as engine deploy does,
with the NAME.toml of the project if there is one.

A changed module is promoted as soon as it has caught up.

Of a script in JavaScript no project is needed. Dev makes a module of it, tests it on testdata/events.jsonl beside it if
that is there (with testdata/settings.json and testdata/expected.json, where there are such), or on the file of --events,
and runs it in an engine of its own, whose stream begins with these events. The data of that engine is removed at the end.`,
		Example: "  engine dev visits.js\n  engine dev visits.js --events log.jsonl --key subject:3\n  engine dev .\n  engine dev balances --fresh\n  engine dev balances --config /etc/gnomon/config.toml --projection balances",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.named = "."
			if len(args) == 1 {
				o.named = args[0]
			}
			if err := checkFlags(c, o.named); err != nil {
				return err
			}
			if isScript(o.named) {
				return developScript(c, o, script, program)
			}
			o.dir = o.named
			if cli.Given(c, "server") {
				o.server = f.URL
			}
			d, err := newDeveloper(c, o, program)
			if err != nil {
				return err
			}
			if o.server != "" {
				if d.client, err = f.Client(); err != nil {
					return err
				}
			}
			return d.run(c.Context())
		},
	}
	f.AddServer(c)
	c.Flags().StringVar(&o.config, "config", "", "configuration of the engine; default: config.toml in DIR")
	c.Flags().StringVar(&o.projection, "projection", "", "projection whose module is built; default: the only one of the configuration")
	c.Flags().BoolVar(&o.fresh, "fresh", false, "begin with an empty stream and state: removes the data directory, which must be in DIR")
	c.Flags().BoolVar(&o.untested, "no-test", false, "load the module without testing it (make test)")
	script.add(c)
	return c
}

// developer works on a project.
type developer struct {
	*devOptions
	program        Program
	command        *cobra.Command
	loaded         *config.Config
	declared       config.Projection // whose module is built
	stdout, stderr io.Writer

	script  *script // nil: it is a project
	sources *sources
	client  *client.Client // of the engine; nil until there is one
	showing bool           // the changes of the state
	ended   chan error     // how the engine ended that it started
}

// newDeveloper checks that there is something to work on.
func newDeveloper(c *cobra.Command, o *devOptions, program Program) (*developer, error) {
	if _, err := os.Stat(filepath.Join(o.dir, "Makefile")); err != nil {
		return nil, cli.WithHint(err, "name the folder of a project; engine new makes one")
	}
	if o.config == "" {
		o.config = filepath.Join(o.dir, "config.toml")
	} else if o.fresh {
		return nil, cli.Usagef(c, "--fresh and --config are both given: only the data of the project's own configuration is removed")
	}
	d := &developer{devOptions: o, program: program, command: c, stdout: c.OutOrStdout(), stderr: c.ErrOrStderr(), ended: make(chan error, 1)}
	if err := os.MkdirAll(filepath.Join(o.dir, "build"), 0o777); err != nil { // which plugins.dir may be
		return nil, err
	}
	if err := d.load(c.Context()); err != nil {
		return nil, err
	}
	d.sources = &sources{dir: o.dir, without: []string{d.loaded.DataDir, d.loaded.Plugins.Dir}, written: []*os.File{os.Stdout, os.Stderr}}
	return d, nil
}

// developScript works on a script, in a folder that is removed at the end.
func developScript(c *cobra.Command, o *devOptions, f scriptFlags, program Program) (err error) {
	s, err := newScript(o.named, f)
	if s != nil && s.dir != "" {
		defer func() { err = errors.Join(err, os.RemoveAll(s.dir)) }()
	}
	if err != nil {
		return err
	}
	o.dir = filepath.Dir(s.file)
	d := &developer{devOptions: o, program: program, script: s, command: c, stdout: c.OutOrStdout(), stderr: c.ErrOrStderr(), ended: make(chan error, 1)}
	d.sources = s.sources()
	return d.run(c.Context())
}

// load reads the configuration, and finds the projection in it.
func (d *developer) load(ctx context.Context) (err error) {
	if d.script != nil {
		if d.config, err = d.script.declare(ctx); err != nil {
			return err
		}
	}
	loaded, err := config.Load(d.config)
	if err != nil {
		return err
	}
	d.loaded = loaded
	var names []string
	for _, p := range d.loaded.Projections {
		names = append(names, p.Name)
		if p.Name == d.projection || d.projection == "" && len(d.loaded.Projections) == 1 {
			d.declared = p
			return nil
		}
	}
	switch {
	case len(names) == 0:
		return cli.WithHint(fmt.Errorf("%s declares no projection", d.config), "add a [[projection]] with name, module and stream")
	case d.projection == "":
		return cli.WithHint(fmt.Errorf("%s declares several projections: %s", d.config, strings.Join(names, ", ")), "say with --projection whose module is built")
	}
	return cli.WithHint(fmt.Errorf("%s declares no projection %s", d.config, d.projection), "it has %s", strings.Join(names, ", "))
}

// run works until ctx ends. What goes wrong with the project is shown, and is not the end.
func (d *developer) run(ctx context.Context) (err error) {
	if d.fresh {
		if err := d.removeData(); err != nil {
			return err
		}
	}
	ctx, stop := context.WithCancel(ctx)
	started := false
	defer func() {
		stop()
		if started {
			err = errors.Join(err, <-d.ended)
		}
	}()
	for {
		seen := d.sources.look()
		begun, err := d.try(ctx)
		started = started || begun
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			d.show(err)
		}
		if err := d.await(ctx, seen); err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// try has the engine run what the sources amount to. It reports whether it started one.
func (d *developer) try(ctx context.Context) (started bool, err error) {
	if err := d.load(ctx); err != nil {
		return false, err
	}
	module, err := d.build(ctx)
	if err != nil {
		return false, err
	}
	if err := d.place(ctx, module); err != nil {
		return false, err
	}
	if d.client == nil {
		if started, err = d.connect(ctx); err != nil {
			return started, err
		}
	}
	return started, d.taken(ctx, module)
}

// show tells what went wrong, and that it is not the end.
func (d *developer) show(err error) {
	cli.PrintError(d.stderr, err)
	fmt.Fprintf(d.stderr, "waiting for a change in %s\n", d.named)
}

// await waits until the sources are others than those that were seen, or the engine ends.
func (d *developer) await(ctx context.Context, seen picture) error {
	changed := make(chan []string, 1)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() { changed <- d.sources.await(ctx, seen) }()
	select {
	case files := <-changed:
		if len(files) > 0 {
			fmt.Fprintf(d.stdout, "\nchanged: %s\n", strings.Join(files, ", "))
			d.reseed(files)
		}
		return nil
	case err := <-d.ended:
		d.ended <- nil
		return err
	}
}

// connect finds the engine that runs on the configuration, or starts one, and begins to
// show the state.
func (d *developer) connect(ctx context.Context) (started bool, err error) {
	if d.loaded.HTTP.Listen == "" {
		return false, cli.WithHint(errors.New("http.listen is empty, and dev asks over HTTP"), "set it to 127.0.0.1:7780, for one")
	}
	if _, running := store.Running(d.loaded.DataDir); !running {
		started = true
		loaded, path := d.loaded, d.config
		go func() { d.ended <- d.program.Run(ctx, loaded, path, d.script == nil, d.stdout, d.stderr) }()
	}
	for {
		if holder, _ := store.Running(d.loaded.DataDir); holder.HTTP != "" {
			d.client, err = cli.OwnClient(d.loaded.HTTP, holder)
			if err == nil {
				d.advise()
			}
			return started, err
		}
		select {
		case err := <-d.ended:
			return false, err
		case <-ctx.Done():
			return started, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// removeData removes what an engine of the project left.
func (d *developer) removeData() error {
	dir, err := filepath.Abs(d.dir)
	data, derr := filepath.Abs(d.loaded.DataDir)
	if err != nil || derr != nil {
		return errors.Join(err, derr)
	}
	rel, err := filepath.Rel(dir, data)
	if err != nil || rel == "." || !filepath.IsLocal(rel) {
		return cli.WithHint(fmt.Errorf("--fresh: the data directory %s is not in %s", data, dir), "set data_dir in %s to a folder in the project, or remove it yourself", d.config)
	}
	if holder, running := store.Running(data); running {
		return cli.WithHint(fmt.Errorf("--fresh: process %d uses %s", holder.PID, data), "stop that engine")
	}
	entries, err := os.ReadDir(data)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return e.Name() == "cache" }) // of compiled modules
	if err == nil && len(entries) == 0 {
		return nil
	}
	if _, serr := os.Stat(filepath.Join(data, store.CatalogFile)); err != nil || serr != nil {
		return cli.WithHint(fmt.Errorf("--fresh: %s holds no data of an engine", data), "look at it, and remove it yourself")
	}
	return os.RemoveAll(data)
}
