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
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const streamName = "BENCH"

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

const accounts = 10_000

// seed fills the stream, and returns the sum of all amounts. Event n moves a
// pseudo-random amount of a pseudo-random account; bodies have about 200 bytes.
func seed(ctx context.Context, url string, events int) (sum int64, err error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return 0, err
	}
	st, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: streamName, Subjects: []string{"bank.>"}})
	if err != nil {
		return 0, err
	}
	rnd := uint64(1)
	for n := 1; n <= events; n++ {
		rnd = rnd*6364136223846793005 + 1442695040888963407
		account, amount := int(rnd>>33)%accounts, int64(rnd>>40)%20_000-10_000
		sum += amount
		body := fmt.Sprintf(`{"id":"tx-%012d","kind":"transfer","account":"acct-%05d","amount":%d,"currency":"EUR","booked":"2026-03-01T10:00:%02d.%03dZ","text":"invoice %d of a customer who pays in time"}`,
			n, account, amount, n/1000%60, n%1000, n)
		if err := nc.Publish(fmt.Sprintf("bank.moved.%d", account%100), []byte(body)); err != nil {
			return 0, err
		}
		if n%2000 == 0 {
			if err := settle(ctx, st, uint64(n)); err != nil {
				return 0, err
			}
		}
	}
	return sum, settle(ctx, st, uint64(events))
}

// settle waits until the stream holds n events.
func settle(ctx context.Context, st jetstream.Stream, n uint64) error {
	for {
		info, err := st.Info(ctx)
		if err != nil {
			return err
		}
		if info.State.Msgs == n {
			return nil
		}
	}
}
