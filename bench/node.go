package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// node is the engine's binary as a process.
type node struct {
	process *exec.Cmd
	address string // HTTP, host:port
	output  string // file with what it printed
	started time.Time
	ended   chan error
}

// hosted is a projection of a node.
type hosted struct {
	name, module, stream string
	start                uint64 // first sequence
}

// startNode runs an engine on a data directory, with the configuration's defaults, and
// returns as soon as it serves.
func (r *rig) startNode(ctx context.Context, data string, projections ...hosted) (*node, error) {
	if err := os.MkdirAll(filepath.Join(data, "cache"), 0o700); err != nil {
		return nil, err
	}
	config := filepath.Join(data, "config.toml")
	if err := os.WriteFile(config, r.config(data, projections), 0o600); err != nil {
		return nil, err
	}
	n := &node{process: exec.CommandContext(ctx, r.Engine, "run", "--config", config), output: filepath.Join(data, "output"), ended: make(chan error, 1)}
	n.process.Cancel = func() error { return n.process.Process.Signal(os.Interrupt) }
	n.process.WaitDelay = patience
	out, err := os.Create(n.output)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	n.process.Stdout, n.process.Stderr = out, out
	n.started = time.Now()
	if err := n.process.Start(); err != nil {
		return nil, err
	}
	go func() { n.ended <- n.process.Wait() }()
	err = n.wait(ctx, time.Millisecond, func() (bool, error) {
		n.address = servingAt(data, n.process.Process.Pid)
		return n.address != "", nil
	})
	if err != nil {
		return nil, err
	}
	return n, nil
}

func (r *rig) config(data string, projections []hosted) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "data_dir = %q\n[log]\nlevel = \"warn\"\n[http]\nlisten = \"127.0.0.1:0\"\n[nats]\nurl = %q\n[plugins]\ndir = %q\n", filepath.Join(data, "data"), r.URL, r.Guests)
	for _, p := range projections {
		fmt.Fprintf(&b, "[[projection]]\nname = %q\nmodule = %q\nstream = %q\nstart = %d\n", p.name, p.module, p.stream, p.start)
	}
	return b.Bytes()
}

// servingAt is the address that a process has noted in its data directory; empty until
// it has.
func servingAt(data string, pid int) string {
	b, err := os.ReadFile(filepath.Join(data, "data", "LOCK"))
	var holder struct {
		PID  int
		HTTP string
	}
	if err != nil || json.Unmarshal(b, &holder) != nil || holder.PID != pid {
		return ""
	}
	return holder.HTTP
}

// wait asks again and again until something holds. It fails when the engine ends.
func (n *node) wait(ctx context.Context, every time.Duration, holds func() (bool, error)) error {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		if ok, err := holds(); err != nil || ok {
			return err
		}
		select {
		case <-t.C:
		case err := <-n.ended:
			n.ended <- err
			b, _ := os.ReadFile(n.output)
			return fmt.Errorf("the engine ended: %v\n%s", err, b)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// standing is what a node says of a projection.
type standing struct {
	Projection string `json:"projection"`
	State      string `json:"state"`
	Reason     string `json:"reason"`
	Position   uint64 `json:"position"`
	Applied    uint64 `json:"applied_seq"`
	Events     uint64 `json:"events_applied"`
}

// standings asks a node how its projections stand.
func (n *node) standings(ctx context.Context) ([]standing, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.address+"/v1/projections", nil)
	if err != nil {
		return nil, err
	}
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		return nil, err
	}
	defer a.Body.Close()
	var all struct{ Projections []standing }
	if err := json.NewDecoder(a.Body).Decode(&all); err != nil {
		return nil, err
	}
	for _, s := range all.Projections {
		if s.State == "halted" || s.State == "diverged" {
			return nil, fmt.Errorf("projection %s is %s: %s", s.Projection, s.State, s.Reason)
		}
	}
	return all.Projections, nil
}

// await waits until every projection is live at a sequence at least, and calls seen
// with every answer on the way.
func (n *node) await(ctx context.Context, sequence uint64, every time.Duration, seen func(all []standing)) error {
	return n.wait(ctx, every, func() (bool, error) {
		all, err := n.standings(ctx)
		if err != nil {
			return false, err
		}
		if seen != nil {
			seen(all)
		}
		for _, s := range all {
			if s.State != "live" || s.Position < sequence {
				return false, nil
			}
		}
		return true, nil
	})
}

// stop ends the engine as an operator does, and waits until it has.
func (n *node) stop() error {
	_ = n.process.Process.Signal(os.Interrupt)
	err := <-n.ended
	n.ended <- err
	if err != nil {
		b, _ := os.ReadFile(n.output)
		return fmt.Errorf("stop the engine: %w\n%s", err, strings.TrimSpace(string(b)))
	}
	return nil
}

func (n *node) pid() int { return n.process.Process.Pid }
