package query

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"gnomon/engine"
	"gnomon/engine/catalog"
	"gnomon/engine/query/wire"
)

// Engine is what is read. engine.Engine implements it.
type Engine interface {
	Projections() []engine.Status
	Status(projection string) (engine.Status, error)
	Read(projection string) (*engine.Reading, error)
	Watch(ctx context.Context, projection string, o engine.WatchOptions, fn func(engine.WatchEvent) error) error
	Explain(ctx context.Context, projection string, q engine.Question) (engine.Explanation, error)
	ReadAt(ctx context.Context, projection string, at engine.At) (*engine.Reading, error)
	Between(ctx context.Context, projection string, from, to engine.At) (*engine.Between, error)
	Past(projection string) (engine.Past, error)
	Await(ctx context.Context, projection string, sequence uint64) error
	Ready() (ok bool, reasons []string)
	Measures() engine.Measures
	Pause(projection string) error
	Resume(projection string) error
	Rebuild(ctx context.Context, projection string) error
	Accept(ctx context.Context, projection, reason string) (catalog.Acceptance, error)
	CreateSnapshot(ctx context.Context, projection, name string) (catalog.Snapshot, error)
	Snapshots(projection string) ([]catalog.Snapshot, error)
	DeleteSnapshot(projection, name string) error
	Spec(projection string) (engine.Spec, error)
	Order(ctx context.Context, projection string, verb engine.Verb, l engine.Letters) (engine.Ordered, error)
	Generations
}

// Options are the parts of a Server.
type Options struct {
	Engine   Engine
	Appender Appender
	Streams  Streams
	Bundler  Bundler  // nil: there are no bundles
	Reloader Reloader // nil: nothing is reloaded
	Deployer Deployer // nil: nothing is deployed
	Exporter Exporter // nil: there are no archives
	Modules  Modules  // nil: nothing is told of what the bytes of modules say
	Logs     Logs     // nil: no lines of guests are kept
	Access   Access   // nil: everybody may do everything
	Version  string   // of the engine

	// Around tells metrics how things stand with NATS; nil: they say nothing of it.
	Around func() Surroundings

	// Dashboard makes the pages for people, at / and below /ui/. The handler that it is given is
	// the API, for requests with the context of one that the server let through: with the
	// rights of its client. nil: there are none.
	Dashboard func(api http.Handler) http.Handler
	Log       *slog.Logger
	LogLevel  LogLevel // of Log; nil: it stays as it is

	// Traced traces the requests that a handler answers, by what the function says that they
	// are for; nil: they are not traced. It stands behind the guard: who has no token makes no
	// traces.
	Traced func(next http.Handler, route func(*http.Request) string) http.Handler

	TLS         *tls.Config    // nil: none
	Hosts       []string       // that requests may name, beside this machine; see http.hosts
	Origins     []string       // whose pages may read and write, beside its own
	Proxies     []netip.Prefix // that are believed whom they forward for
	Connections int            // that may be open at once; 0: any number
	Watches     int            // that may be under way at once; 0: any number
}

// Server answers HTTP requests.
type Server struct {
	engine   Engine
	appender Appender
	facts    Streams
	bundler  Bundler
	reloader Reloader
	deployer Deployer
	exporter Exporter
	modules  Modules
	logs     Logs
	access   Access
	log      *slog.Logger
	level    LogLevel
	http     http.Server
	browsers *browsers
	proxies  []netip.Prefix
	requests requests
	waiting  waiting
	watches  watches
	gets     *room
	pages    *room
	explains *room
	streams  rowStreams
	closing  context.Context // ended when the server is about to close
	opened   *connections
	traffic  *exchanges
	stop     context.CancelFunc // ends the contexts of requests

	statuses *statuses
	samples  samples
	sessions *sessions
	about    wire.Engine
	people   http.Handler // the dashboard; nil: there is none

	beat           time.Duration // of watches
	roomPatience   time.Duration // of requests with others that take the room
	pageTime       time.Duration // in which rows for a page are looked for
	streamTime     time.Duration // of a stream of rows
	patience       time.Duration // with a client that does not read, or does not send what it is to
	importPatience time.Duration // with an import that has nothing to send
	drain          time.Duration // in which requests under way may end by themselves
	abort          time.Duration // in which they have to end, after that
}

const (
	maxHeaders  = 64 << 10
	maxStreams  = 32      // requests under way on one HTTP/2 connection
	maxBody     = 1 << 20 // of a request that is not an import
	drainPeriod = 5 * time.Second
	abortPeriod = 5 * time.Second
)

// New makes a server. Serve starts it.
func New(o Options) *Server {
	s := &Server{
		engine: o.Engine, appender: o.Appender, bundler: o.Bundler, reloader: o.Reloader, deployer: o.Deployer, exporter: o.Exporter, modules: o.Modules, logs: o.Logs, access: o.Access, log: o.Log, level: o.LogLevel,
		facts:  o.Streams,
		opened: boundConnections(o.Connections), waiting: waiting{most: maxWaiting}, watches: watches{most: o.Watches}, browsers: newBrowsers(o), beat: watchBeat,
		traffic: newExchanges(),
		gets:    newRoom(getsRoom, getBytes), pages: newRoom(pagesRoom, pageBytes), explains: newRoom(explainsRoom, pageBytes), streams: make(rowStreams, maxRowStreams), roomPatience: roomPatience, pageTime: maxPageTime, streamTime: maxStream,
		patience: slowClient, importPatience: slowImport, drain: drainPeriod, abort: abortPeriod,
	}
	s.statuses = newStatuses(o.Engine.Projections)
	s.sessions = newSessions()
	s.proxies = o.Proxies
	s.about = wire.Engine{Version: o.Version, Started: time.Now().UTC()}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	closing, giveUp := context.WithCancel(ctx)
	s.closing = closing
	mux := http.NewServeMux()
	mux.Handle("/metrics", s.metricsHandler(o))
	mux.HandleFunc("/openapi.json", s.method(openAPIHandler(o.Version), http.MethodGet))
	mux.HandleFunc("/healthz", s.method(s.health, http.MethodGet))
	mux.HandleFunc("/readyz", s.method(s.ready, http.MethodGet))
	mux.HandleFunc("/v1/projections", s.method(s.projections, http.MethodGet))
	mux.HandleFunc("/v1/access", s.method(s.mayWhat, http.MethodGet))
	if o.Reloader != nil {
		mux.HandleFunc("/v1/reload", s.method(s.reload, http.MethodPost))
	}
	if o.LogLevel != nil {
		mux.HandleFunc("/v1/log", s.method(s.logLevel, http.MethodGet, http.MethodPut))
	}
	if o.Deployer != nil {
		mux.HandleFunc("/v1/modules/{name}", s.method(s.module, http.MethodPut, http.MethodDelete))
	}
	mux.HandleFunc("/v1/streams", s.method(s.listStreams, http.MethodGet))
	mux.HandleFunc("/v1/streams/{stream}", s.method(s.streamFacts, http.MethodGet))
	mux.HandleFunc("/v1/streams/{stream}/events", s.method(s.events, http.MethodGet, http.MethodPost))
	if o.Dashboard != nil {
		pages := o.Dashboard(s.route(mux))
		s.people = pages
		mux.Handle("/ui/", pages)
		mux.HandleFunc("/ui/login", s.login)
		mux.HandleFunc("/ui/logout", s.method(s.loggedOut, http.MethodPost))
		mux.HandleFunc("/{$}", s.method(pagesOrIndex(pages), http.MethodGet))
	} else {
		mux.HandleFunc("/{$}", s.method(index, http.MethodGet))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		problem(w, http.StatusNotFound, wire.CodeNotFound, "there is nothing at "+r.URL.Path, "see / for what there is")
	})
	through := s.route(mux)
	if o.Traced != nil {
		through = o.Traced(through, s.traffic.routeOf)
	}
	s.http = http.Server{
		Handler:           s.count(s.guard(mux, through)),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext:       s.opened.context,
		ConnState:         s.opened.changed,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeaders,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
		TLSConfig:         o.TLS,
		// Under TLS. What comes of resets that follow each other is bounded with the streams: the
		// server starts no more handlers than that, and ends a connection that has others wait.
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: maxStreams, WriteByteTimeout: slowClient},
	}
	s.http.RegisterOnShutdown(giveUp) // what only waits is not waited for
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.http.Handler.ServeHTTP(w, r) }

// Serve answers requests until Close. Meanwhile it samples what projections do.
func (s *Server) Serve(l net.Listener) error {
	s.samples.start(s.closing, s.engine.Projections)
	serve := s.http.Serve
	if s.http.TLSConfig != nil {
		serve = func(l net.Listener) error { return s.http.ServeTLS(l, "", "") }
	}
	if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close lets requests under way end by themselves, for a while, then makes them end. No
// request reads any more when it returns, but for those that it logs: what they read may
// be closed then.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), s.drain)
	defer cancel()
	err := s.http.Shutdown(ctx)
	s.stop()
	if err != nil {
		err = s.http.Close()
	}
	s.awaitRequests()
	s.samples.running.Wait()
	return err
}

func (s *Server) awaitRequests() {
	ended := s.requests.end()
	late := time.NewTimer(s.abort)
	defer late.Stop()
	select {
	case <-ended:
	case <-late.C:
		s.log.Error("requests do not end, stopping without them", "requests", s.requests.underWay(), "waited", s.abort)
	}
}

// count counts requests, and refuses those that come when the server is closed.
func (s *Server) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.requests.begin() {
			problem(w, http.StatusServiceUnavailable, wire.CodeNotReady, "the engine stops", "ask again when it runs")
			return
		}
		defer s.requests.done()
		began, out := time.Now(), newPaced(w, s.patience)
		defer func() { s.traffic.answered(r, out, time.Since(began)) }()
		r = withPacedBody(w, r, s.patience)
		if s.opened.admit(out, r) {
			next.ServeHTTP(out, r)
		}
		leaveBody(r, s.patience)
		out.renew() // for what is still in buffers
	})
}

// guard stands before every request: panics, who asks, by which name, and from where.
// Paths below a projection are routed here, before ServeMux cleans them: a key may be
// any bytes. Through answers a client that is known, next whoever asks how the engine is.
func (s *Server) guard(next, through http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.recoverPanic(w, r)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("X-Frame-Options", "DENY")
		if s.browsers.answered(w, r) {
			return
		}
		r, known := s.identify(r)
		switch {
		case healthPath(r.URL.Path):
			next.ServeHTTP(w, r)
		case !known:
			s.stranger(w, r)
		default:
			through.ServeHTTP(w, r)
		}
	})
}

// route answers a request of a client that is known, as far as it may make it.
func (s *Server) route(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !permitted(w, r):
		case strings.HasPrefix(r.URL.EscapedPath(), "/v1/projections/"):
			s.projection(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (s *Server) recoverPanic(w http.ResponseWriter, r *http.Request) {
	switch p := recover(); p {
	case nil:
	case http.ErrAbortHandler:
		panic(p) // ends the connection, as the handler wants
	default:
		s.log.Error("request panicked", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
		problem(w, http.StatusInternalServerError, wire.CodeInternal, "the engine failed on this request", "see its log")
	}
}

// method lets only some methods through. HEAD goes with GET.
func (s *Server) method(next http.HandlerFunc, methods ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if allowed(w, r, methods...) {
			next(w, r)
		}
	}
}

func allowed(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	for _, m := range methods {
		if r.Method == m || r.Method == http.MethodHead && m == http.MethodGet {
			return true
		}
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return false
	}
	problem(w, http.StatusMethodNotAllowed, wire.CodeBadMethod, r.Method+" is not for "+r.URL.Path, "use "+strings.Join(methods, " or "))
	return false
}
