package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Goal of reads while a projection catches up.
const (
	getGoal     = 0.75      // of the speed without
	getRateGoal = 0.95      // of the gets that are asked for, that are answered
	getEvents   = 4_000_000 // at most, that are caught up with
	countEvery  = 5 * time.Millisecond
)

// stretch is a part of catching up: from when a tenth was applied to the end.
type stretch struct {
	events uint64
	took   time.Duration
	cpu    time.Duration // of the engine
	gets   counted
}

func (s stretch) rate() float64    { return float64(s.events) / s.took.Seconds() }
func (s stretch) getRate() float64 { return float64(s.gets.Gets) / s.took.Seconds() }

func measureReads(ctx context.Context, r *rig) (p report, err error) {
	if err := r.ensure(ctx, r.long()); err != nil {
		return p, err
	}
	var alone, read []stretch
	for round := range r.Rounds + 1 { // the first one warms up
		for _, gets := range []bool{false, true} {
			s, err := caughtUp(ctx, r, gets)
			if err != nil {
				return p, err
			}
			switch {
			case round == 0:
			case gets:
				read = append(read, s)
			default:
				alone = append(alone, s)
			}
			progress("round %d: %s events/s, %s gets/s", round, short(s.rate()), short(s.getRate()))
		}
	}
	r.reportReads(&p, alone, read)
	return p, nil
}

func (r *rig) reportReads(p *report, alone, read []stretch) {
	pick := func(all []stretch, f func(s stretch) float64) (values []float64) {
		for _, s := range all {
			values = append(values, f(s))
		}
		return values
	}
	without, with := pick(alone, stretch.rate), pick(read, stretch.rate)
	gets := median(pick(read, stretch.getRate))
	p.judge(ratio{Name: "reads/speed-kept", Value: median(with) / median(without), Goal: getGoal})
	p.judge(ratio{Name: "reads/gets-of-10k", Value: gets / getRate, Goal: getRateGoal})
	p.number("reads/gets-per-second", gets)
	p.number("reads/events-per-second-without", median(without))
	p.number("reads/events-per-second-with", median(with))
	cores := func(s stretch) float64 { return s.cpu.Seconds() / s.took.Seconds() }
	p.number("reads/engine-cores-without", median(pick(alone, cores)))
	p.number("reads/engine-cores-with", median(pick(read, cores)))
	clients := median(pick(read, func(s stretch) float64 { return s.gets.CPU.Seconds() / s.took.Seconds() }))
	p.number("reads/client-cores", clients)
	p50 := median(pick(read, func(s stretch) float64 { return s.gets.P50 }))
	p99 := median(pick(read, func(s stretch) float64 { return s.gets.P99 }))
	p.number("reads/get-p50-ms", p50)
	p.number("reads/get-p99-ms", p99)
	// What the events would have cost alone is not the gets'.
	perEvent := median(pick(alone, func(s stretch) float64 { return s.cpu.Seconds() / float64(s.events) }))
	perGet := median(pick(read, func(s stretch) float64 {
		return max(0, s.cpu.Seconds()-perEvent*float64(s.events)) / float64(max(1, s.gets.Gets+s.gets.Missing)) * 1e6
	}))
	p.number("reads/engine-us-per-get", perGet)
	row := func(what string, rates []float64, cells ...string) []string {
		return append([]string{what, short(median(rates)), short(quantile(rates, 0)), short(quantile(rates, 1))}, cells...)
	}
	p.Tables = append(p.Tables, table{
		Title: fmt.Sprintf("Catching up with %s events while another process reads (median of %d rounds; %s gets/s are asked for)", grouped(r.readEvents()), r.Rounds, grouped(getRate)),
		Head:  []string{"", "events/s", "lowest", "highest", "gets/s answered", "a get, p50 ms", "p99 ms", "cores of the engine", "its CPU a get, µs", "cores of the reading process"},
		Rows: [][]string{
			row("alone", without, "–", "–", "–", short(median(pick(alone, cores))), "–", "–"),
			row("read", with, short(gets), short(p50), short(p99), short(median(pick(read, cores))), short(perGet), short(clients)),
		},
	})
}

func (r *rig) readEvents() int { return min(r.Long, getEvents) }

// caughtUp lets an engine catch up on an empty folder, with reads or without.
func caughtUp(ctx context.Context, r *rig, gets bool) (s stretch, err error) {
	data, remove, err := r.folder()
	if err != nil {
		return s, err
	}
	defer remove()
	from := uint64(r.Long - r.readEvents())
	n, err := r.startNode(ctx, data, hosted{"balance", "balance.wasm", r.long().stream, from + 1})
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, n.stop()) }()
	var clients *readers
	if gets {
		if clients, err = startReaders(ctx, n.address, "balance"); err != nil {
			return s, err
		}
		defer func() { err = errors.Join(err, clients.stop()) }()
	}
	first, err := mark(n, clients, from)
	if err != nil {
		return s, err
	}
	var failed error
	var events uint64
	tenth, begun := from+uint64(r.readEvents()/10), false
	err = n.await(ctx, uint64(r.Long), countEvery, func(all []standing) {
		events = all[0].Events
		if a := all[0].Applied; !begun && a >= tenth && a < uint64(r.Long) {
			begun = true
			first, failed = mark(n, clients, a)
		}
	})
	if err = errors.Join(err, failed); err != nil {
		return s, err
	}
	if events != uint64(r.readEvents()) {
		return s, fmt.Errorf("the projection applied %d events, not %d", events, r.readEvents())
	}
	end, err := mark(n, clients, uint64(r.Long))
	return stretch{
		events: end.applied - first.applied, took: end.at.Sub(first.at), cpu: end.cpu - first.cpu,
		gets: end.gets.since(first.gets),
	}, err
}

// milestone is a moment of catching up.
type milestone struct {
	at      time.Time
	applied uint64
	cpu     time.Duration
	gets    counted
}

func mark(n *node, clients *readers, applied uint64) (m milestone, err error) {
	m = milestone{at: time.Now(), applied: applied}
	if m.cpu, err = cpuOf(n.pid()); err != nil || clients == nil {
		return m, err
	}
	m.gets, err = clients.count()
	return m, err
}
