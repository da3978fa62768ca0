package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// startTimeout bounds the start of the embedded server, which reads the index of
// every stream.
const startTimeout = 2 * time.Minute

// startServer runs a NATS server in this process.
func startServer(c Server, log *slog.Logger) (*server.Server, error) {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("create folder of the embedded NATS server: %w", err)
	}
	o := &server.Options{
		ServerName:   "gnomon",
		JetStream:    true,
		StoreDir:     c.Dir,
		SyncInterval: c.SyncInterval,
		SyncAlways:   c.SyncInterval == 0,
		NoSigs:       true,
		DontListen:   c.Listen == "",
	}
	if err := listen(o, c.Listen); err != nil {
		return nil, err
	}
	s, err := server.NewServer(o)
	if err != nil {
		return nil, fmt.Errorf("start embedded NATS server: %w", err)
	}
	logged := &serverLog{log: log, fatal: make(chan string, 1)}
	s.SetLogger(logged, false, false)
	go s.Start()
	ready := make(chan bool, 1)
	go func() { ready <- s.ReadyForConnections(startTimeout) }()
	select {
	case why := <-logged.fatal:
		s.Shutdown()
		return nil, fmt.Errorf("start embedded NATS server: %s", why)
	case ok := <-ready:
		if !ok || !s.JetStreamEnabled() {
			s.Shutdown()
			return nil, fmt.Errorf("start embedded NATS server in %s: %w", c.Dir, errNotReady)
		}
	}
	return s, nil
}

var errNotReady = errors.New("it did not become ready, see the log")

// listen sets the address, after a try to take it: the server itself would only
// log that it cannot.
func listen(o *server.Options, address string) error {
	if address == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("nats.embedded.listen %q: %w", address, err)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("nats.embedded.listen: %w", err)
	}
	o.Host = host
	o.Port, _ = strconv.Atoi(port)
	if o.Port == 0 {
		o.Port = server.RANDOM_PORT
	}
	return l.Close()
}

func (b *Broker) stopServer() {
	if b.server != nil {
		b.server.Shutdown()
		b.server.WaitForShutdown()
	}
}

// serverLog passes the embedded server's log on. What it calls notices is its
// banner and routine.
type serverLog struct {
	log   *slog.Logger
	fatal chan string
}

func (l *serverLog) Noticef(f string, a ...any) { l.log.Debug("nats: " + fmt.Sprintf(f, a...)) }
func (l *serverLog) Warnf(f string, a ...any)   { l.log.Warn("nats: " + fmt.Sprintf(f, a...)) }
func (l *serverLog) Errorf(f string, a ...any)  { l.log.Error("nats: " + fmt.Sprintf(f, a...)) }
func (l *serverLog) Debugf(string, ...any)      {}
func (l *serverLog) Tracef(string, ...any)      {}

func (l *serverLog) Fatalf(f string, a ...any) {
	why := fmt.Sprintf(f, a...)
	l.log.Error("nats: " + why)
	select {
	case l.fatal <- why:
	default:
	}
}
