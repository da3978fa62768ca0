package engine

import (
	"context"
	"errors"
	"fmt"

	"gnomon/engine/catalog"
	"gnomon/engine/state"
)

// replayAll reads a state of which nothing is kept: from the first event of the generation
// on. It is refused where something but the events has had a part in the state: orders of
// operators, an exchange of the code, decisions about events that failed and are no longer on
// record. Why is the reason for which there is no other way.
func (p *projection) replayAll(ctx context.Context, g *generation, now *Reading, sequence uint64, why error) (_ *Reading, err error) {
	ks := now.keyspace
	w := span{base: emptyView{}}
	w.next, err = checkpointAfter(ks, max(ks.Oldest()-1, state.LastAt(sequence)), now.Checkpoint)
	if err != nil {
		return nil, err
	}
	record := p.record()
	if w.from.Position, err = beginning(&record, w.next, sequence); err != nil {
		return nil, errors.Join(why, err)
	}
	if w.next.Runs, err = firstOf(&record, g.id, w.next, sequence); err != nil {
		return nil, err
	}
	r, err := p.replayed(ctx, g, w, sequence)
	if err != nil {
		return nil, fmt.Errorf("replay %s up to %d: %w", p.name, sequence, err)
	}
	v, ck, err := r.view(sequence)
	if err == nil {
		err = p.engine.past.hold(v)
	}
	if err != nil {
		return nil, err
	}
	return p.reading(g, v, ck), nil
}

// beginning is the position before the first event of a generation whose oldest checkpoint
// is given.
func beginning(r *catalog.Record, oldest state.Checkpoint, sequence uint64) (state.Position, error) {
	p := state.Position{Stream: oldest.Position.Stream, Created: oldest.Position.Created}
	began := oldest.Began
	if o := r.Origin; began == nil && o != nil && o.Stream == p.Stream { // of before checkpoints said so
		began = &state.Began{Created: o.Created, Sequence: o.Sequence}
	}
	if began == nil || !began.Created.Equal(p.Created) {
		return p, fmt.Errorf("%w: where it began in this stream is not recorded", ErrNotRepeatable)
	}
	p.Sequence = began.Sequence
	switch {
	case oldest.Orders > 0:
		return p, fmt.Errorf("%w: operators have changed its state by %d orders, such as the retry of events that had failed, which are not events", ErrNotRepeatable, oldest.Orders)
	case oldest.Aside.Skipped > 0: // whether they fail may depend on limits that were others then
		return p, fmt.Errorf("%w: %d events that failed were passed over, and which is no longer known", ErrNotRepeatable, oldest.Aside.Skipped)
	case sequence < p.Sequence:
		return p, fmt.Errorf("%w: it began at %d", ErrNotKept, p.Sequence)
	}
	return p, nil
}

// firstOf is the identity of what a generation ran first, if it ran that up to a sequence.
func firstOf(r *catalog.Record, generation string, oldest state.Checkpoint, sequence uint64) (string, error) {
	g := r.Find(generation)
	switch {
	case g == nil || len(g.Past) == 0:
		return oldest.Runs, nil
	case len(g.Past) == catalog.MaxPast:
		return "", fmt.Errorf("%w: its code was exchanged more than %d times", ErrNotRepeatable, catalog.MaxPast)
	case sequence >= g.Past[0].Through.Sequence():
		return "", fmt.Errorf("%w: its code was exchanged at %d, and the state from then on is not that of one module", ErrNotRepeatable, g.Past[0].Through.Sequence())
	}
	return g.Past[0].Identity, nil
}

// emptyView is the state before the first event. It implements View.
type emptyView struct{ noRows }

func (emptyView) Version() state.Version { return 0 }
func (emptyView) Letters() state.Rows    { return noRows{} }
func (emptyView) Outbox() state.Rows     { return noRows{} }
func (emptyView) Close()                 {}
