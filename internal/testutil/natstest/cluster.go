package natstest

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

	"gnomon/internal/testutil"
)

// Cluster is three servers with JetStream. Its methods belong to the test's goroutine.
type Cluster struct {
	t       testing.TB
	options [3]*server.Options
	servers [3]*server.Server
	conn    *nats.Conn
}

// StartCluster runs three servers until the test ends.
func StartCluster(t testing.TB) *Cluster {
	t.Helper()
	c := &Cluster{t: t}
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
			t.Fatalf("natstest: server %d of the cluster did not start", i)
		}
	}
	c.conn = c.Connect()
	return c
}

// freePorts are ports that nobody had a moment ago: servers of a cluster have to know
// each other's before they start.
func freePorts(t testing.TB, n int) (ports []int) {
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

func (c *Cluster) start(i int) {
	c.t.Helper()
	s, err := server.NewServer(c.options[i].Clone())
	if err != nil {
		c.t.Fatal(err)
	}
	c.servers[i] = s
	s.Start()
}

func (c *Cluster) stop(i int) {
	if s := c.servers[i]; s != nil {
		s.Shutdown()
		s.WaitForShutdown()
	}
}

// URL is where clients connect: the servers, separated by commas.
func (c *Cluster) URL() string {
	var urls []string
	for _, o := range c.options {
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", o.Port))
	}
	return strings.Join(urls, ",")
}

// Connect makes a connection that lasts until the test ends.
func (c *Cluster) Connect() *nats.Conn {
	c.t.Helper()
	conn, err := nats.Connect(c.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(conn.Close)
	return conn
}

// JetStream makes a connection as Connect does, and returns its JetStream.
func (c *Cluster) JetStream() jetstream.JetStream {
	js, err := jetstream.New(c.Connect())
	if err != nil {
		panic(err) // only for bad options
	}
	return js
}

// Create makes a stream with three replicas, as soon as the cluster can.
func (c *Cluster) Create(s jetstream.StreamConfig) {
	c.t.Helper()
	s.Replicas = 3
	js := c.JetStream()
	c.until(func() bool {
		ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
		defer cancel()
		_, err := js.CreateStream(ctx, s)
		return err == nil || errors.Is(err, jetstream.ErrStreamNameAlreadyInUse)
	})
}

// StepDown makes another server a stream's leader.
func (c *Cluster) StepDown(stream string) {
	c.t.Helper()
	c.until(func() bool { return c.leader(stream) != "" })
	_, _ = c.conn.Request("$JS.API.STREAM.LEADER.STEPDOWN."+stream, nil, time.Second)
	c.until(func() bool { return c.leader(stream) != "" })
}

// leader is the name of a stream's leader; empty when it has none.
func (c *Cluster) leader(stream string) string {
	for _, s := range c.servers {
		if s.Running() && s.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, stream) {
			return s.Name()
		}
	}
	return ""
}

// RestartOther restarts a server that does not lead a stream.
func (c *Cluster) RestartOther(stream string) {
	c.t.Helper()
	leader := c.leader(stream)
	for i, s := range c.servers {
		if s.Name() != leader {
			c.stop(i)
			c.start(i)
			return
		}
	}
}

func (c *Cluster) until(condition func() bool) {
	c.t.Helper()
	testutil.Until(c.t, condition)
}
