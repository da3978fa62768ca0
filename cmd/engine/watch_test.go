package main

import (
	"bytes"
	"context"
	"maps"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"

	"gnomon/cmd/engine/cli"
	"gnomon/engine"
	"gnomon/engine/query/wire"
)

// shown is what a command prints while it runs.
type shown struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *shown) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *shown) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// rows puts together what engine watch printed.
func (s *shown) rows() map[string]string {
	rows := map[string]string{}
	for line := range strings.Lines(s.String()) {
		line, whole := strings.CutSuffix(line, "\n")
		if !whole {
			continue // the rest is to come
		}
		switch f := strings.Split(line, "\t"); f[1] {
		case "=", "~":
			rows[f[2]] = f[3]
		case "-":
			delete(rows, f[2])
		}
	}
	return rows
}

// readable is the state of a projection as engine scan prints it.
func (p *process) readable(name string) map[string]string {
	rows := map[string]string{}
	_ = p.client.Scan(p.t.Context(), name, nil, 0, func(r wire.Row) error { // it may be starting
		rows[cli.Readable(r.Key)] = cli.Readable(r.Value)
		return nil
	})
	return rows
}

// A watch on the command line goes on by itself when the engine was killed and is there
// again: what it printed amounts to the state. Interrupted it ends well.
func TestWatchOverKilledEngine(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	h := newHome(t, "log.>", projection("count", "count.wasm"))
	h.replace("127.0.0.1:0", address)
	p := h.serve()
	p.publish(0, 10)
	p.awaitLive("count", 10)

	ctx, interrupt := context.WithCancel(t.Context())
	var out, errs shown
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"watch", "count", "--server", address}, strings.NewReader(""), &out, &errs)
	}()
	caughtUp := func() bool { return maps.Equal(out.rows(), p.readable("count")) }
	p.until("the state is printed", caughtUp)
	for i := 1; i < 4; i++ {
		p.publish(10*i, 5)
		p.until("changes are printed", caughtUp)
		p.signal(syscall.SIGKILL)
		if _, err := p.wait(); !killedBy(err, syscall.SIGKILL) {
			t.Fatal(err)
		}
		p = h.serve()
		p.publish(10*i+5, 5)
		p.awaitLive("count", uint64(10*i+10))
		p.until("changes are printed after the kill", caughtUp)
	}
	interrupt()
	if c := <-code; c != cli.ExitDone {
		t.Errorf("exit %d\n%s", c, errs.String())
	}
	if text := errs.String(); !strings.Contains(text, "; connecting again in ") || !strings.Contains(text, "count is live") {
		t.Errorf("standard error is %s", text)
	}
	if strings.Count(out.String(), "=\tlog.0") > 1+strings.Count(errs.String(), "the state, from its beginning: ") {
		t.Errorf("the state came again unasked: %s\n%s", out.String(), errs.String())
	}
	t.Log(errs.String())
}

// What cannot be watched is an error with a hint.
func TestWatchCommandErrors(t *testing.T) {
	h := newHome(t, "log.>", projection("count", "count.wasm"))
	p := h.serve()
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"watch", "none"}, cli.ExitFailed, "engine: projection not found: \"none\"\nhint: engine status lists them\n"},
		{[]string{"watch", "count", "--from", "x"}, cli.ExitUsage, "engine: --from: \"x\" is no position of a watch: give the id of a position event, or a sequence\nhint: see engine watch --help\n"},
		{[]string{"watch"}, cli.ExitUsage, "hint: see engine watch --help\n"},
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), append(c.args, "--server", p.url()), strings.NewReader(""), &out, &errs)
		if code != c.code || !strings.Contains(errs.String(), c.want) {
			t.Errorf("%v: exit %d: %s", c.args, code, errs.String())
		}
	}
}

// What a watch, and engine dev, tell of a projection that does not go on has the way out below the reason.
func TestWatchTellsTheWayOut(t *testing.T) {
	var told bytes.Buffer
	w := watching{name: "orders", stderr: &told}
	w.tell(engine.WatchEvent{Kind: engine.WatchState, State: engine.Halted, Reason: "event 7: no account", Hint: "mend it"})
	w.tell(engine.WatchEvent{Kind: engine.WatchState, State: engine.Live})
	if want := "orders is halted: event 7: no account\n  hint: mend it\norders is live\n"; told.String() != want {
		t.Errorf("it tells\n%s, not\n%s", told.String(), want)
	}
}
