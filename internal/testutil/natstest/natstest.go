// Package natstest runs NATS servers with JetStream for tests: in the test's own
// process, or in one of their own, on a random port of the loopback interface.
package natstest

import (
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// patience is how long a server may take to start on a busy machine.
const patience = 30 * time.Second

// reconnect are options of every connection of a test.
var reconnect = []nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(20 * time.Millisecond)}

// Server is a NATS server. Its methods belong to the test's goroutine.
type Server struct {
	t       testing.TB
	options []Option
	dir     string
	port    int
	client  []nats.Option // how the test itself connects
	running *server.Server
}

// Option changes a server before it starts, each time.
type Option func(*Server, *server.Options)

// Dir keeps the server's files in a folder, instead of one that the test removes.
func Dir(path string) Option {
	return func(_ *Server, o *server.Options) { o.StoreDir = path }
}

// Token makes clients give a token.
func Token(token string) Option {
	return func(s *Server, o *server.Options) {
		o.Authorization = token
		s.clientDefault(nats.Token(token))
	}
}

// User adds a user, who may do everything when permissions are nil. The test itself
// connects as the first one.
func User(name, password string, permissions *server.Permissions) Option {
	return func(s *Server, o *server.Options) {
		o.Users = append(o.Users, &server.User{Username: name, Password: password, Permissions: permissions})
		s.clientDefault(nats.UserInfo(name, password))
	}
}

// With changes any other setting. Client are options that the test itself connects
// with, where the setting asks for some.
func With(change func(*server.Options), client ...nats.Option) Option {
	return func(s *Server, o *server.Options) {
		change(o)
		if len(client) > 0 {
			s.clientDefault(client...)
		}
	}
}

// clientDefault keeps the first.
func (s *Server) clientDefault(o ...nats.Option) {
	if s.client == nil {
		s.client = o
	}
}

// Start runs a server until the test ends.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	s := &Server{t: t, options: opts, dir: t.TempDir(), port: server.RANDOM_PORT}
	t.Cleanup(s.Stop)
	s.Restart()
	return s
}

// Restart starts the server again, with the same files and on the same port. One
// that runs is stopped first.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	o := &server.Options{
		ServerName: "natstest", Host: "127.0.0.1", Port: s.port,
		JetStream: true, StoreDir: s.dir, NoSigs: true, NoLog: true,
	}
	for _, option := range s.options {
		option(s, o)
	}
	running, err := server.NewServer(o)
	if err != nil {
		s.t.Fatalf("natstest: %v", err)
	}
	s.running = running
	running.Start()
	if !running.ReadyForConnections(patience) {
		s.t.Fatal("natstest: the server did not start")
	}
	s.port = running.Addr().(*net.TCPAddr).Port
}

// Stop stops the server and waits until its files are closed. It may be called more
// than once.
func (s *Server) Stop() {
	if s.running == nil {
		return
	}
	s.running.Shutdown()
	s.running.WaitForShutdown()
	s.running = nil
}

// URL is where clients connect, also while the server is stopped.
func (s *Server) URL() string {
	return fmt.Sprintf("nats://127.0.0.1:%d", s.port)
}

// Connect makes a connection that lasts until the test ends and comes back after a
// restart. Options are added to those that the server asks for.
func (s *Server) Connect(t testing.TB, opts ...nats.Option) *nats.Conn {
	t.Helper()
	conn, err := nats.Connect(s.URL(), slices.Concat(reconnect, s.client, opts)...)
	if err != nil {
		t.Fatalf("natstest: %v", err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// JetStream makes a connection as Connect does, and returns its JetStream.
func (s *Server) JetStream(t testing.TB) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(s.Connect(t))
	if err != nil {
		t.Fatalf("natstest: %v", err)
	}
	return js
}
