package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gnomon/engine/catalog"
	"gnomon/engine/state"
)

// PromotePolicy says when a candidate takes over.
type PromotePolicy string

// The policies.
const (
	PromoteByHand    PromotePolicy = ""       // when an operator says so
	PromoteItself    PromotePolicy = "always" // by itself, once it has caught up
	PromoteWhenEqual PromotePolicy = "equal"  // by itself, once it has caught up and its state is the one that is read
)

// meetTime bounds how long two generations stand still for one another.
const meetTime = 10 * time.Second

// Errors of Promote, Rollback and Diff.
var (
	// ErrBehind says that a generation has not caught up with the one that is read.
	ErrBehind = errors.New("has not caught up")
	// ErrIncomparable says that two generations read different streams, whose sequences
	// mean different events.
	ErrIncomparable = errors.New("cannot be compared")
	// ErrDiffers says that a candidate's state is another one than the one that is read.
	ErrDiffers = errors.New("state differs")
	// ErrOtherGeneration says that the generation to be read is not the one that was meant.
	ErrOtherGeneration = errors.New("another generation is there by now")
	// ErrUnpublished says that what the generation that is read has emitted cannot be
	// published yet: it is, before another one takes over.
	ErrUnpublished = errors.New("emitted events wait to be published")
)

// Promotion is what was done.
type Promotion struct {
	Projection string `json:"projection"`
	From       string `json:"from"` // generation that was read
	To         string `json:"to"`   // and that is read now
	Sequence   uint64 `json:"as_of_seq"`
}

// Promote lets readers see the candidate of a projection, from one sequence on, in one
// instant: no read sees a mix, and none goes back. The generation that was read becomes
// the previous one. It fails with ErrBehind, having changed nothing, when the candidate
// has not caught up.
func (e *Engine) Promote(ctx context.Context, name string) (Promotion, error) {
	return e.PromoteTo(ctx, name, "")
}

// PromoteTo is Promote if the candidate is the generation of an id, or that is empty. It fails
// with ErrOtherGeneration, having changed nothing, when another one is: what was looked at is
// not what readers would see.
func (e *Engine) PromoteTo(ctx context.Context, name, generation string) (Promotion, error) {
	return e.exchange(ctx, name, RoleCandidate, generation)
}

// Rollback lets readers see the previous generation of a projection again, which has
// followed the stream since: with its own state, as of now. The one that was read becomes
// the candidate, which does not take over by itself any more.
func (e *Engine) Rollback(ctx context.Context, name string) (Promotion, error) {
	return e.RollbackTo(ctx, name, "")
}

// RollbackTo is Rollback if the previous generation is that of an id, or that is empty; else
// it fails as PromoteTo does.
func (e *Engine) RollbackTo(ctx context.Context, name, generation string) (Promotion, error) {
	return e.exchange(ctx, name, RolePrevious, generation)
}

func (e *Engine) exchange(ctx context.Context, name string, role Role, generation string) (Promotion, error) {
	p, _, err := e.find(name)
	if err != nil {
		return Promotion{}, err
	}
	if err := p.lock(ctx); err != nil {
		return Promotion{}, err
	}
	defer p.unlock()
	if _, other, err := p.pair(role); err == nil && generation != "" && other.id != generation {
		return Promotion{}, fmt.Errorf("%w: the %s of %s is %s, and not %s", ErrOtherGeneration, role, name, other.id, generation)
	}
	return p.exchange(ctx, role, nil)
}

// exchange makes the generation of a role the one that is read, when accept, if given,
// finds nothing wrong with what the two are at one sequence.
func (p *projection) exchange(ctx context.Context, role Role, accept func(live, other state.Checkpoint) error) (Promotion, error) {
	live, other, err := p.pair(role)
	if err != nil {
		return Promotion{}, err
	}
	if err := p.ready(live, other, role); err != nil {
		return Promotion{}, err
	}
	if trouble, _ := live.runner.outbox.troubled(); trouble != "" { // nobody is to stand still for that
		if err := p.undrained(live); err != nil {
			return Promotion{}, err
		}
	}
	at, letGo, err := p.meet(ctx, live, other)
	if err != nil {
		return Promotion{}, err
	}
	defer letGo()
	if err := p.drain(ctx, live); err != nil {
		return Promotion{}, err
	}
	if accept != nil {
		if err := accept(live.runner.Published(), other.runner.Published()); err != nil {
			return Promotion{}, err
		}
	}
	// A crash of the machine must not take back what readers have seen.
	if _, err := other.keyspace.Sync(ctx); err != nil {
		return Promotion{}, fmt.Errorf("make %s durable: %w", other.id, err)
	}
	pass, err := p.handOver(live, other, at)
	if err != nil {
		return Promotion{}, err
	}
	return p.turn(live, other, role, at, pass)
}

// pair returns the generation that is read and the one of a role.
func (p *projection) pair(role Role) (live, other *generation, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.live == nil {
		return nil, nil, fmt.Errorf("%w: %s", ErrNotReady, p.name)
	}
	other, err = p.readsLocked(role)
	return p.live, other, err
}

// comparable reports whether the sequences of two generations mean the same events.
func comparable(live, other *generation) bool {
	a, b := live.runner.Published().Position, other.runner.Published().Position
	return live.failed == nil && a.Stream == b.Stream && a.Created.Equal(b.Created)
}

// ready refuses a generation that is not to be read now.
func (p *projection) ready(live, other *generation, role Role) error {
	was, is := live.runner.Published().Position, other.runner.Published().Position
	state := other.runner.State()
	switch {
	case state == Live && !comparable(live, other):
		return nil
	case state == Live && (live.runner.stopped() == nil || is.Sequence >= min(was.Sequence, other.runner.knownEnd())):
		return nil
	case state == Stalled && other.runner.outbox.isFull() && is.Sequence >= was.Sequence: // it waits for this
		return nil
	case state == Halted && role == RolePrevious && live.runner.stopped() != nil && is.Sequence >= was.Sequence:
		return nil
	}
	why := ""
	if err := other.runner.stopped(); err != nil {
		why = ": " + err.Error()
	}
	return fmt.Errorf("%w: the %s of %s is %s at %d, and %d is read%s", ErrBehind, role, p.name, state, is.Sequence, was.Sequence, why)
}

// meet has two generations stand still at one sequence, with everything up to it
// committed, until letGo. A live one that does not run stands where it is.
func (p *projection) meet(ctx context.Context, live, other *generation) (at uint64, letGo func(), err error) {
	letGo = func() { live.runner.letGo(); other.runner.letGo() }
	if !comparable(live, other) {
		return other.runner.Published().Position.Sequence, letGo, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, meetTime, fmt.Errorf("%w: one waited for the other for %s", ErrBehind, meetTime))
	defer cancel()
	defer func() {
		if err != nil {
			letGo()
		}
	}()
	at, err = p.hold(ctx, other, 0)
	if err != nil {
		return 0, letGo, err
	}
	if live.runner.stopped() != nil { // it stands still, and would not go on to where the other is
		stands, err := p.reach(ctx, live, other)
		if err == nil && at < stands {
			at, err = p.hold(ctx, other, stands)
		}
		return at, letGo, errors.Join(err, p.stillBehind(ctx, live, other))
	}
	stands, err := p.hold(ctx, live, at)
	if err == nil && stands > at {
		at, err = p.hold(ctx, other, stands)
	}
	return at, letGo, errors.Join(err, p.stillBehind(ctx, live, other))
}

// reach is what readers have seen of one generation that another one can reach: the stream
// may have lost its tail.
func (p *projection) reach(ctx context.Context, live, other *generation) (uint64, error) {
	was := live.runner.Published().Position.Sequence
	if other.runner.Published().Position.Sequence >= was {
		return was, nil
	}
	info, err := p.engine.source.Stream(ctx, other.spec.Stream)
	return min(was, info.Last), err
}

// stillBehind refuses a generation that stands behind what is read: it may have stopped by
// itself on the way there.
func (p *projection) stillBehind(ctx context.Context, live, other *generation) error {
	was, err := p.reach(ctx, live, other)
	is := other.runner.Published().Position.Sequence
	if err == nil && is < was {
		err = fmt.Errorf("%w: generation %s stands at %d, and %d is read", ErrBehind, other.id, is, was)
	}
	return err
}

// hold has a generation stand still, if it runs.
func (p *projection) hold(ctx context.Context, g *generation, at uint64) (uint64, error) {
	p.mu.Lock()
	runs := g.running != nil
	p.mu.Unlock()
	if !runs {
		return g.runner.Published().Position.Sequence, nil
	}
	stands, err := g.runner.hold(ctx, at)
	if err != nil {
		return 0, fmt.Errorf("generation %s: %w", g.id, err)
	}
	return stands, nil
}

// turn lets readers see another generation, to which the right to emit passes. Both stand
// still.
func (p *projection) turn(live, other *generation, role Role, at uint64, pass func(*catalog.Record)) (Promotion, error) {
	done := Promotion{Projection: p.name, From: live.id, To: other.id, Sequence: at}
	kind, keep := catalog.Promoted, true
	var old *generation
	if role == RolePrevious {
		kind = catalog.RolledBack
		old = p.candidate
	} else {
		keep = p.declared == nil || p.declared.KeepPrevious > 0
		old = p.previous
	}
	err := p.update(func(r *catalog.Record) error {
		if old != nil {
			r.Discard(old.id, "another one takes its place")
		}
		r.Candidate, r.Previous = "", ""
		was, is := r.Find(r.Live), r.Find(other.id)
		if was != nil {
			was.Retired = time.Now().UTC()
			was.Declined = role == RolePrevious
		}
		if is != nil {
			is.Retired, is.Declined = time.Time{}, false
		}
		r.Live = other.id
		pass(r)
		r.Note(catalog.Change{Kind: kind, Generation: other.id, Module: is.Module, Sequence: at, Text: "from " + live.id})
		switch {
		case role == RolePrevious:
			r.Candidate = live.id
		case keep:
			r.Previous = live.id
		default:
			r.Discard(live.id, "keep_previous is 0")
		}
		return nil
	})
	if err != nil {
		return Promotion{}, err
	}
	p.mu.Lock()
	switch {
	case role == RolePrevious:
		p.setRolesLocked(other, live, nil)
	case keep:
		p.setRolesLocked(other, nil, live)
	default:
		p.setRolesLocked(other, nil, nil)
	}
	p.mu.Unlock()
	p.log.Info("another generation is read now", "change", kind, "generation", other.id, "former", live.id, "sequence", at)
	live.runner.letGo()
	other.runner.letGo()
	err = p.leave(old)
	if role != RolePrevious && !keep {
		err = errors.Join(err, p.leave(live))
	}
	return done, err
}

// takesOver reports whether a candidate is to take over by itself, as far as is known.
func (p *projection) takesOver(candidate *generation) bool {
	record := p.record()
	g := record.Find(candidate.id)
	if g == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.autoLocked(candidate, g)
}

// promoteItself lets a candidate take over that has caught up and is to do so by itself.
func (p *projection) promoteItself(ctx context.Context) error {
	p.mu.Lock()
	candidate, live, declared := p.candidate, p.live, p.declared
	p.mu.Unlock()
	if candidate == nil || candidate.failed != nil || candidate.keyspace.Durable() == 0 || p.ready(live, candidate, RoleCandidate) != nil || !p.takesOver(candidate) {
		return nil
	}
	select {
	case p.changing <- struct{}{}:
	default:
		return nil // the next time
	}
	defer p.unlock()
	var accept func(live, other state.Checkpoint) error
	if declared != nil && declared.AutoPromote == PromoteWhenEqual {
		accept = equal
	}
	_, err := p.exchange(ctx, RoleCandidate, accept)
	switch {
	case errors.Is(err, ErrDiffers):
		p.mu.Lock()
		p.unequal = candidate.id
		p.mu.Unlock()
		candidate.runner.changes()
		p.log.Warn("candidate does not take over: its state is not the one that is read", "generation", candidate.id, "hint", "compare them with: engine diff "+p.name)
		return nil
	case errors.Is(err, ErrBehind), errors.Is(err, ErrUnpublished), errors.Is(err, ErrNoGeneration), errors.Is(err, context.DeadlineExceeded):
		return nil // the next time
	}
	return err
}

// equal refuses another state than the one that is read.
func equal(live, other state.Checkpoint) error {
	if live.Digest != other.Digest || live.Keys != other.Keys || live.Position.Sequence != other.Position.Sequence {
		return ErrDiffers
	}
	return nil
}

// Comparison is two generations of a projection as of one sequence. Close it.
type Comparison struct {
	Live, Candidate *Reading
	Sequence        uint64
}

// Close ends both readings.
func (c *Comparison) Close() {
	c.Live.Close()
	c.Candidate.Close()
}

// Compare opens the generation that is read and the candidate, both as of one sequence.
// It fails with ErrBehind when the candidate has not caught up, and with ErrIncomparable.
func (e *Engine) Compare(ctx context.Context, name string) (*Comparison, error) {
	p, role, err := e.find(name)
	if err != nil {
		return nil, err
	}
	if role == RoleLive {
		role = RoleCandidate
	}
	if err := p.lock(ctx); err != nil {
		return nil, err
	}
	defer p.unlock()
	live, other, err := p.pair(role)
	if err != nil {
		return nil, err
	}
	if err := p.ready(live, other, role); err != nil {
		return nil, err
	}
	if !comparable(live, other) {
		return nil, fmt.Errorf("%w: %s and its %s were made of different streams", ErrIncomparable, p.name, role)
	}
	at, letGo, err := p.meet(ctx, live, other)
	if err != nil {
		return nil, err
	}
	defer letGo()
	if a, b := live.runner.Published().Position.Sequence, other.runner.Published().Position.Sequence; a != b {
		return nil, fmt.Errorf("%w: they cannot be compared at one sequence, %s stands at %d and its %s at %d", ErrBehind, p.name, a, role, b)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c := &Comparison{Sequence: at}
	if c.Live, err = p.readLocked(live); err != nil {
		return nil, err
	}
	if c.Candidate, err = p.readLocked(other); err != nil {
		p.mu.Unlock()
		c.Live.Close()
		p.mu.Lock()
		return nil, err
	}
	return c, nil
}
