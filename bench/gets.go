package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"time"
)

// Load of reads while a projection catches up. There have to be many clients: on two
// cores that are both busy a get waits some milliseconds for its turn, and with a few
// clients, each with one get under way, the rate would not be reached.
const (
	getRate = 10_000 // gets/s
	getters = 250    // connections, each with one get under way at most
	getDebt = 200 * time.Millisecond
)

// counted is what the process that reads has done so far.
type counted struct {
	Gets    int           `json:"gets"`    // answered with the value
	Missing int           `json:"missing"` // answered otherwise: nothing is committed yet, or not that key
	CPU     time.Duration `json:"cpu_ns"`
	P50     float64       `json:"p50_ms"` // of what a get took, since the last time that this was asked
	P99     float64       `json:"p99_ms"`
}

// since is what was done after an earlier time.
func (c counted) since(earlier counted) counted {
	c.Gets, c.Missing, c.CPU = c.Gets-earlier.Gets, c.Missing-earlier.Missing, c.CPU-earlier.CPU
	return c
}

// load is what the clients of the process that reads share.
type load struct {
	mu    sync.Mutex
	done  counted
	taken []float64 // ms, since the last count
	paths []string
}

// getUntilTold is the process that reads: random keys, paced, until standard input ends.
// For each line of it, it says what it has done.
func getUntilTold(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("gets", flag.ContinueOnError)
	address := f.String("address", "", "")
	projection := f.String("projection", "", "")
	if err := f.Parse(args); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	l := &load{paths: make([]string, accounts)}
	for i := range l.paths {
		l.paths[i] = statePath(*projection, accountKey(i))
	}
	failed := make(chan error, getters)
	began := time.Now()
	for i := range getters {
		g, err := dialGetter(*address)
		if err != nil {
			return err
		}
		defer g.close()
		go func() { failed <- l.client(ctx, g, began.Add(time.Duration(i)*time.Second/getRate)) }()
	}
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			asked <- struct{}{}
		}
	}()
	for {
		select {
		case err := <-failed:
			return err
		case _, ok := <-asked:
			if !ok {
				return nil
			}
			if err := json.NewEncoder(os.Stdout).Encode(l.count()); err != nil {
				return err
			}
		}
	}
}

// client sends one get after the other, each when its time has come or, when the one
// before took too long, at once. What is missed by more than a fifth of a second is not
// made up for: the rate is then not reached, which the count says.
func (l *load) client(ctx context.Context, g *getter, due time.Time) error {
	for ctx.Err() == nil {
		time.Sleep(time.Until(due))
		began := time.Now()
		a, err := g.get(l.paths[rand.IntN(len(l.paths))])
		if err != nil {
			return err
		}
		l.note(a, time.Since(began))
		if due = due.Add(getters * time.Second / getRate); time.Since(due) > getDebt {
			due = time.Now().Add(-getDebt)
		}
	}
	return nil
}

func (l *load) note(a got, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.status != 200 {
		l.done.Missing++
		return
	}
	l.done.Gets++
	l.taken = append(l.taken, float64(took)/1e6)
}

func (l *load) count() counted {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done.CPU = ownCPU()
	l.done.P50, l.done.P99 = quantile(l.taken, 0.5), quantile(l.taken, 0.99)
	l.taken = l.taken[:0]
	return l.done
}

// readers is the process that reads, seen from outside.
type readers struct {
	process *exec.Cmd
	in      io.WriteCloser
	out     *json.Decoder
}

func startReaders(ctx context.Context, address, projection string) (*readers, error) {
	c := exec.CommandContext(ctx, os.Args[0], "gets", "-address", address, "-projection", projection)
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &readers{c, in, json.NewDecoder(out)}, c.Start()
}

// count asks what was done so far.
func (r *readers) count() (c counted, err error) {
	if _, err := r.in.Write([]byte("\n")); err != nil {
		return c, err
	}
	return c, r.out.Decode(&c)
}

func (r *readers) stop() error {
	return errors.Join(r.in.Close(), r.process.Wait())
}
