package testdriver

import (
	"context"
	"errors"
	"fmt"

	"gnomon/engine"
	"gnomon/engine/guest"
	"gnomon/sdk/abi"
	"gnomon/sdk/outcome"
)

// Options say how a run goes.
type Options struct {
	Halt    bool     // stop at the first event that fails, instead of going on without it
	Queries [][]byte // requests to have answered over the state at the end
	// Progress is called after each event; nil: it is not.
	Progress func(events int)
}

// Result is what a module made of events.
type Result struct {
	Outcome outcome.Outcome
	Stats   Stats

	subject Subject
	list    *Events
	events  int     // that were applied or failed: fewer than in the list after a halt
	trail   []trace // of each of them
	memory  [][]byte
}

// Run applies events one by one. It fails when the module does not start, and for what is no
// fault of an event.
func Run(ctx context.Context, s Subject, events *Events, o Options) (*Result, error) {
	if s.Module.Traits().Upcasts {
		events = events.withoutKeys()
	}
	b := &base{result: &Result{subject: s, list: events}, events: events, options: o, types: newTypes()}
	r := &run{subject: s, events: events, plan: plan{batch: 1}, settled: b.settled}
	defer r.close(ctx)
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	first := r.sessions[0]
	out := &b.result.Outcome
	out.Errors, out.Logs = []outcome.Failure{}, append([]string{}, r.said...)
	if first.upcasts {
		out.Records = []outcome.Record{}
	} else {
		out.Emits = []outcome.Record{}
	}
	b.result.Stats.MemoryAtStart = first.instance.MemoryBytes()
	b.result.Stats.InitFuel = first.instance.Fuel()
	if err := r.all(ctx, events.Len()); err != nil {
		return nil, err
	}
	return b.finish(ctx, first)
}

// base takes what becomes of each event.
type base struct {
	result  *Result
	events  *Events
	options Options
	types   *types
	trace   trace
}

func (b *base) settled(s *span) bool {
	out, stats := &b.result.Outcome, &b.result.Stats
	if s.failed {
		out.Errors = append(out.Errors, outcome.Failure{Event: b.events.Record(s.from).Sequence, Error: s.failure})
	}
	out.Emits = append(out.Emits, s.emits...)
	out.Records = append(out.Records, s.made...)
	out.Logs = append(out.Logs, s.logs...)
	b.trace.add(s)
	b.result.trail = append(b.result.trail, b.trace)
	b.types.add(b.events.Type(s.from), b.events.Record(s.from).Sequence, s.cost)
	stats.add(s, b.events.Len())
	b.result.events++
	if b.options.Progress != nil {
		b.options.Progress(b.result.events)
	}
	return !s.failed || !b.options.Halt
}

func (b *base) finish(ctx context.Context, s *Session) (_ *Result, err error) {
	r := b.result
	if !s.upcasts {
		r.Outcome.State = s.State.All()
	}
	r.Stats.Types = b.types.list()
	r.Stats.Keys, r.Stats.Bytes = s.State.keys, s.State.bytes
	if r.memory, err = s.snapshot(ctx); err != nil {
		return nil, fmt.Errorf("after the last event: %w", err)
	}
	if len(b.options.Queries) == 0 {
		return r, nil
	}
	r.Outcome.Queries, err = answers(ctx, s, b.options.Queries)
	return r, err
}

// answers has requests answered over the state that a session has.
func answers(ctx context.Context, s *Session, requests [][]byte) ([]outcome.Query, error) {
	if !s.Module.Traits().Queries {
		return nil, errors.New("answers no requests: it does not export query")
	}
	all := []outcome.Query{}
	for _, request := range requests {
		if len(request) > abi.MaxRequest {
			return nil, fmt.Errorf("the request has %d bytes: the limit is %d", len(request), abi.MaxRequest)
		}
		q := outcome.Query{Request: string(request)}
		answer, _, err := s.Answer(ctx, request)
		if err != nil {
			text, ok := ErrorText(err)
			if !ok {
				return nil, err
			}
			q.Error = text
		}
		q.Answer = string(answer)
		all = append(all, q)
	}
	return all, nil
}

// plan is how a run differs from events one by one in one instance.
type plan struct {
	batch      int
	partitions int // 0: one instance without
	around     guest.Surroundings
	restarts   map[int]bool // before these events, by their places
}

// run applies events by a plan.
type run struct {
	subject Subject
	events  *Events
	plan    plan
	// settled is told what became of events, in order; it returns false to end the run. What
	// it is told is valid until it returns.
	settled func(*span) bool

	sessions []*Session // one, or one for each partition
	said     []string   // by the first instance when it started
	ended    bool
	kept     checkpoint
}

// span is what became of a call for some events.
type span struct {
	from, to int // places of the events
	cost     Cost
	writes   []write
	emits    []outcome.Record
	made     []outcome.Record // by an upcaster
	logs     []string
	failed   bool // it is one event
	failure  string
	digest   uint64 // of the state
	memory   uint64 // the most that the instance had
}

func (r *run) open(ctx context.Context) error {
	for range max(1, r.plan.partitions) {
		subject := r.subject
		subject.Log = &lines{}
		s, err := NewSession(ctx, subject, r.plan.around)
		if err != nil {
			return err
		}
		r.sessions = append(r.sessions, s)
	}
	r.said = r.sessions[0].log.take()
	return r.keep(ctx, 0)
}

func (r *run) close(ctx context.Context) {
	for _, s := range r.sessions {
		s.Close(ctx)
	}
}

// all applies the first events.
func (r *run) all(ctx context.Context, count int) error {
	for from := 0; from < count && !r.ended; {
		if r.plan.restarts[from] {
			if err := r.restart(ctx, from); err != nil {
				return r.at(from, err)
			}
		}
		to := min(from+r.plan.batch, count)
		if err := r.apply(ctx, from, to); err != nil {
			return err
		}
		from = to
		if from-r.kept.at >= max(keepEvery, r.sessions[0].State.keys) { // which are copied
			if err := r.keep(ctx, from); err != nil {
				return r.at(from-1, err)
			}
		}
	}
	return nil
}

// at names the event that an error came with.
func (r *run) at(i int, err error) error {
	return fmt.Errorf("event %d: %w", r.events.Record(i).Sequence, err)
}

// session is the one of an event.
func (r *run) session(i int) *Session {
	if len(r.sessions) == 1 {
		return r.sessions[0]
	}
	e := r.events.Record(i)
	return r.sessions[engine.Share(e.Key, len(r.sessions))]
}

// apply applies events: with partitions it is one.
func (r *run) apply(ctx context.Context, from, to int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s := r.session(from)
	if err := s.open(ctx); err != nil {
		return r.at(from, err)
	}
	s.log.take()
	cost, err := s.Call(ctx, r.events.batch(from, to))
	if err == nil {
		return r.settle(s, &span{from: from, to: to, cost: cost})
	}
	text, ok := ErrorText(err)
	if !ok {
		return r.at(from, err)
	}
	if to-from == 1 {
		err := r.settle(s, &span{from: from, to: to, cost: cost, failed: true, failure: text})
		if err != nil || r.ended {
			return err
		}
		return r.recover(ctx, from, to)
	}
	if err := r.recover(ctx, from, from); err != nil {
		return err
	}
	for i := from; i < to && !r.ended; i++ {
		if err := r.apply(ctx, i, i+1); err != nil {
			return err
		}
	}
	return nil
}

// settle tells what became of events.
func (r *run) settle(s *Session, p *span) (err error) {
	p.logs, p.memory = s.log.take(), s.peak
	for _, s := range r.sessions {
		p.digest ^= s.State.digest
	}
	if !p.failed {
		p.writes = s.State.writes
		for _, e := range s.State.emits {
			h, err := headers(e.Headers)
			if err != nil {
				return err
			}
			p.emits = append(p.emits, outcome.Record{Event: e.Cause, Subject: e.Subject, Headers: h, Data: string(e.Data)})
		}
		if p.made, err = records(s.Made); err != nil {
			return err
		}
	}
	r.ended = !r.settled(p)
	return nil
}

func headers(encoded []byte) (list []outcome.Header, err error) {
	for len(encoded) > 0 {
		var name, value []byte
		if name, value, encoded, err = abi.NextHeader(encoded); err != nil {
			return nil, err
		}
		list = append(list, outcome.Header{Name: string(name), Value: string(value)})
	}
	return list, nil
}

// records decodes what an upcaster made.
func records(made []byte) (list []outcome.Record, err error) {
	for len(made) > 0 {
		var r abi.Record
		if r, made, err = abi.Next(made); err != nil {
			return nil, err
		}
		h, err := headers(r.Headers)
		if err != nil {
			return nil, err
		}
		list = append(list, outcome.Record{Event: r.Sequence, Subject: string(r.Subject), Headers: h, Data: string(r.Data)})
	}
	return list, nil
}

// checkpoint is from where the memory of a module is rebuilt after a failure. None of the
// events after it has failed.
type checkpoint struct {
	at     int // the first event that it does not have
	memory [][]byte
	state  *State
}

// keepEvery is how many events are applied again, at most, after a failure, in a state with as
// few keys.
const keepEvery = 512

// keep makes a checkpoint, for a module that keeps state in its memory.
func (r *run) keep(ctx context.Context, at int) error {
	r.kept.at = at
	s := r.sessions[0]
	memory, err := s.snapshot(ctx)
	if err != nil || memory == nil {
		return err
	}
	r.kept = checkpoint{at: at, memory: memory, state: s.State.clone()}
	return nil
}

// restart has all sessions go on with fresh instances.
func (r *run) restart(ctx context.Context, at int) error {
	for _, s := range r.sessions {
		if err := s.restart(ctx); err != nil {
			return err
		}
	}
	return r.keep(ctx, at)
}

// recover rebuilds the memory of a module that lost it with its instance: as it was before
// an event, by what was applied since the checkpoint. The next event is that one, or the one
// after it.
func (r *run) recover(ctx context.Context, before, next int) error {
	if r.kept.state == nil {
		return nil
	}
	s := r.sessions[0]
	live := s.State
	s.State, s.initial = r.kept.state.clone(), r.kept.memory
	err := r.again(ctx, s, before)
	s.State = live
	if err == nil {
		err = s.open(ctx)
	}
	s.log.take()
	if err != nil {
		return err
	}
	return r.keep(ctx, next)
}

// again applies what was applied since the checkpoint.
func (r *run) again(ctx context.Context, s *Session, before int) error {
	for i := r.kept.at; i < before; i++ {
		if err := s.open(ctx); err != nil {
			return r.at(i, err)
		}
		if _, err := s.Call(ctx, r.events.batch(i, i+1)); err != nil {
			return fmt.Errorf("event %d was applied, and is not when the memory of its snapshot is restored: %w", r.events.Record(i).Sequence, err)
		}
	}
	return nil
}

// Requests are what an expectation asks.
func Requests(o *outcome.Outcome) (all [][]byte) {
	for _, q := range o.Queries {
		all = append(all, []byte(q.Request))
	}
	return all
}
