package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"gnomon/cmd/engine/cli"
	"gnomon/engine"
	"gnomon/engine/broker"
	"gnomon/engine/config"
	"gnomon/engine/query"
	"gnomon/engine/query/dashboard"
	"gnomon/engine/service"
	"gnomon/engine/store"
	"gnomon/engine/trace"
	"gnomon/host"
	"gnomon/plugins/bucket"
)

// node is a running engine with everything that it is made of.
type node struct {
	config *config.Config
	log    *slog.Logger
	level  *slog.LevelVar // of log
	traces *trace.Traces  // nil when nothing is traced

	// In the order in which they are opened; closed in the reverse order.
	listener net.Listener // nil when HTTP is off
	access   query.Access // nil when HTTP asks for no token
	tls      *tls.Config  // nil when HTTP has no TLS
	host     *host.Host
	declared *declarations
	specs    map[string]engine.Spec // of the projections whose modules were loaded
	refused  map[string]error       // why others were not
	dir      *store.Dir
	mirror   *bucket.Mirror // nil when there is no bucket
	broker   *broker.Broker // nil until connect
	source   lateSource
	appender lateAppender
	outlet   lateOutlet
	around   around
	engine   *engine.Engine
	server   *query.Server
	served   chan error       // result of the HTTP server; nil when there is none
	service  *service.Service // nil when nothing is answered over NATS
	reloader *reloader        // nil when nothing is served

	later  sync.WaitGroup // what is done when the server is there
	giveUp context.CancelFunc

	unmirror func()   // stops mirroring modules; nil when there is none
	mirrors  *mirrors // of states; nil when nothing is served

	made string // the topmost folder that was made before modules were checked
}

// openNode opens everything that the configuration of a path declares, in an order in which what is most often wrong comes
// first and what leaves traces comes last.
func openNode(ctx context.Context, c *config.Config, path string, log *slog.Logger, level *slog.LevelVar, serve bool) (_ *node, err error) {
	n := &node{config: c, log: log, level: level}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	// The address, for two engines that share one are told apart most easily here.
	if serve && c.HTTP.Listen != "" {
		if n.access, err = openAccess(c.HTTP, log); err != nil {
			return nil, err
		}
		if n.tls, err = openTLS(c.HTTP, log); err != nil {
			return nil, err
		}
		warnOfExposure(c, log)
		if n.listener, err = net.Listen("tcp", c.HTTP.Listen); err != nil {
			return nil, notListening(c, err)
		}
	}
	// What changes from here on is taken later.
	if serve {
		n.reloader = newReloader(ctx, n, path)
	}
	// Where traces go, for what is wrong about that is in the environment.
	if n.traces, err = trace.Open(ctx, version, log); err != nil {
		return nil, cli.WithHint(err, "unset it, or see Traces in docs/OPERATIONS.md")
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
	if c.Plugins.Bucket != "" {
		if n.mirror, err = bucket.Open(bucket.MirrorOptions{Bucket: c.Plugins.Bucket, Folder: c.Mirror(), Log: log}); err != nil {
			return nil, err
		}
	}
	if c.DiskReserve > 0 {
		if err := n.dir.CheckRoom(len(c.Projections)); err != nil {
			return nil, err
		}
	}
	// An external server may be away, or not answer: what there is is served meanwhile.
	if serve && !cli.Embedded(c) {
		if err := n.openEngine(ctx); err != nil {
			return nil, err
		}
		if err := n.serve(); err != nil {
			return nil, err
		}
	}
	// NATS, and the streams in it: an embedded server has its files in the data
	// directory.
	if err := n.connect(ctx, serve); err != nil {
		return nil, err
	}
	if err := n.openEngine(ctx); err != nil {
		return nil, err
	}
	if serve {
		n.mirrors = newMirrors(ctx, n)
		n.mirrors.set(c)
	}
	if n.mirror != nil && serve {
		mctx, stop := context.WithCancel(ctx)
		mirrored := make(chan struct{})
		n.unmirror = func() { stop(); <-mirrored }
		go func() { defer close(mirrored); n.mirror.Sync(mctx, n.broker.JetStream()) }()
	}
	return n, nil
}

// openEngine opens the keyspaces, unless that is done.
func (n *node) openEngine(ctx context.Context) error {
	if n.engine != nil {
		return nil
	}
	n.engine = engine.New(engine.Options{
		Source: &n.source, Store: n.dir, Catalog: n.dir.Catalog(), Space: n.dir, Reserve: uint64(n.config.DiskReserve), Log: n.log,
		Restore: n.declared.restore, Outlet: &n.outlet, Tracer: n.tracer(),
	})
	return n.declare(ctx)
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
			if err := n.refuse(ctx, p.Name, why); err != nil {
				return err
			}
			continue
		}
		ran := catalog.Projection(p.Name).Live != ""
		plan, err := n.engine.Declare(ctx, n.specs[p.Name])
		if err != nil && ran && n.reloader != nil { // a module that cannot take over the state, for one
			n.declared.note(p.Name, knownDeclaration{refused: err.Error(), runs: true})
			err = n.engine.Refuse(ctx, p.Name, err)
		}
		if err != nil {
			return err
		}
		if plan.Action != engine.ActNothing && plan.Action != engine.ActNew {
			n.log.Info("projection changed", "projection", p.Name, "action", plan.Action, "reason", plan.Why)
		}
	}
	for _, mistake := range n.config.Refused {
		n.log.Error("deployed file refused", "reason", mistake)
	}
	if err := n.declared.refuseMissing(ctx, n.engine, n.config, catalog); err != nil {
		return err
	}
	return n.declared.sweepKept(catalog)
}

// refuse has a projection that cannot be declared run what it ran before, or stand still
// when its module is gone.
func (n *node) refuse(ctx context.Context, name string, why error) error {
	if errors.Is(why, fs.ErrNotExist) {
		return n.engine.Withdraw(ctx, name, why.Error())
	}
	return n.engine.Refuse(ctx, name, why)
}

// serve begins to answer requests, over HTTP if that is not off, and over NATS if there is a
// connection, unless that is done.
func (n *node) serve() error {
	if n.server != nil {
		return nil
	}
	n.server = query.New(query.Options{
		Engine: n.engine, Appender: &n.appender, Bundler: n, Reloader: n.reloader, Deployer: &nodeDeployer{n}, Exporter: n, Access: n.access, Version: version, Log: n.log, LogLevel: n.level, Traced: n.traced(),
		Modules: n, Logs: &n.declared.logs,
		Streams:   &n.source,
		Around:    n.around.measure,
		Dashboard: func(api http.Handler) http.Handler { return dashboard.New(api, version) },
		TLS:       n.tls, Hosts: n.config.HTTP.Hosts, Origins: n.config.HTTP.Origins, Proxies: proxies(n.config.HTTP), Connections: n.config.HTTP.MaxConnections, Watches: n.config.HTTP.MaxWatches,
	})
	if err := n.offer(); err != nil || n.listener == nil {
		return err
	}
	n.served = make(chan error, 1)
	go func() { n.served <- n.server.Serve(n.listener) }()
	return n.dir.ServeAt(n.address())
}

// offer begins to answer requests over NATS, once there is a connection and what answers
// them.
func (n *node) offer() (err error) {
	if !n.config.NATS.Service || n.broker == nil || n.server == nil || n.service != nil {
		return nil
	}
	n.service, err = service.Open(service.Options{Conn: n.broker.JetStream().Conn(), Reads: n.server.Reads(), Version: version, Log: n.log})
	if err == nil {
		n.around.service.Store(n.service)
	}
	return err
}

// Close stops everything, in the reverse order: nobody reads any more, then what
// was applied is committed and synced, then what that needs is closed.
func (n *node) Close() error {
	var errs []error
	if n.service != nil {
		n.service.Close()
	}
	if n.server != nil {
		errs = append(errs, n.server.Close())
	}
	switch {
	case n.served != nil:
		errs = append(errs, <-n.served)
	case n.listener != nil:
		errs = append(errs, n.listener.Close())
	}
	if n.reloader != nil {
		n.reloader.watch.Close()
	}
	if n.unmirror != nil {
		n.unmirror()
	}
	if n.mirrors != nil {
		n.mirrors.Close()
	}
	if n.giveUp != nil {
		n.giveUp()
		n.later.Wait()
	}
	if n.engine != nil {
		errs = append(errs, n.engine.Close())
	}
	if n.traces != nil {
		if err := n.traces.Close(); err != nil {
			n.log.Warn("traces are lost", "error", err) // it is no failure of the engine's
		}
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
	if err := os.MkdirAll(dir, 0o700); err != nil {
		if made != "" {
			_ = os.RemoveAll(made) // where nothing can be made, nothing can be removed: there is one error to tell
		}
		return "", err
	}
	return made, nil
}

// notListening says what has the address: most often the engine that runs on the configuration already.
func notListening(c *config.Config, err error) error {
	err = fmt.Errorf("http.listen: %w", err)
	if holder, running := store.Running(c.DataDir); running {
		return cli.WithHint(err, "an engine runs on this data directory already, as process %d: engine status asks it; stop it first, or configure another http.listen and another data_dir", holder.PID)
	}
	return cli.WithHint(err, "another program has the address; stop that, or configure another one: 127.0.0.1:0 is any port that is free")
}

// openDir takes the data directory for this process.
func openDir(path string, log *slog.Logger) (*store.Dir, error) {
	d, err := store.OpenDir(path, log)
	var locked *store.LockedError
	if errors.As(err, &locked) {
		return nil, cli.WithHint(err, "stop that process, or configure another data_dir")
	}
	return d, err
}
