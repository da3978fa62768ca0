// Package service offers the reads of an engine as a NATS micro service (nats.go): list,
// status, get, scan, watch and query, with the same parameters, positions and errors as over
// HTTP.
//
// It speaks the protocol of NATS services (ADR-32 of NATS) by itself, in the types of
// nats.go/micro: that package hands an endpoint one request after the other, so that one
// that waits for a sequence, or a query, would hold up all others.
package service

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"gnomon/engine/query/wire"
)

const (
	// Name is that of the service.
	Name = "gnomon"
	// Prefix is where the subjects of its endpoints begin.
	Prefix = "gnomon.v1"

	atOnce     = 64   // requests of an endpoint that are answered at the same time
	maxWaiting = 1024 // requests beside them that wait for a sequence, or for a replay

	// pastPatience bounds a request that reads the past: over NATS nobody tells when who asks
	// has gone.
	pastPatience = 5 * time.Minute

	drainPatience = 3 * time.Second // in which requests under way may end by themselves
	abortPatience = 5 * time.Second // in which they have to end, after that
)

// Options are the parts of a Service.
type Options struct {
	Conn    *nats.Conn
	Reads   http.Handler // answers GET /v1/projections…, and POST /v1/projections/NAME/query
	Version string       // of the engine
	Log     *slog.Logger
}

// Service answers requests that come over NATS. Many nodes may have one on the same
// connection or cluster: each request goes to one of them.
type Service struct {
	conn      *nats.Conn
	reads     http.Handler
	log       *slog.Logger
	identity  micro.ServiceIdentity
	endpoints []*endpoint
	subs      []*nats.Subscription
	waiting   chan struct{} // of maxWaiting

	ctx    context.Context // of requests
	cancel context.CancelFunc
	wait   context.Context // of requests that wait for a sequence, and of watches
	giveUp context.CancelFunc
	begun  sync.WaitGroup // requests under way

	beat, silence time.Duration // of watches

	started time.Time
	closing sync.Once

	mu    sync.Mutex // guards the stats, and what follows
	ended bool       // no request is begun any more
}

// Open announces the service and begins to answer. The connection need not be up: then both
// happen when it is. An error is one of the connection's state, such as that it is closed.
func Open(o Options) (*Service, error) {
	s := &Service{
		conn: o.Conn, reads: o.Reads, log: o.Log, waiting: make(chan struct{}, maxWaiting), started: time.Now().UTC(), beat: watchBeat, silence: watchSilence,
		identity: micro.ServiceIdentity{Name: Name, ID: rand.Text(), Version: semantic(o.Version), Metadata: map[string]string{"engine": o.Version}},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wait, s.giveUp = context.WithCancel(s.ctx)
	s.endpoints = endpoints()
	err := s.listen()
	if err != nil {
		s.Close()
	}
	return s, err
}

func (s *Service) listen() error {
	for _, e := range s.endpoints {
		sub, err := s.conn.QueueSubscribe(e.subject, micro.DefaultQueueGroup, func(m *nats.Msg) { s.serve(e, m) })
		if err != nil {
			return fmt.Errorf("offer %s: %w", e.subject, err)
		}
		s.subs = append(s.subs, sub)
	}
	return s.announce()
}

// semver is what a service's version has to be, see semver.org.
var semver = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)

// semantic is a version as services have one.
func semantic(version string) string {
	if len(version) > 0 && version[0] == 'v' {
		version = version[1:]
	}
	if semver.MatchString(version) {
		return version
	}
	return "0.0.0-dev"
}

// serve answers a request, beside others of its endpoint. Watches are bounded with those
// over HTTP. When there are too many of the others it waits, and NATS with it; those that may
// wait for long, for a sequence or for a replay of the past, have places of their own, as they
// cost little while they do, and are refused when these are taken.
func (s *Service) serve(e *endpoint, m *nats.Msg) {
	if m.Reply == "" {
		return // nobody waits for it
	}
	began := time.Now()
	r, err := e.request(m)
	if err != nil {
		s.respond(e, m, problem(http.StatusBadRequest, wire.CodeBadRequest, err.Error(), "see the schema of endpoint "+e.name+": nats micro info gnomon"), began)
		return
	}
	if r.watch {
		s.begin(func() { s.watch(e, m, r, began) })
		return
	}
	places := e.places
	if r.waits() || r.past() {
		places = s.waiting
		select {
		case places <- struct{}{}:
		default:
			s.respond(e, m, problem(http.StatusServiceUnavailable, wire.CodeBusy, fmt.Sprintf("%d requests wait for a sequence, or read the past, already", maxWaiting), "ask again in a moment"), began)
			return
		}
	} else {
		places <- struct{}{}
	}
	s.begin(func() {
		defer func() { <-places }()
		s.respond(e, m, s.ask(r), began)
	})
}

// begin has a request answered in a goroutine, unless the service has ended: who asks asks
// again then, and another node answers.
func (s *Service) begin(answer func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.begun.Go(answer)
	}
}

// respond sends a reply, and counts it.
func (s *Service) respond(e *endpoint, m *nats.Msg, a reply, began time.Time) {
	out := a.message()
	if limit := s.maxPayload(); size(out) > limit {
		a = problem(http.StatusRequestEntityTooLarge, wire.CodeTooLarge, fmt.Sprintf("the reply has %d bytes, the server takes at most %d (max_payload)", size(out), limit), "ask for less, or read it over HTTP")
		out = a.message()
	}
	err := m.RespondMsg(out)
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		s.log.Warn("reply cannot be sent", "subject", m.Subject, "error", err)
	}
	s.count(e, a, err, time.Since(began))
}

func (s *Service) count(e *endpoint, a reply, err error, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := &e.stats
	st.NumRequests++
	st.ProcessingTime += took
	st.AverageProcessingTime = st.ProcessingTime / time.Duration(st.NumRequests)
	switch {
	case err != nil:
		st.NumErrors++
		st.LastError = err.Error()
	case a.failed():
		st.NumErrors++
		code, text := a.failure()
		st.LastError = code + ":" + text
	}
}

// Count is what was asked of an endpoint since the service was opened.
type Count struct {
	Endpoint         string
	Requests, Errors uint64        // those that failed are among the requests
	Took             time.Duration // all together
}

// Counts are those of all endpoints.
func (s *Service) Counts() (all []Count) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.endpoints {
		all = append(all, Count{e.name, uint64(e.stats.NumRequests), uint64(e.stats.NumErrors), e.stats.ProcessingTime})
	}
	return all
}

// maxPayload is how large a message may be, its headers included.
func (s *Service) maxPayload() int {
	if n := s.conn.MaxPayload(); n > 0 {
		return int(n)
	}
	return 1 << 20 // the server's default; it has not said yet
}

// Close takes no more requests, lets those under way end, tells those who watch that the
// engine stops, and withdraws the service. When it returns none of them reads any more, but
// for those that it logs. It may be called more than once.
func (s *Service) Close() {
	s.closing.Do(func() {
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			s.drain()
			s.mu.Lock()
			s.ended = true
			s.mu.Unlock()
			s.giveUp() // what only waits is not waited for
			s.begun.Wait()
		}()
		if !within(drained, drainPatience) {
			s.cancel()
			if !within(drained, abortPatience) {
				s.log.Error("requests over NATS do not end, stopping without them")
			}
		}
		s.cancel()
		if s.conn.IsConnected() {
			_ = s.conn.FlushTimeout(time.Second) // replies; who does not get one asks again
		}
	})
}

// drain ends the subscriptions, once what came in is being answered.
func (s *Service) drain() {
	for _, sub := range s.subs {
		ended := make(chan struct{})
		sub.SetClosedHandler(func(string) { close(ended) })
		if err := sub.Drain(); err != nil || !s.conn.IsConnected() {
			_ = sub.Unsubscribe() // no request comes any more
			continue
		}
		within(ended, drainPatience)
	}
}

// within reports whether something ended in time.
func within(ended <-chan struct{}, d time.Duration) bool {
	late := time.NewTimer(d)
	defer late.Stop()
	select {
	case <-ended:
		return true
	case <-late.C:
		return false
	}
}
