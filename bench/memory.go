package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Goals for memory. The first is what "flat" is taken to mean: Go's heap breathes.
const (
	flatGoal  = 1.2     // RSS at the end, over that at the mark
	idleGoal  = 300.0   // MB
	openGoal  = 1.0     // s
	idleCount = 20      // projections
	idleTake  = 100_000 // events at most that each of them applied before
)

func measureMemory(ctx context.Context, r *rig) (p report, err error) {
	if err := r.ensure(ctx, r.long()); err != nil {
		return p, err
	}
	if err := flatMemory(ctx, r, &p); err != nil {
		return p, fmt.Errorf("one projection: %w", err)
	}
	if err := idleMemory(ctx, r, &p); err != nil {
		return p, fmt.Errorf("idle projections: %w", err)
	}
	if err := openTime(ctx, r, &p); err != nil {
		return p, fmt.Errorf("opening: %w", err)
	}
	return p, nil
}

// megabytes of KiB.
func megabytes(kib int64) float64 { return float64(kib) * 1024 / 1e6 }

// sample is a moment of a projection that catches up.
type sample struct {
	applied uint64
	memory  resident
}

// flatMemory samples the RSS of an engine with one projection over the long stream. A
// sample says little, since the garbage collector lets the heap grow and shrink: medians
// are compared, of the samples around the mark and of those before the end. The mark is at
// 2 M events, and at a tenth of a stream that is too short for that.
func flatMemory(ctx context.Context, r *rig, p *report) (err error) {
	data, remove, err := r.folder()
	if err != nil {
		return err
	}
	defer remove()
	n, err := r.startNode(ctx, data, hosted{"balance", "balance.wasm", r.long().stream, 1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.stop()) }()
	var samples []sample
	var failed error
	err = n.await(ctx, uint64(r.Long), 20*time.Millisecond, func(all []standing) {
		m, err := memoryOf(n.pid())
		failed = errors.Join(failed, err)
		if all[0].Applied > 0 { // the very first samples are of an engine that starts
			samples = append(samples, sample{all[0].Applied, m})
		}
	})
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	events := float64(r.Long)
	mark := flatMark(events)
	early := around(samples, 0.75*mark, 1.25*mark)
	late := around(samples, 0.9*events, events)
	p.judge(ratio{Name: "memory/flat", Value: float64(late.All) / float64(early.All), Goal: flatGoal, Lower: true})
	p.number("memory/flat/events", events)
	p.number("memory/flat/mark", mark)
	p.number("memory/flat/highest-mb", megabytes(highest(samples)))
	t := table{Title: fmt.Sprintf("RSS of an engine with one projection over %s events (medians, MB)", grouped(r.Long)), Head: []string{"events applied", "RSS", "of it heap and guest", "of it mapped files"}}
	for i := range 10 {
		m := around(samples, float64(i)*events/10, float64(i+1)*events/10)
		t.Rows = append(t.Rows, []string{
			grouped(int(events/10)*i) + " – " + grouped(int(events/10)*(i+1)),
			short(megabytes(m.All)), short(megabytes(m.Anon)), short(megabytes(m.File)),
		})
	}
	p.Tables = append(p.Tables, t)
	progress("RSS after %s events %s MB, after %s %s MB", grouped(int(mark)), short(megabytes(early.All)), grouped(r.Long), short(megabytes(late.All)))
	return nil
}

func flatMark(events float64) float64 {
	if events < 4e6 {
		return events / 10
	}
	return 2e6
}

// around is the median of the samples in a range of events; where there is none, as with
// few events, that of all.
func around(samples []sample, from, to float64) resident {
	var all, anon, file []float64
	for _, s := range samples {
		if n := float64(s.applied); n >= from && n <= to {
			all, anon, file = append(all, float64(s.memory.All)), append(anon, float64(s.memory.Anon)), append(file, float64(s.memory.File))
		}
	}
	if len(all) == 0 && from >= 0 {
		return around(samples, -1, float64(^uint64(0)))
	}
	return resident{int64(median(all)), int64(median(anon)), int64(median(file))}
}

func highest(samples []sample) (most int64) {
	for _, s := range samples {
		most = max(most, s.memory.All)
	}
	return most
}

// idleMemory lets twenty projections catch up and then rest: once in the process that
// has caught up, with caches that are full and a heap that was busy, and once after a
// restart. Both are held against the goal.
func idleMemory(ctx context.Context, r *rig, p *report) error {
	data, remove, err := r.folder()
	if err != nil {
		return err
	}
	defer remove()
	take := min(idleTake, r.Long)
	var all []hosted
	for i := range idleCount {
		all = append(all, hosted{projectionName(i), "balance.wasm", r.long().stream, uint64(r.Long - take + 1)})
	}
	t := table{Title: fmt.Sprintf("RSS of an engine with %d idle projections of %s keys (MB)", idleCount, grouped(min(accounts, take))), Head: []string{"", "RSS", "of it heap and guests", "of it mapped files"}}
	for _, again := range []struct{ name, what string }{
		{"memory/idle-20-caught-up-mb", fmt.Sprintf("after each applied %s events", grouped(take))},
		{"memory/idle-20-restarted-mb", "after a restart"},
	} {
		m, err := idleOnce(ctx, r, data, all)
		if err != nil {
			return err
		}
		p.judge(ratio{Name: again.name, Value: megabytes(m.All), Goal: idleGoal, Lower: true})
		t.Rows = append(t.Rows, []string{again.what, short(megabytes(m.All)), short(megabytes(m.Anon)), short(megabytes(m.File))})
		progress("%d idle projections, %s: %s MB", idleCount, again.what, short(megabytes(m.All)))
	}
	p.Tables = append(p.Tables, t)
	return nil
}

// idleOnce runs an engine until it rests, and returns what it has then.
func idleOnce(ctx context.Context, r *rig, data string, all []hosted) (m resident, err error) {
	n, err := r.startNode(ctx, data, all...)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, n.stop()) }()
	if err := n.await(ctx, uint64(r.Long), 20*time.Millisecond, nil); err != nil {
		return m, err
	}
	return settled(ctx, n, time.Duration(r.IdleSeconds)*time.Second)
}

// settled waits until the RSS of an engine that rests does not fall any more: Go gives
// memory back in the background, and runs its collector at least every two minutes,
// which is not waited for.
func settled(ctx context.Context, n *node, enough time.Duration) (low resident, err error) {
	const every = 100 * time.Millisecond
	same := time.Duration(0)
	err = n.wait(ctx, every, func() (bool, error) {
		m, err := memoryOf(n.pid())
		if err != nil {
			return false, err
		}
		if same += every; low.All == 0 || m.All < low.All-low.All/100 {
			low, same = m, 0
		}
		return same >= enough, nil
	})
	return low, err
}

// openTime starts an engine on a projection that has caught up and has many keys: from
// the start of the process to the answer of a GET that is live, at the stream's end.
func openTime(ctx context.Context, r *rig, p *report) error {
	s := r.keyed(r.Keys)
	if err := r.ensure(ctx, s); err != nil {
		return err
	}
	data, remove, err := r.folder()
	if err != nil {
		return err
	}
	defer remove()
	if err := catchUpNode(ctx, r, data, s); err != nil {
		return err
	}
	var took, serving []float64
	for range r.Rounds {
		n, err := r.startNode(ctx, data, hosted{"balance", "balance.wasm", s.stream, 1})
		if err != nil {
			return err
		}
		serving = append(serving, time.Since(n.started).Seconds())
		err = n.readable(ctx, statePath("balance", accountKey(0)), uint64(s.events))
		took = append(took, time.Since(n.started).Seconds())
		if err = errors.Join(err, n.stop()); err != nil {
			return err
		}
	}
	p.judge(ratio{Name: "memory/open-1m-keys-s", Value: median(took), Goal: openGoal, Lower: true})
	p.number("memory/open/keys", float64(r.Keys))
	p.Tables = append(p.Tables, table{
		Title: fmt.Sprintf("Opening a projection with %s keys (s since the process was started, median of %d)", grouped(r.Keys), r.Rounds),
		Head:  []string{"HTTP is served", "a GET answers live, at the stream's end", "slowest"},
		Rows:  [][]string{{short(median(serving)), short(median(took)), short(quantile(took, 1))}},
	})
	progress("opened %s keys in %s s", grouped(r.Keys), short(median(took)))
	return nil
}

// catchUpNode runs an engine with one projection until it has caught up.
func catchUpNode(ctx context.Context, r *rig, data string, s movements) error {
	n, err := r.startNode(ctx, data, hosted{"balance", "balance.wasm", s.stream, 1})
	if err != nil {
		return err
	}
	return errors.Join(n.await(ctx, uint64(s.events), 20*time.Millisecond, nil), n.stop())
}

// readable waits until a GET of a path succeeds, from a projection that is live, at a
// sequence.
func (n *node) readable(ctx context.Context, path string, sequence uint64) error {
	g, err := dialGetter(n.address)
	if err != nil {
		return err
	}
	defer g.close()
	return n.wait(ctx, time.Millisecond, func() (bool, error) {
		a, err := g.get(path)
		return a.status == 200 && a.live && a.asOf >= sequence, err
	})
}
