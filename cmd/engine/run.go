package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/engine"
	"gnomon/engine/config"
	"gnomon/engine/importer"
	"gnomon/engine/store"
)

func runCommand() *cobra.Command {
	var configPath, pprof string
	var once bool
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the configured projections",
		Long: `Run opens the configured NATS server, checks and loads the modules, catches every
projection up and keeps it in step, until it is interrupted. State is served over HTTP.
With --once it stops when every projection has reached the end that its stream had at the start,
and serves nothing.
With --pprof it serves profiles of the process at /debug/pprof/, on a loopback address of its own;
samples say to which projection and stage they belong.`,
		Example: "  engine run --config config.toml\n  engine run --once\n" +
			"  engine run --pprof 127.0.0.1:6060\n  go tool pprof -top 'http://127.0.0.1:6060/debug/pprof/profile?seconds=10'",
		Args: profilesArgs,
		RunE: func(c *cobra.Command, args []string) error {
			address, err := profilesAddress(c, pprof, args)
			if err != nil {
				return err
			}
			cfg, err := config.Load(configPath)
			if err != nil {
				return err
			}
			r := newRunner(cfg, configPath, c.OutOrStdout(), c.ErrOrStderr())
			r.once, r.profiles = once, address
			return r.run(c.Context())
		},
	}
	cli.ConfigFlag(c, &configPath)
	c.Flags().BoolVar(&once, "once", false, "stop when every projection has caught up")
	c.Flags().StringVar(&pprof, "pprof", "", "serve profiles at this loopback `ADDRESS`")
	c.Flags().Lookup("pprof").NoOptDefVal = defaultProfiles
	return c
}

// runner runs a node for a person who watches.
type runner struct {
	config         *config.Config
	path           string // of the configuration
	once           bool
	passing        bool   // its data is removed at the end
	profiles       string // address that profiles are served at; empty: none
	stdout, stderr io.Writer
	log            *slog.Logger
	level          slog.LevelVar // of log
	node           *node
	unfinished     string // what an interrupted run leaves for the next one to complete
}

func newRunner(c *config.Config, path string, stdout, stderr io.Writer) *runner {
	r := &runner{config: c, path: path, stdout: stdout, stderr: stderr}
	r.log = cli.NewLog(stderr, c.Log, &r.level)
	return r
}

func (r *runner) run(ctx context.Context) (err error) {
	if r.profiles != "" {
		p, err := openProfiles(r.profiles)
		if err != nil {
			return err
		}
		defer p.Close()
		fmt.Fprintln(r.stdout, "profiles: "+p.URL())
	}
	if r.node, err = openNode(ctx, r.config, r.path, r.log, &r.level, !r.once); err != nil {
		return r.interrupted(ctx, err)
	}
	defer func() { err = errors.Join(err, r.node.Close()) }()
	if err := r.seed(ctx); err != nil {
		return r.interrupted(ctx, err)
	}
	var reloads sync.WaitGroup
	if !r.once {
		if err := r.node.serve(); err != nil {
			return err
		}
		rctx, stop := context.WithCancel(ctx)
		defer func() { stop(); reloads.Wait() }() // before the node is closed
		reloads.Go(func() { r.node.reloader.run(rctx) })
	}
	r.node.engine.Start(ctx)
	if err := r.catchUp(ctx); err != nil {
		return r.interrupted(ctx, err)
	}
	if err := r.report(); err != nil || r.once {
		return err
	}
	// Catching up takes memory that following does not: half of it was found to stay with
	// the process for minutes, when nothing is left to make the collector run.
	debug.FreeOSMemory()
	select {
	case <-ctx.Done():
		fmt.Fprintln(r.stdout, "\nstopping: what was applied is committed")
	case err := <-r.node.served:
		r.node.served <- nil
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}

// interrupted is for an error that may have come about because the user ended the
// run. That is how a run ends, but not one that was to catch up first.
func (r *runner) interrupted(ctx context.Context, err error) error {
	left := cmp.Or(r.unfinished, "what was applied is committed")
	switch {
	case ctx.Err() == nil, !errors.Is(err, context.Canceled):
		return err
	case r.once:
		return errors.New("interrupted before every projection had caught up: " + left)
	}
	fmt.Fprintln(r.stdout, "\nstopping: "+left)
	return nil
}

// seed imports the files that streams declare for their first time.
func (r *runner) seed(ctx context.Context) error {
	for _, s := range r.config.Streams {
		if err := r.seedStream(ctx, s); err != nil {
			return fmt.Errorf("seed of stream %s: %w", s.Name, seedHint(err))
		}
	}
	return nil
}

// seedStream fills a stream that is empty, or goes on where an earlier run was
// interrupted: the catalog says so from before the first event until after the last.
// A stream that has events otherwise is its user's own.
func (r *runner) seedStream(ctx context.Context, s config.Stream) error {
	catalog := r.node.dir.Catalog()
	partOf, begun := catalog.Seeding(s.Name)
	if s.Seed == "" {
		if !begun {
			return nil
		}
		r.log.Warn("stream has only a part of the seed that it was configured with; it is left as it is",
			"stream", s.Name, "seed", partOf, "hint", "import the rest with: engine import --stream "+s.Name+" "+partOf)
		return catalog.EndSeed(s.Name)
	}
	info, err := r.node.source.Stream(ctx, s.Name)
	if err != nil {
		return err
	}
	switch {
	case info.Last == 0:
		fmt.Fprintf(r.stdout, "stream %s is empty: importing %s\n", s.Name, s.Seed)
	case begun:
		fmt.Fprintf(r.stdout, "stream %s: goes on importing %s\n", s.Name, s.Seed)
	default:
		return nil
	}
	if err := catalog.BeginSeed(s.Name, s.Seed); err != nil {
		return err
	}
	r.unfinished = fmt.Sprintf("stream %s has only a part of %s, the next run goes on importing it", s.Name, s.Seed)
	if err := permitted(ctx, r.node.broker, func(ctx context.Context) error { return r.importSeed(ctx, s) }, s.Name); err != nil {
		return err
	}
	r.unfinished = ""
	return catalog.EndSeed(s.Name)
}

func (r *runner) importSeed(ctx context.Context, s config.Stream) error {
	began := time.Now()
	sink, err := importer.OpenStream(ctx, r.node.broker.JetStream(), s.Name)
	if err != nil {
		return err
	}
	im := &fileImport{sink: sink, stderr: r.stderr}
	if err := im.file(ctx, s.Seed); err != nil {
		return err
	}
	n, there := sink.Counts(), ""
	if n.Duplicates > 0 {
		there = fmt.Sprintf(", %d were there already", n.Duplicates)
	}
	fmt.Fprintf(r.stdout, "stream %s: %d events imported%s, %.0f events/s\n", s.Name, n.Imported, there, float64(n.Imported)/time.Since(began).Seconds())
	return nil
}

// seedHint is the way out of a seed with a bad line.
func seedHint(err error) error {
	var line *importer.LineError
	if errors.As(err, &line) {
		return cli.WithHint(err, "everything before that line is imported; mend it and run again, or take seed out of the configuration and leave bad lines out with: engine import --skip-bad")
	}
	return err
}

// catchUp waits until every projection has caught up, and shows how far it is. A
// projection that stops holds up neither the others nor, unless once, the run.
func (r *runner) catchUp(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- r.node.engine.AwaitEnd(ctx) }()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var p cli.Progress
	for {
		select {
		case err := <-done:
			if p != nil {
				p.Finish()
			}
			return r.caughtUp(err)
		case <-tick.C:
			n, total := r.sum()
			if p == nil && n < total {
				p = cli.NewProgress(r.stderr, "catch up", total)
			}
			if p != nil {
				p.Set(n)
			}
		}
	}
}

func (r *runner) caughtUp(err error) error {
	var stopped *engine.StoppedError
	isStopped := errors.As(err, &stopped)
	switch {
	case r.once && isStopped:
		return cli.WithHint(err, "%s", stopped.Hint)
	case r.once, err == nil, errors.Is(err, context.Canceled):
		return err
	case !isStopped: // the server or the stream is not there
		r.log.Warn("projections wait", "error", err)
	}
	r.logStopped()
	return nil
}

// logStopped says which projections do not go on by themselves. One that is paused is
// as somebody wants it, and is only not to be forgotten.
func (r *runner) logStopped() {
	for _, s := range r.node.engine.Projections() {
		log := r.log.With("projection", s.Projection, "position", s.Position, "behind", s.Behind)
		switch s.State {
		case engine.Paused:
			log.Warn("projection is paused", "hint", s.Hint)
		case engine.Halted, engine.Diverged:
			log.Error("projection has not caught up", "state", s.State, "reason", s.Reason, "hint", s.Hint)
		}
	}
}

// sum adds up what all projections have applied, and have to, since they started.
func (r *runner) sum() (n, total int64) {
	for _, s := range r.node.engine.Projections() {
		n += int64(s.Applied - min(s.Start, s.Applied))
		total += int64(s.StreamLast - min(s.Start, s.StreamLast))
	}
	return n, total
}

// report prints how it stands, and what to try.
func (r *runner) report() error {
	all := r.node.engine.Projections()
	for _, s := range all {
		if line := beginning(s); line != "" {
			fmt.Fprintln(r.stdout, line)
		}
	}
	fmt.Fprintln(r.stdout)
	if err := cli.PrintTable(r.stdout, all, func(s engine.Status) float64 { return s.CatchUpRate }); err != nil {
		return err
	}
	for _, s := range all {
		cli.PrintReason(r.stdout, s)
	}
	if r.once || r.node.listener == nil {
		return nil
	}
	base := cli.BaseOf(store.Holder{HTTP: r.node.address()})
	curl, needs := curlFor(r.node.config.HTTP)
	fmt.Fprintf(r.stdout, "\nThe dashboard, for a browser: %s/\n", base)
	fmt.Fprintf(r.stdout, "Serving on %s. Try%s:\n  %s %s/v1/projections\n", base, needs, curl, base)
	for _, s := range all {
		if key, ok := r.sampleKey(s.Projection); ok {
			fmt.Fprintf(r.stdout, "  %s '%s/v1/projections/%s/state/%s'\n", curl, base, s.Projection, url.PathEscape(key))
			fmt.Fprintf(r.stdout, "  %s get %s %s%s\n", cli.PlainWord(os.Args[0]), s.Projection, cli.ShellWord(key), serverFlag(base))
		}
	}
	if r.passing {
		fmt.Fprintln(r.stdout, "Ctrl-C stops; the data of this engine is then removed.")
	} else {
		fmt.Fprintln(r.stdout, "Ctrl-C stops; the next run goes on from here.")
	}
	return nil
}

// beginning says where a projection began, unless that was the beginning.
func beginning(s engine.Status) string {
	switch {
	case s.State == engine.Paused:
		return fmt.Sprintf("%s is paused at %d, %d behind", s.Projection, s.Position, s.Behind)
	case s.Start == 0:
		return ""
	case s.Events > 0:
		return fmt.Sprintf("%s went on after %d", s.Projection, s.Start)
	case s.Behind > 0:
		return fmt.Sprintf("%s stands at %d, %d behind", s.Projection, s.Position, s.Behind)
	}
	return fmt.Sprintf("%s goes on at %d, nothing is new", s.Projection, s.Start)
}

// curlFor is curl with what it takes to be let in, and which variables that needs. They are
// those that the CLI reads.
func curlFor(h config.HTTP) (curl, needs string) {
	curl = "curl -s"
	var names []string
	if h.TLS.Cert != "" {
		curl += ` --cacert "$GNOMON_CA"`
		names = append(names, "GNOMON_CA")
	}
	if h.TLS.ClientCA != "" {
		curl += ` --cert "$GNOMON_CERT" --key "$GNOMON_KEY"`
		names = append(names, "GNOMON_CERT", "GNOMON_KEY")
	}
	if h.Guarded() {
		curl += ` -H "Authorization: Bearer $GNOMON_TOKEN"`
		names = append(names, "GNOMON_TOKEN")
	}
	if len(names) > 0 {
		needs = ", with " + strings.Join(names, ", ")
	}
	return curl, needs
}

func serverFlag(base string) string {
	if base == cli.DefaultServer {
		return ""
	}
	return " --server " + base
}

// sampleKey is a key that a reader can try.
func (r *runner) sampleKey(projection string) (key string, ok bool) {
	reading, err := r.node.engine.Read(projection)
	if err != nil {
		return "", false
	}
	defer reading.Close()
	err = reading.Scan(nil, nil, func(k, _ []byte) bool {
		key, ok = string(k), true
		return false
	})
	return key, ok && err == nil
}
