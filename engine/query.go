package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gnomon/engine/guest"
	"gnomon/engine/state"
	"gnomon/sdk/abi"
)

// Errors of Reading.Query.
var (
	// ErrRequestTooLarge says that a request is larger than a guest is handed.
	ErrRequestTooLarge = errors.New("request is too large")
	// ErrAnswerLate says that a query had no answer in time: other queries had the
	// processors, or the guest read too much.
	ErrAnswerLate = errors.New("query takes too long")
)

// Answer is what a guest answers to a request.
type Answer struct {
	Body       []byte           // at most abi.MaxAnswer bytes
	Checkpoint state.Checkpoint // that it is of
}

const (
	// answerPatience bounds a query, the waiting for a processor included.
	answerPatience = 10 * time.Second
	// idleAnswers is how long an instance that answers nothing is kept.
	idleAnswers = time.Minute
	// keptMemory is the memory of an instance that is kept for the next query, at most, in
	// bytes: a guest's memory never shrinks.
	keptMemory = 32 << 20
)

// Query has the guest of the generation answer a request, in an instance beside the one
// that follows the stream: whatever comes of it, the projection goes on. What it reads is
// the state of the reading.
//
// A guest that keeps state in its own memory answers from the newest snapshot of that, and
// from the state of that moment: the answer's checkpoint is then older than the reading's.
//
// It fails with guest.ErrNoQuery, ErrNotReady, ErrRequestTooLarge, ErrAnswerLate, a *guest.Error
// of the call query, whose Kind is guest.Refused when the guest will not have the request,
// or the error of ctx.
func (r *Reading) Query(ctx context.Context, request []byte) (Answer, error) {
	if len(request) > abi.MaxRequest {
		return Answer{}, fmt.Errorf("%w: it has %d bytes, the limit is %d", ErrRequestTooLarge, len(request), abi.MaxRequest)
	}
	p := r.projection
	ctx, cancel := context.WithTimeoutCause(ctx, answerPatience, fmt.Errorf("%w: %s have passed", ErrAnswerLate, answerPatience))
	defer cancel()
	a, err := p.useAnswers(r.generation)
	if err != nil {
		return Answer{}, err
	}
	defer p.leaveAnswers(a)
	select {
	case p.engine.asking <- struct{}{}:
	case <-ctx.Done():
		return Answer{}, context.Cause(ctx)
	}
	defer func() { <-p.engine.asking }()
	if !a.spec.Module.Traits().Memory {
		body, err := p.ask(ctx, a, state.Memory{}, nil, request, r)
		return Answer{body, r.Checkpoint}, err
	}
	return r.queryMemory(ctx, a, request)
}

// queryMemory asks a guest with memory: as of its newest snapshot.
func (r *Reading) queryMemory(ctx context.Context, a *answers, request []byte) (Answer, error) {
	if len(r.Checkpoint.Memories) == 0 {
		return Answer{}, fmt.Errorf("%w: there is no snapshot of its memory yet", ErrNotReady)
	}
	m := r.Checkpoint.Memories[0]
	answer, err := r.queryAt(ctx, a, m, request)
	if err == nil {
		return answer, nil
	}
	now, lerr := r.keyspace.Latest()
	if lerr == nil && !slices.ContainsFunc(now.Memories, func(o state.Memory) bool { return o.Version == m.Version }) {
		return answer, fmt.Errorf("%w: the snapshot of its memory at %d is no longer kept: %v", ErrNotReady, m.Version.Sequence(), err)
	}
	return answer, err
}

// queryAt asks a guest as of a snapshot of its memory.
func (r *Reading) queryAt(ctx context.Context, a *answers, m state.Memory, request []byte) (Answer, error) {
	ck, err := r.keyspace.Checkpoint(m.Version)
	if err != nil {
		return Answer{}, fmt.Errorf("read checkpoint at %d: %w", m.Version.Sequence(), err)
	}
	view, err := r.keyspace.View(m.Version)
	if err != nil {
		return Answer{}, fmt.Errorf("read state at %d: %w", m.Version.Sequence(), err)
	}
	defer view.Close()
	memory := func() ([][]byte, error) { return r.keyspace.Memory(m) }
	body, err := r.projection.ask(ctx, a, m, memory, request, view)
	return Answer{body, ck}, err
}

// answers are the instances of a generation that answer queries. They are guarded by the
// projection's mu, but for spec.
type answers struct {
	generation string
	spec       *Spec // that they are instances of; it counts them as one use
	users      int   // queries under way
	ended      bool  // no instance is kept any more
	idle       []answering
	took       time.Duration // by the last query
}

// answering is an instance that waits for a query.
type answering struct {
	instance guest.Instance
	memory   state.Version // of the snapshot that it was given; 0: of none
	since    time.Time
}

// useAnswers counts a query in.
func (p *projection) useAnswers(g *generation) (*answers, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case g.spec == nil:
		return nil, fmt.Errorf("%w: the module of generation %s is gone", ErrNotReady, g.id)
	case !g.spec.Module.Traits().Queries:
		return nil, fmt.Errorf("%w: generation %s of projection %s", guest.ErrNoQuery, g.id, p.name)
	}
	if g.answers == nil {
		g.spec.uses++
		g.answers = &answers{spec: g.spec, generation: g.id}
	}
	g.answers.users++
	return g.answers, nil
}

// leaveAnswers counts a query out.
func (p *projection) leaveAnswers(a *answers) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a.users--; a.ended && a.users == 0 {
		p.release(a.spec)
	}
}

// endAnswersLocked gives up the instances of a generation that runs something else from
// now on, or is closed. Queries under way come to their end.
func (p *projection) endAnswersLocked(g *generation) {
	a := g.answers
	if a == nil {
		return
	}
	g.answers, a.ended = nil, true
	p.closeIdleLocked(a, time.Now())
	if a.users == 0 {
		p.release(a.spec)
	}
}

// dropIdle closes instances that had nothing to answer for a while.
func (p *projection) dropIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, g := range p.generationsLocked() {
		if g.answers != nil {
			p.closeIdleLocked(g.answers, time.Now().Add(-idleAnswers))
		}
	}
}

// closeIdleLocked closes the instances that have waited since a time or longer.
func (p *projection) closeIdleLocked(a *answers, since time.Time) {
	kept := a.idle[:0]
	for _, i := range a.idle {
		if i.since.After(since) {
			kept = append(kept, i)
			continue
		}
		p.report(i.instance.Close(context.Background()), "close instance")
	}
	clear(a.idle[len(kept):])
	a.idle = kept
}

// ask asks one instance: one that waits, with the same memory, or a fresh one. One that
// failed is not used again.
func (p *projection) ask(ctx context.Context, a *answers, m state.Memory, memory func() ([][]byte, error), request []byte, rows state.Rows) ([]byte, error) {
	in, err := p.answering(ctx, a, m, memory)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	took := a.took
	p.mu.Unlock()
	p.engine.first.begin(ctx, false, took)
	if ctx.Err() != nil {
		return nil, errors.Join(context.Cause(ctx), in.Close(context.WithoutCancel(ctx)))
	}
	began := time.Now()
	body, err := in.Query(ctx, request, rows)
	took = time.Since(began)
	p.mu.Lock()
	defer p.mu.Unlock()
	a.took = took
	p.measures.queried(took, err)
	if err != nil || a.ended || in.MemoryBytes() > keptMemory {
		p.report(in.Close(context.WithoutCancel(ctx)), "close instance")
		return body, err
	}
	a.idle = append(a.idle, answering{in, m.Version, time.Now()})
	return body, nil
}

// answering takes an instance that waits, or makes one.
func (p *projection) answering(ctx context.Context, a *answers, m state.Memory, memory func() ([][]byte, error)) (guest.Instance, error) {
	p.mu.Lock()
	for i := len(a.idle) - 1; i >= 0; i-- {
		if one := a.idle[i]; one.memory == m.Version {
			a.idle = append(a.idle[:i], a.idle[i+1:]...)
			p.mu.Unlock()
			return one.instance, nil
		}
	}
	p.closeIdleLocked(a, time.Now()) // they have another memory
	p.mu.Unlock()
	c := guest.Config{Settings: a.spec.Settings, Memory: a.spec.Memory}
	if a.spec.Log != nil {
		c.Log = queryLog{guest.LogOf(a.generation, a.spec.Log)}
	}
	in, err := a.spec.Module.Instantiate(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("instantiate module: %w", err)
	}
	if memory == nil {
		return in, nil
	}
	blobs, err := memory()
	if err == nil {
		err = in.Restore(ctx, blobs)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("restore memory at %d: %w", m.Version.Sequence(), err), in.Close(context.WithoutCancel(ctx)))
	}
	return in, nil
}

// queryLog marks the lines that a guest writes while it answers.
type queryLog struct{ guest.Log }

func (l queryLog) Line(line guest.Line) {
	line.Text = "query: " + line.Text
	l.Log.Line(line)
}
