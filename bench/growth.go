package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Goals for the cost curves. The issue of costs that grow is whether they stay what they
// are: an event of a long stream is to cost what one of a shorter one does, and what many
// projections apply not more than what one does.
const (
	growGoal  = 1.25    // ns an event of the longest run over that of one a tenth as long
	shareGoal = 1.0     // ns an applied event with most projections over that with one
	growFrom  = 10_000  // events of the shortest run
	shareTake = 250_000 // events at most that each of many projections applies
)

var growthContenders = []contender{
	{"grow", "the engine with a number of projections in WAT", 1, func(ctx context.Context, t task) (outcome, error) {
		return runGuests(ctx, t, "balance.wasm", t.projections)
	}},
}

// curve is what is measured at each of some points.
type curve struct {
	panel  string // events, keys or projections
	label  string
	points []int
	// at says what runs at a point.
	at func(n int) (stream movements, events, projections int)
	// beside the engine, or not: a program by hand runs no projections together.
	native bool
}

func (r *rig) curves() []curve {
	long := r.long()
	return []curve{
		{"events", "events in the stream", steps(growFrom, min(r.Grow, r.Long), 10), func(n int) (movements, int, int) { return long, n, 1 }, true},
		{"keys", "keys", steps(1, r.Keys, 10), func(n int) (movements, int, int) { s := r.keyed(n); return s, s.events, 1 }, true},
		{"projections", "projections over one stream", steps(1, r.Projections, 2), func(n int) (movements, int, int) { return long, min(shareTake, r.Long), n }, false},
	}
}

func measureGrowth(ctx context.Context, r *rig) (p report, err error) {
	if err := r.ensure(ctx, r.long()); err != nil {
		return p, err
	}
	var panels []panel
	for _, c := range r.curves() {
		drawn, err := r.curve(ctx, c, &p)
		if err != nil {
			return p, fmt.Errorf("%s: %w", c.panel, err)
		}
		panels = append(panels, drawn)
	}
	engine := panels[0].lines[0].points
	if n := len(engine); n > 1 {
		p.judge(ratio{Name: "growth/events-last-decade", Value: engine[n-1].y / engine[n-2].y, Goal: growGoal, Lower: true})
	}
	many := panels[2].lines[0].points
	p.judge(ratio{Name: "growth/projections-share", Value: many[len(many)-1].y / many[0].y, Goal: shareGoal, Lower: true})
	return p, errors.Join(os.MkdirAll(filepath.Dir(r.Plot), 0o755), os.WriteFile(r.Plot, drawPlot("What an event costs", "ns an applied event", panels), 0o644))
}

// curve measures one curve, of the engine and, where that makes sense, of the program by
// hand with care.
func (r *rig) curve(ctx context.Context, c curve, p *report) (panel, error) {
	lines := []line{{name: "engine, guest in WAT"}}
	names := []string{"grow"}
	if c.native {
		lines, names = append(lines, line{name: "native, by hand"}), append(names, "native")
	}
	t := table{Title: fmt.Sprintf("ns an applied event by %s (median of %d rounds)", c.label, r.Rounds), Head: []string{c.panel}}
	for _, l := range lines {
		t.Head = append(t.Head, l.name)
	}
	for _, n := range c.points {
		stream, events, projections := c.at(n)
		if err := stream.seed(ctx, r.URL); err != nil {
			return panel{}, err
		}
		costs, err := r.costs(ctx, names, stream, events, projections)
		if err != nil {
			return panel{}, err
		}
		cells := []string{grouped(n)}
		for i := range lines {
			lines[i].points = append(lines[i].points, point{float64(n), costs[i]})
			p.number(fmt.Sprintf("growth/%s/%d/%s-ns", c.panel, n, names[i]), costs[i])
			cells = append(cells, short(costs[i]))
		}
		t.Rows = append(t.Rows, cells)
		progress("%s %s: %v ns an event", grouped(n), c.panel, cells[1:])
	}
	p.Tables = append(p.Tables, t)
	return panel{c.label, lines}, nil
}

// costs are those of an event, in ns, of contenders that take turns.
func (r *rig) costs(ctx context.Context, names []string, s movements, events, projections int) ([]float64, error) {
	all := make([][]float64, len(names))
	for range r.Rounds {
		for i, name := range names {
			o, err := r.turn(ctx, name, s.stream, events, projections)
			if err != nil {
				return nil, err
			}
			if events == s.events && o.Sum != s.sum() {
				return nil, fmt.Errorf("contender %s: the balances of %s add up to %d, not %d", name, s.stream, o.Sum, s.sum())
			}
			all[i] = append(all[i], float64(o.Took.Nanoseconds())/float64(o.Events))
		}
	}
	medians := make([]float64, len(names))
	for i := range all {
		medians[i] = median(all[i])
	}
	return medians, nil
}
