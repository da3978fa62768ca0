package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gnomon/engine"
	"gnomon/engine/ingest"
)

// While the leader of a stream with three replicas is made to step down again and
// again, and one of the servers is restarted, a projection applies every event once, in
// order.
func TestLeaderChanges(t *testing.T) {
	if testing.Short() {
		t.Skip("elections take a while: make faults runs it")
	}
	const events, changes = 3000, 12
	c := startCluster(t)
	r := c.rig()
	p := r.project(nil)
	done := make(chan error, 1)
	go func() { done <- publishAll(t.Context(), c.jetStream(), events) }()
	for n := range changes {
		at := uint64(n+1) * events / (changes + 2)
		p.await(fmt.Sprint("event ", at), func(s engine.Status) bool { return s.Position >= at })
		if n == changes/2 {
			c.restartOther()
			continue
		}
		c.stepDown()
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	p.awaitLive(events)
	if got, want := p.ledger(), numbers(1, events); got != want {
		t.Errorf("the ledger has %d events and %d bytes, want %d", strings.Count(got, " "), len(got), len(want))
	}
}

// publishAll stores numbers, in order, each once: one whose storing is in doubt is
// published again under the same id.
func publishAll(ctx context.Context, js jetstream.JetStream, events int) error {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	for n := 1; n <= events && ctx.Err() == nil; {
		if publishOnce(ctx, js, n) == nil {
			n++
		}
	}
	return ctx.Err()
}

// publishOnce gives up early: a leader that stepped down may never answer.
func publishOnce(ctx context.Context, js jetstream.JetStream, n int) error {
	ctx, cancel := context.WithTimeout(ctx, patience/100)
	defer cancel()
	_, err := js.Publish(ctx, "s.n", fmt.Append(nil, n), jetstream.WithMsgID(fmt.Sprint(n)), jetstream.WithRetryAttempts(0))
	return err
}

// cluster is three servers with JetStream.
type cluster struct {
	t       *testing.T
	options [3]*server.Options
	servers [3]*server.Server
	conn    *nats.Conn
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t}
	var routes []*url.URL
	ports := freePorts(t, 6)
	for _, port := range ports[:3] {
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", port)})
	}
	for i := range c.servers {
		c.options[i] = &server.Options{
			ServerName: fmt.Sprint("n", i), Host: "127.0.0.1", Port: ports[3+i], JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
			Cluster: server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: ports[i]}, Routes: routes,
		}
	}
	t.Cleanup(func() {
		for i := range c.servers {
			c.stop(i)
		}
	})
	for i := range c.servers {
		c.start(i)
	}
	for i, s := range c.servers {
		if !s.ReadyForConnections(patience) {
			t.Fatalf("server %d did not start", i)
		}
	}
	c.conn = c.connect()
	return c
}

// freePorts are ports that nobody had a moment ago: servers of a cluster have to know
// each other's before they start.
func freePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

func (c *cluster) start(i int) {
	c.t.Helper()
	s, err := server.NewServer(c.options[i].Clone())
	if err != nil {
		c.t.Fatal(err)
	}
	c.servers[i] = s
	s.Start()
}

func (c *cluster) stop(i int) {
	if s := c.servers[i]; s != nil {
		s.Shutdown()
		s.WaitForShutdown()
	}
}

func (c *cluster) connect() *nats.Conn {
	c.t.Helper()
	var urls []string
	for _, o := range c.options {
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", o.Port))
	}
	conn, err := nats.Connect(strings.Join(urls, ","), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(conn.Close)
	return conn
}

func (c *cluster) jetStream() jetstream.JetStream {
	js, err := jetstream.New(c.connect())
	if err != nil {
		panic(err) // only for bad options
	}
	return js
}

// rig has the stream S with three replicas.
func (c *cluster) rig() *rig {
	c.t.Helper()
	js := c.jetStream()
	waitUntil(c.t, func() bool {
		ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
		defer cancel()
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, Replicas: 3})
		return err == nil || errors.Is(err, jetstream.ErrStreamNameAlreadyInUse)
	})
	return &rig{t: c.t, js: js, source: ingest.New(js, func(err error) error { return err })}
}

// stepDown makes another server the stream's leader.
func (c *cluster) stepDown() {
	c.t.Helper()
	before := ""
	waitUntil(c.t, func() bool {
		before = c.leader()
		return before != ""
	})
	_, _ = c.conn.Request("$JS.API.STREAM.LEADER.STEPDOWN.S", nil, time.Second)
	waitUntil(c.t, func() bool { return c.leader() != "" })
}

// leader is the name of the stream's leader; empty when it has none.
func (c *cluster) leader() string {
	for _, s := range c.servers {
		if s.Running() && s.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, "S") {
			return s.Name()
		}
	}
	return ""
}

// restartOther restarts a server that does not lead.
func (c *cluster) restartOther() {
	c.t.Helper()
	leader := c.leader()
	for i, s := range c.servers {
		if s.Name() != leader {
			c.stop(i)
			c.start(i)
			return
		}
	}
}
