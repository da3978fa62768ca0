package testdriver

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"gnomon/engine/guest"
	"gnomon/sdk/outcome"
)

// Finding is a way in which a result depends on what it must not.
type Finding struct {
	Variation string // what was otherwise, such as "batches of 7"
	Cause     string // what usually is behind it
	// Event is the sequence of the first event of which the result differs, with its place in
	// the file, its type and its subject; 0: it is only in the end that something differs.
	Event         uint64
	Line          int
	Type, Subject string
	// Difference has what there is in the run event by event as Want, and what there is in the
	// variation as Got.
	Difference outcome.Difference
	// Also are the other variations in which something differs.
	Also []string
}

// Varied is what came of all variations.
type Varied struct {
	Names   []string // of those that were run
	Finding *Finding // of the first that differs; nil: none does
	Skipped []string // what was not tried, and why
	Batched time.Duration
}

// VaryOptions say what is varied.
type VaryOptions struct {
	Seed uint64 // of where instances are replaced, of clock and random numbers
	Keys bool   // events have a declared key: try partitions
	// Begin is called with the name of each variation when it begins, and Progress with how many
	// of its events are done; nil: they are not.
	Begin    func(variation string)
	Progress func(events int)
}

// variation is one or more plans, each by itself, with what a difference usually comes from.
type variation struct {
	plans       []plan
	name, cause string
}

const (
	causeClock     = "the clock is read: in the sandbox it stands still, and a result may not depend on it; use the event's time (ce-time, or the time it was stored)"
	causeChance    = "random numbers, or the order of a hash map, which is one in Go and in others: derive what is to be unique from the event, and sort keys before writing, or adding up, what a loop over a map gives"
	causeRestart   = "variables that are not in the state: a fresh instance does not have them; keep them in the state, or write them in snapshot and read them in restore"
	causeBatch     = "something that is kept from one event to the next within a call of apply, or done once for a call: variables that each event should begin with, writes at the end of a batch that leave something out, or an index given to emit or fail that is not that of the event"
	causePartition = "events of different keys use the same key of the state, which partitions cannot: build totals over all keys in a projection of their own, or do not set partitions"
)

// variations lists what is tried, in an order in which what is found first tells most about
// the cause.
func variations(base *Result, seed uint64, partitions bool) []variation {
	rnd := rand.New(rand.NewPCG(seed, 0))
	all := []variation{
		{[]plan{{batch: 1, around: guest.Surroundings{Clock: clockAfter(rnd, base.list)}}}, "another wall clock", causeClock},
		{chances(rnd, &base.Stats), "other random numbers", causeChance},
	}
	if count := base.events; count > 1 {
		restarts := restartsOf(rnd, base, min(count-1, restartsFor(base)))
		name := fmt.Sprintf("a fresh instance before %d events", len(restarts))
		if len(restarts) == count-1 {
			name = "a fresh instance for each event"
		}
		all = append(all, variation{[]plan{{batch: 1, restarts: restarts}}, name, causeRestart})
	}
	for _, n := range []int{7, 256} {
		all = append(all, variation{[]plan{{batch: n}}, fmt.Sprintf("batches of %d", n), causeBatch})
	}
	if partitions {
		for _, n := range []int{2, 3} {
			all = append(all, variation{[]plan{{batch: 1, partitions: n}}, fmt.Sprintf("%d partitions", n), causePartition})
		}
	}
	return all
}

// Vary applies the events of a run otherwise, and demands the same result of each variation:
// state, emitted events, errors, and lines of the log.
func Vary(ctx context.Context, base *Result, o VaryOptions) (*Varied, error) {
	v := &Varied{}
	traits := base.subject.Module.Traits()
	partitions := o.Keys && !traits.Upcasts && !traits.Memory
	switch {
	case partitions && !base.list.keyed():
		partitions = false
		v.Skipped = append(v.Skipped, "partitions: no event has the key that is declared")
	case o.Keys && traits.Memory && !traits.Upcasts:
		v.Skipped = append(v.Skipped, "partitions: a module with snapshot and restore cannot be split")
	case !o.Keys && !traits.Memory && !traits.Upcasts:
		v.Skipped = append(v.Skipped, "partitions: no key is declared")
	}
	for _, how := range variations(base, o.Seed, partitions) {
		if o.Begin != nil {
			o.Begin(how.name)
		}
		var f *Finding
		var took time.Duration
		var err error
		for i := 0; i < len(how.plans) && f == nil && err == nil; i++ {
			f, took, err = how.vary(ctx, base, how.plans[i], o.Progress)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", how.name, err)
		}
		v.Names = append(v.Names, how.name)
		if how.plans[0].batch == 256 && base.events > 0 {
			v.Batched = took / time.Duration(base.events)
		}
		switch {
		case f == nil:
		case v.Finding == nil:
			v.Finding = f
		default:
			v.Finding.Also = append(v.Finding.Also, how.name)
		}
	}
	return v, nil
}

// vary runs one plan of a variation up to the first difference.
func (how variation) vary(ctx context.Context, base *Result, by plan, progress func(int)) (_ *Finding, took time.Duration, err error) {
	var differs *span
	var trace trace
	r := &run{subject: base.subject, events: base.list, plan: by}
	r.settled = func(p *span) bool {
		took += p.cost.Took
		trace.add(p)
		if progress != nil {
			progress(p.to)
		}
		if trace == base.trail[p.to-1] {
			return true
		}
		differs = p
		return false
	}
	defer r.close(ctx)
	if err := r.open(ctx); err != nil {
		return nil, 0, err
	}
	if err := r.all(ctx, base.events); err != nil {
		return nil, 0, err
	}
	if differs == nil {
		f, err := r.memoryDiffers(ctx, base, how)
		return f, took, err
	}
	f, err := locate(ctx, base.subject, base.list, differs)
	if err != nil {
		return nil, 0, err
	}
	f.Variation, f.Cause = how.name, how.cause
	return f, took, nil
}

// memoryDiffers compares what is left in the memory of a module that keeps state there.
func (r *run) memoryDiffers(ctx context.Context, base *Result, how variation) (*Finding, error) {
	if base.memory == nil {
		return nil, nil
	}
	memory, err := r.sessions[0].snapshot(ctx)
	if err != nil {
		return nil, err
	}
	want, got := slices.Concat(base.memory...), slices.Concat(memory...)
	if string(want) == string(got) {
		return nil, nil
	}
	return &Finding{Variation: how.name, Cause: how.cause, Difference: outcome.Difference{
		Section: "snapshot", Place: "the memory after the last event",
		Want: string(outcome.EncodeValue(string(want))), Got: string(outcome.EncodeValue(string(got))),
	}}, nil
}
