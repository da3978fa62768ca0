package natstest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Process is a NATS server in a process of its own, which a test may kill. Its methods
// belong to the test's goroutine.
type Process struct {
	t       testing.TB
	command string
	dir     string
	port    int
	cmd     *exec.Cmd // nil while it is down
	stdin   io.Closer
}

// Main is what the command of a Process runs. Its arguments are the folder of the server's
// files, and the port, -1 for any. It prints the port, and ends when its input does.
func Main() {
	port, err := strconv.Atoi(os.Args[2])
	if err != nil {
		panic(err)
	}
	s, err := server.NewServer(&server.Options{
		ServerName: "natstest", Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: os.Args[1], NoSigs: true, NoLog: true,
	})
	if err != nil {
		panic(err)
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		panic("the server did not start")
	}
	_, portText, _ := strings.Cut(s.Addr().String(), ":")
	fmt.Println(portText)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// StartProcess runs a command that calls Main, until the test ends.
func StartProcess(t testing.TB, command string) *Process {
	t.Helper()
	p := &Process{t: t, command: command, dir: t.TempDir(), port: server.RANDOM_PORT}
	t.Cleanup(p.Kill)
	p.Restart()
	return p
}

// Kill kills the server, with SIGKILL. It may be called more than once.
func (p *Process) Kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.stdin.Close()
	_ = p.cmd.Wait()
	p.cmd = nil
}

// Restart starts the server again, with the same files and on the same port. One that runs
// is killed first.
func (p *Process) Restart() {
	p.t.Helper()
	p.Kill()
	cmd := exec.Command(p.command, p.dir, strconv.Itoa(p.port))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatalf("natstest: %v", err)
	}
	p.cmd, p.stdin = cmd, in
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		p.t.Fatalf("natstest: the server did not start: %v", err)
	}
	if p.port, err = strconv.Atoi(strings.TrimSpace(line)); err != nil {
		p.t.Fatalf("natstest: %v", err)
	}
}

// URL is where clients connect, also while the server is down.
func (p *Process) URL() string { return fmt.Sprintf("nats://127.0.0.1:%d", p.port) }

// JetStream makes a connection that lasts until the test ends and comes back after a
// restart.
func (p *Process) JetStream(t testing.TB) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(p.URL(), reconnect...)
	if err != nil {
		t.Fatalf("natstest: %v", err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatalf("natstest: %v", err)
	}
	return js
}
