package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"gnomon/engine"
	"gnomon/engine/broker"
	"gnomon/engine/config"
	"gnomon/engine/ingest"
	"gnomon/engine/query"
	"gnomon/engine/store"
	"gnomon/host"
)

// node is a running engine with everything that it is made of.
type node struct {
	config *config.Config
	log    *slog.Logger

	// In the order in which they are opened; closed in the reverse order.
	listener net.Listener // nil when HTTP is off
	host     *host.Host
	declared *declarations
	specs    map[string]engine.Spec // of the projections whose modules were loaded
	refused  map[string]error       // why others were not
	dir      *store.Dir
	broker   *broker.Broker
	source   *ingest.Source
	engine   *engine.Engine
	server   *query.Server
	served   chan error // result of the HTTP server

	later  sync.WaitGroup // what is done when the server is there
	giveUp context.CancelFunc

	made string // the topmost folder that was made before modules were checked
}

// openNode opens everything, in an order in which what is most often wrong comes
// first and what leaves traces comes last.
func openNode(ctx context.Context, c *config.Config, log *slog.Logger, serve bool) (_ *node, err error) {
	n := &node{config: c, log: log}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	// The address, for two engines that share one are told apart most easily here.
	if serve && c.HTTP.Listen != "" {
		if n.listener, err = net.Listen("tcp", c.HTTP.Listen); err != nil {
			return nil, withHint(fmt.Errorf("http.listen: %w", err), "another program has the address; configure another one, or stop it")
		}
	}
	// Modules: read, checked, compiled, and started once. Nothing is left behind
	// when one of them is refused, unless its projection ran before: then that goes on.
	if err := n.loadModules(ctx, serve); err != nil {
		return nil, err
	}
	// The data directory, which nobody else may have.
	if n.dir, err = openDir(c.DataDir, log); err != nil {
		return nil, err
	}
	n.made = ""
	if c.DiskReserve > 0 {
		if err := n.dir.CheckRoom(len(c.Projections)); err != nil {
			return nil, err
		}
	}
	// NATS, and the streams in it: an embedded server has its files in the data
	// directory.
	if n.broker, err = openBroker(ctx, c, log); err != nil {
		return nil, err
	}
	n.source = ingest.New(n.broker.JetStream(), n.broker.Explain)
	if err := n.declareStreams(ctx, serve); err != nil {
		return nil, err
	}
	if err := n.checkStreams(ctx); err != nil {
		return nil, err
	}
	// The keyspaces.
	n.engine = engine.New(engine.Options{
		Source: n.source, Store: n.dir, Catalog: n.dir.Catalog(), Space: n.dir, Reserve: uint64(c.DiskReserve), Log: log,
		Restore: n.declared.restore,
	})
	return n, n.declare(ctx)
}

// declare declares the projections whose modules were loaded, and has the others run what
// they ran before.
func (n *node) declare(ctx context.Context) error {
	catalog := n.dir.Catalog()
	for _, p := range n.config.Projections {
		if why := n.refused[p.Name]; why != nil {
			if catalog.Projection(p.Name).Live == "" {
				return fmt.Errorf("projection %s: %w", p.Name, why)
			}
			if err := n.engine.Refuse(ctx, p.Name, why); err != nil {
				return err
			}
			continue
		}
		plan, err := n.engine.Declare(ctx, n.specs[p.Name])
		if err != nil {
			return err
		}
		if plan.Action != engine.ActNothing && plan.Action != engine.ActNew {
			n.log.Info("projection changed", "projection", p.Name, "action", plan.Action, "why", plan.Why)
		}
	}
	return n.declared.sweepKept(catalog)
}

// serve begins to answer HTTP requests.
func (n *node) serve(reloads query.Reloader) error {
	if n.listener == nil {
		return nil
	}
	n.server = query.New(query.Options{
		Engine: n.engine, Appender: &appender{broker: n.broker}, Bundler: n, Reloader: reloads, Token: n.config.HTTP.Token, Version: version, Log: n.log,
	})
	n.served = make(chan error, 1)
	go func() { n.served <- n.server.Serve(n.listener) }()
	return n.dir.ServeAt(n.listener.Addr().String())
}

// Close stops everything, in the reverse order: nobody reads any more, then what
// was applied is committed and synced, then what that needs is closed.
func (n *node) Close() error {
	var errs []error
	switch {
	case n.server != nil:
		errs = append(errs, n.server.Close(), <-n.served)
	case n.listener != nil:
		errs = append(errs, n.listener.Close())
	}
	if n.giveUp != nil {
		n.giveUp()
		n.later.Wait()
	}
	if n.engine != nil {
		errs = append(errs, n.engine.Close())
	}
	if n.broker != nil {
		n.broker.Close()
	}
	if n.host != nil {
		errs = append(errs, n.host.Close(context.Background()))
	}
	if n.dir != nil {
		errs = append(errs, n.dir.Close())
	}
	if n.made != "" {
		errs = append(errs, os.RemoveAll(n.made))
	}
	return errors.Join(errs...)
}

// loadModules makes specs of the configured projections. A module that is refused is an
// error, unless the projection may have run before and is to be served.
func (n *node) loadModules(ctx context.Context, serve bool) (err error) {
	c := n.config
	if len(c.Projections) == 0 {
		n.log.Warn("no projection is configured")
	}
	_, err = os.Stat(filepath.Join(c.DataDir, store.CatalogFile))
	ranBefore := serve && err == nil
	cache := filepath.Join(c.DataDir, "cache")
	if n.made, err = makeDirs(cache); err != nil {
		return fmt.Errorf("create data directory: %w", err)
	}
	if n.host, err = host.New(ctx, host.Options{CacheDir: cache, Trials: true}); err != nil {
		return err
	}
	if !n.host.Compiler() {
		n.log.Warn("modules are interpreted, some 70 times slower: the system refuses executable memory (systemd: MemoryDenyWriteExecute)")
	}
	n.declared = &declarations{host: n.host, kept: keptModules{filepath.Join(c.DataDir, "modules")}, log: n.log}
	n.specs, n.refused = map[string]engine.Spec{}, map[string]error{}
	for _, p := range c.Projections {
		spec, err := n.declared.first(ctx, c, p)
		switch {
		case err != nil && !ranBefore:
			return fmt.Errorf("projection %s: %w", p.Name, err)
		case err != nil:
			n.refused[p.Name] = err
		default:
			n.specs[p.Name] = spec
		}
	}
	return nil
}

// makeDirs makes a folder and returns the topmost one that did not exist before.
func makeDirs(dir string) (made string, err error) {
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		made = d
	}
	return made, os.MkdirAll(dir, 0o700)
}

// checkStreams refuses streams that cannot be projected. One that does not exist,
// or a server that does not answer, is waited for.
func (n *node) checkStreams(ctx context.Context) error {
	for _, p := range n.config.Projections {
		_, err := n.source.Stream(ctx, p.Stream)
		switch {
		case errors.Is(err, ingest.ErrUnusable) && n.refused[p.Name] == nil:
			return fmt.Errorf("projection %s: %w", p.Name, err)
		case err != nil:
			n.log.Warn("projection waits for its stream", "projection", p.Name, "error", err)
		}
	}
	return nil
}

// openDir takes the data directory for this process.
func openDir(path string, log *slog.Logger) (*store.Dir, error) {
	d, err := store.OpenDir(path, log)
	var locked *store.LockedError
	if errors.As(err, &locked) {
		return nil, withHint(err, "stop that process, or configure another data_dir")
	}
	return d, err
}

func openBroker(ctx context.Context, c *config.Config, log *slog.Logger) (*broker.Broker, error) {
	nc := c.NATS
	return broker.Open(ctx, broker.Config{
		URL: nc.URL, Context: nc.Context, Credentials: nc.Credentials, NKey: nc.NKey,
		User: nc.User, Password: nc.Password, Token: nc.Token, InboxPrefix: nc.InboxPrefix,
		TLS:    broker.TLS{CA: nc.TLS.CA, Cert: nc.TLS.Cert, Key: nc.TLS.Key, First: nc.TLS.First},
		Server: broker.Server{Dir: filepath.Join(c.DataDir, "nats"), Listen: nc.Embedded.Listen, SyncInterval: time.Duration(nc.Embedded.SyncInterval)},
		Log:    log,
	})
}

// ensureStreams creates the declared streams that are absent, and reports where
// others differ.
// declareStreams creates the streams that are declared. When the server is away, an
// engine that is to serve does that later: it has something to serve meanwhile.
func (n *node) declareStreams(ctx context.Context, later bool) error {
	err := ensureStreams(ctx, n.broker, n.config.Streams, n.log)
	if err == nil || !later || n.broker.Connected() {
		return err
	}
	n.log.Warn("streams are declared when the server is there", "error", err)
	ctx, n.giveUp = context.WithCancel(ctx)
	n.later.Go(func() {
		for err != nil && wait(ctx, 2*time.Second) {
			if err = ensureStreams(ctx, n.broker, n.config.Streams, n.log); err != nil && n.broker.Connected() {
				n.log.Error("stream cannot be declared", "error", err)
			}
		}
	})
	return nil
}

// wait returns false when ctx ends before a time has passed.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func ensureStreams(ctx context.Context, b *broker.Broker, streams []config.Stream, log *slog.Logger) error {
	for _, s := range streams {
		created, differences, err := b.EnsureStream(ctx, broker.StreamSpec{
			Name: s.Name, Subjects: s.Subjects, Memory: s.Storage == "memory", MaxAge: time.Duration(s.MaxAge),
			MaxBytes: int64(s.MaxBytes), Duplicates: time.Duration(s.DuplicateWindow), Replicas: s.Replicas,
		})
		if err != nil {
			return err
		}
		if created {
			log.Info("stream created", "stream", s.Name, "subjects", s.Subjects)
		}
		for _, d := range differences {
			log.Warn("stream is not as configured; it is used as it is", "stream", s.Name, "difference", d.String())
		}
	}
	return nil
}

// guestLog writes the lines of a guest to the log.
type guestLog struct{ log *slog.Logger }

func (g guestLog) Enabled(level int) bool {
	return g.log.Enabled(context.Background(), slog.Level(level))
}

func (g guestLog) Line(level int, line string) {
	g.log.Log(context.Background(), slog.Level(level), line, "from", "guest")
}
