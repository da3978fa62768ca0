package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Goals and load at the head of a stream.
const (
	headRate     = 5000             // events/s
	headSample   = 50               // one event of so many is waited for
	headWarmUp   = 2 * time.Second  // of events that are not judged
	headStream   = "HEAD"           // made anew for each run
	headMedian   = 3.0              // ms
	headTail     = 20.0             // ms, the 99th percentile
	headRateGoal = 0.95             // of headRate, that is really published
	headPatience = 10 * time.Second // for one event
	headGap      = time.Second / headRate
)

// headProbe waits for single events to become readable.
//
// What is measured ends when a GET on a connection that is kept alive answers at the
// event's sequence or a later one. Until then it asks again at once. So a latency
// includes the round trip of the GET that saw it, and on average half of one more, since the
// event may become readable just after the GET before looked: the number is too high by
// one to two round trips, which the table gives, never too low. GETs that find
// nothing also take CPU from the engine on the same cores; with one event of fifty
// waited for, that is a few per cent of a core. No sample is left out because another
// is still waited for: each has a connection of its own.
type headProbe struct {
	address string
	mu      sync.Mutex
	idle    []*getter
	taken   []float64 // ms
	gets    int
	failed  error
	waiting sync.WaitGroup
}

func measureHead(ctx context.Context, r *rig) (p report, err error) {
	nc, err := nats.Connect(r.URL)
	if err != nil {
		return p, err
	}
	defer nc.Close()
	st, err := freshStream(ctx, nc, headStream, headStream)
	if err != nil {
		return p, err
	}
	data, remove, err := r.folder()
	if err != nil {
		return p, err
	}
	defer remove()
	n, err := r.startNode(ctx, data, hosted{"balance", "balance.wasm", headStream, 1})
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, n.stop()) }()
	if err := n.await(ctx, 0, 20*time.Millisecond, nil); err != nil {
		return p, err
	}
	h := &headProbe{address: n.address}
	events := movements{stream: headStream, events: headRate * r.HeadSeconds, keys: accounts}
	warm := min(events.events/4, int(headWarmUp/headGap))
	before, err := cpuOf(n.pid())
	if err != nil {
		return p, err
	}
	began := time.Now()
	late, err := h.publish(ctx, nc, events, warm)
	if err != nil {
		return p, err
	}
	rate := float64(events.events) / time.Since(began).Seconds()
	h.waiting.Wait()
	after, err := cpuOf(n.pid())
	if err = errors.Join(err, h.failed, settle(ctx, st, uint64(events.events))); err != nil {
		return p, err
	}
	busy := (after - before).Seconds() / time.Since(began).Seconds()
	trip, err := h.roundTrip()
	if err != nil {
		return p, err
	}
	h.report(&p, rate, late, trip, busy)
	return p, nil
}

// freshStream makes an empty stream of the subjects below a token.
func freshStream(ctx context.Context, nc *nats.Conn, name, token string) (jetstream.Stream, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	if err := js.DeleteStream(ctx, name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, err
	}
	return js.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{token + ".>"}})
}

// publish publishes every event when its time has come, and has some of those after the
// first ones waited for. Nobody else publishes: event n gets sequence n. It returns how
// late events were at worst, in ms.
func (h *headProbe) publish(ctx context.Context, nc *nats.Conn, events movements, warm int) (late float64, _ error) {
	// The runtime's timers wake a process that is idle a millisecond late: five events.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began := time.Now()
	err := events.each(func(m movement) error {
		subject, body := m.subject(events.stream), m.body()
		due := began.Add(time.Duration(m.n) * headGap)
		if left := time.Until(due); left > 0 {
			nap := syscall.NsecToTimespec(left.Nanoseconds())
			_ = syscall.Nanosleep(&nap, nil) // a signal ends it early, which costs nothing
		}
		at := time.Now()
		if m.n > warm {
			late = max(late, float64(at.Sub(due))/1e6)
		}
		if err := nc.Publish(subject, body); err != nil {
			return err
		}
		if m.n > warm && m.n%headSample == 0 {
			h.waiting.Go(func() { h.await(m, at) })
		}
		return ctx.Err()
	})
	return late, errors.Join(err, nc.Flush())
}

// await notes how long an event took to become readable.
func (h *headProbe) await(m movement, published time.Time) {
	g, err := h.connection()
	gets := 0
	for err == nil {
		var a got
		a, err = g.get(statePath("balance", m.key()))
		gets++
		took := time.Since(published)
		switch {
		case err != nil:
		case a.asOf >= uint64(m.n) && a.status == 200:
			h.note(g, took, gets)
			return
		case a.asOf >= uint64(m.n):
			err = fmt.Errorf("event %d is reflected, but its account is answered with %d", m.n, a.status)
		case took > headPatience:
			err = fmt.Errorf("event %d is not readable after %s, but %d is", m.n, took.Round(time.Second), a.asOf)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed = errors.Join(h.failed, err)
}

func (h *headProbe) connection() (*getter, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.idle); n > 0 {
		g := h.idle[n-1]
		h.idle = h.idle[:n-1]
		return g, nil
	}
	return dialGetter(h.address)
}

func (h *headProbe) note(g *getter, took time.Duration, gets int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.idle = append(h.idle, g)
	h.taken = append(h.taken, float64(took)/1e6)
	h.gets += gets
}

// roundTrip is the median of GETs when nothing is published, in ms.
func (h *headProbe) roundTrip() (float64, error) {
	g, err := h.connection()
	if err != nil {
		return 0, err
	}
	var trips []float64
	for range 500 {
		began := time.Now()
		if _, err := g.get(statePath("balance", accountKey(0))); err != nil {
			return 0, err
		}
		trips = append(trips, float64(time.Since(began))/1e6)
	}
	return median(trips), nil
}

func (h *headProbe) report(p *report, rate, late, trip, busy float64) {
	p.judge(ratio{Name: "head/p50-ms", Value: quantile(h.taken, 0.5), Goal: headMedian, Lower: true})
	p.judge(ratio{Name: "head/p99-ms", Value: quantile(h.taken, 0.99), Goal: headTail, Lower: true})
	p.judge(ratio{Name: "head/published-of-5000", Value: rate / headRate, Goal: headRateGoal})
	p.number("head/samples", float64(len(h.taken)))
	p.number("head/get-ms", trip)
	p.number("head/engine-cores", busy)
	p.Tables = append(p.Tables, table{
		Title: fmt.Sprintf("From publish to readable over HTTP at %s events/s (%s samples, ms)", short(rate), grouped(len(h.taken))),
		Head:  []string{"p50", "p90", "p99", "p99.9", "slowest", "one GET", "GETs for a sample", "publisher late at most", "cores of the engine"},
		Rows: [][]string{{
			short(quantile(h.taken, 0.5)), short(quantile(h.taken, 0.9)), short(quantile(h.taken, 0.99)), short(quantile(h.taken, 0.999)), short(slices.Max(append(h.taken, 0))),
			short(trip), short(float64(h.gets) / float64(max(1, len(h.taken)))), short(late), short(busy),
		}},
	})
	progress("publish to readable: p50 %s ms, p99 %s ms, of %d samples", short(quantile(h.taken, 0.5)), short(quantile(h.taken, 0.99)), len(h.taken))
}
