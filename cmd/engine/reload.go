package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"sync"

	"gnomon/cmd/engine/cli"
	"gnomon/engine"
	"gnomon/engine/config"
	"gnomon/engine/ingest"
	"gnomon/engine/query"
	"gnomon/engine/query/wire"
	"gnomon/plugins"
)

// reloader has a running node take what changed in its configuration and its modules.
type reloader struct {
	node  *node
	path  string // of the configuration
	watch *plugins.Watcher

	mu     sync.Mutex // one reload at a time
	config *config.Config
}

var _ query.Reloader = (*reloader)(nil)

// newReloader begins to watch. What changes from now on is taken by run; who asks for a
// reload before that waits for it.
func newReloader(ctx context.Context, n *node, path string) *reloader {
	w := plugins.Watch(ctx, plugins.WatchOptions{Folders: folders(n.config), Files: []string{path}})
	r := &reloader{node: n, path: path, watch: w, config: n.config}
	r.mu.Lock() // until the node is open
	return r
}

// run reloads whenever something changed, or the process gets a hang-up, until ctx ends.
func (r *reloader) run(ctx context.Context) {
	r.mu.Unlock()
	hangUp := make(chan os.Signal, 1)
	signal.Notify(hangUp, hangUpSignals...)
	defer signal.Stop(hangUp)
	if err := r.watch.Polling(); err != nil {
		r.node.log.Info("changes of modules are looked for every second, for the system does not tell of them", "reason", err)
	}
	r.report(ctx, false) // what changed before the watch began
	for {
		again := false
		select {
		case <-ctx.Done():
			return
		case <-hangUp:
			again = true
		case <-r.watch.Changes():
		}
		r.report(ctx, again)
	}
}

// report reloads, for nobody who waits for the answer.
func (r *reloader) report(ctx context.Context, again bool) {
	if _, err := r.reload(ctx, again); err != nil && ctx.Err() == nil {
		r.node.log.Error("reload", "error", err)
	}
}

// folders are those that modules come from.
func folders(c *config.Config) []string { return c.ModuleDirs() }

// Reload implements query.Reloader.
func (r *reloader) Reload(ctx context.Context) (wire.Reloaded, error) { return r.reload(ctx, true) }

// reload takes what configuration and modules say now. What is wrong is refused, and what
// ran goes on. What was refused before is tried again when again is set.
func (r *reloader) reload(ctx context.Context, again bool) (done wire.Reloaded, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.node
	cfg, all, err := r.read(ctx)
	if err != nil {
		return r.refuseAll(ctx, err)
	}
	if again || cfg.Log.Level != r.config.Log.Level { // not for every module: an operator may have said otherwise
		cli.SetLevel(n.level, cfg.Log)
	}
	done.Notes = r.notes(cfg)
	done.Notes = append(done.Notes, r.streams(ctx, cfg)...)
	for _, note := range done.Notes {
		n.log.Warn(note)
	}
	for _, d := range all {
		if d.err == nil {
			d.err = n.usable(ctx, d.declared.config)
		}
		one, derr := n.declared.declare(ctx, n.engine, d, again)
		err = errors.Join(err, derr)
		done.Projections = append(done.Projections, one)
	}
	gone, gerr := n.declared.withdrawOthers(ctx, n.engine, cfg)
	done.Projections = append(done.Projections, gone...)
	err = errors.Join(err, gerr, n.declared.sweepKept(n.dir.Catalog()))
	n.mirrors.set(cfg)
	r.config = cfg
	for _, p := range done.Projections {
		if p.Action != engine.ActNothing {
			n.log.Info("projection changed", "projection", p.Projection, "action", p.Action, "reason", p.Why)
		}
	}
	return done, err
}

// read reads configuration and modules as they were at one moment.
func (r *reloader) read(ctx context.Context) (cfg *config.Config, all []reading, err error) {
	err = r.watch.Read(ctx, func() (err error) {
		if cfg, err = config.Load(r.path); err == nil {
			all, err = r.node.declared.readAll(cfg)
		}
		return err
	})
	return cfg, all, err
}

// refuseAll notes at every projection that the configuration cannot be taken.
func (r *reloader) refuseAll(ctx context.Context, why error) (done wire.Reloaded, err error) {
	for _, p := range r.config.Projections {
		err = errors.Join(err, r.node.engine.Refuse(ctx, p.Name, why))
		done.Projections = append(done.Projections, wire.Declared{Projection: p.Name, Action: engine.ActNothing, Refused: why.Error()})
	}
	if len(r.config.Projections) == 0 {
		err = why
	}
	return done, err
}

// notes are the settings that a running engine does not take.
func (r *reloader) notes(cfg *config.Config) (notes []string) {
	was, is := *r.node.config, *cfg
	for _, s := range []struct {
		key     string
		was, is any
	}{
		{"data_dir", was.DataDir, is.DataDir}, {"disk_reserve", was.DiskReserve, is.DiskReserve}, {"log.format", was.Log.Format, is.Log.Format},
		{"[http]", was.HTTP, is.HTTP}, {"[nats]", was.NATS, is.NATS}, {"plugins.dir", was.Plugins.Dir, is.Plugins.Dir}, {"plugins.bucket", was.Plugins.Bucket, is.Plugins.Bucket},
	} {
		if !reflect.DeepEqual(s.was, s.is) {
			notes = append(notes, fmt.Sprintf("%s was changed: that takes effect when the engine is started again", s.key))
		}
	}
	return notes
}

// streams declares the streams that are new.
func (r *reloader) streams(ctx context.Context, cfg *config.Config) (notes []string) {
	var fresh []config.Stream
	for _, s := range cfg.Streams {
		if !slices.ContainsFunc(r.config.Streams, func(o config.Stream) bool { return reflect.DeepEqual(o, s) }) {
			fresh = append(fresh, s)
		}
	}
	if err := ensureStreams(ctx, r.node.broker, fresh, r.node.log); err != nil {
		notes = append(notes, fmt.Sprintf("a stream cannot be declared: %v", err))
	}
	return notes
}

// usable refuses a projection of a stream that cannot be projected.
func (n *node) usable(ctx context.Context, p config.Projection) error {
	if _, err := n.source.Stream(ctx, p.Stream); errors.Is(err, ingest.ErrUnusable) {
		return err
	}
	return nil
}
