package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// serveStream is a NATS server on a random port of the loopback interface, whose URL
// it prints, until ctx ends.
func serveStream(ctx context.Context, dir string) error {
	s, err := server.NewServer(&server.Options{
		ServerName: "bench", Host: "127.0.0.1", Port: server.RANDOM_PORT,
		JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true,
	})
	if err != nil {
		return err
	}
	s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		return fmt.Errorf("the server did not start")
	}
	fmt.Println(s.ClientURL())
	<-ctx.Done()
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}

// startServer runs a server as a process of its own and returns its URL.
func startServer(ctx context.Context, dir string) (url string, stop func(), err error) {
	c := exec.CommandContext(ctx, os.Args[0], "server", dir)
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = 10 * time.Second
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := c.Start(); err != nil {
		return "", nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	stop = func() { _ = c.Cancel(); _ = c.Wait() }
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("the server printed no URL: %w", err)
	}
	return strings.TrimSpace(line), stop, nil
}
