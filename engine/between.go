package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"gnomon/engine/state"
)

// ErrBackwards says that what is to be compared begins after its end.
var ErrBackwards = errors.New("from is after to")

// Between is what happened to a state between two points of its history. Close it.
type Between struct {
	From, To *Reading
	now      *Reading // that the others were opened from; it may be one of them
}

// Between opens the states of a projection as of two points, of which from is not after to;
// a zero from is before the first event, a zero to is what is served now. Both are of one
// generation, that which the name means. It fails as ReadAt does, or with ErrBackwards.
func (e *Engine) Between(ctx context.Context, name string, from, to At) (_ *Between, err error) {
	p, role, err := e.find(name)
	if err != nil {
		return nil, err
	}
	now, g, err := p.readGeneration(role)
	if err != nil {
		return nil, err
	}
	b := &Between{now: now, To: now}
	defer func() {
		if err != nil {
			b.Close()
		}
	}()
	if to != (At{}) {
		if b.To, err = p.readAt(ctx, g, now, to); err != nil {
			return nil, err
		}
	}
	if b.From, err = p.readAt(ctx, g, now, from); err != nil {
		return nil, err
	}
	if first, last := b.From.Checkpoint.Position.Sequence, b.To.Checkpoint.Position.Sequence; first > last {
		return nil, fmt.Errorf("%w: it is %d, and to is %d", ErrBackwards, first, last)
	}
	return b, nil
}

// Close ends both readings. It may be called more than once.
func (b *Between) Close() {
	for _, r := range []*Reading{b.From, b.To, b.now} {
		if r != nil { // not when it could not be opened
			r.Close()
		}
	}
}

// Scan calls fn for the keys of a part that were written or deleted between the two points,
// in order, until it returns false: with their values at both, which may be the same. Keys
// that nothing touched are not read. What fn is handed is good until it returns.
func (b *Between) Scan(ctx context.Context, within state.KeyRange, fn func(state.Pair) bool) error {
	var failed error
	err := b.touched(within, func(key []byte) bool {
		var pair state.Pair
		if pair, failed = b.pair(key); failed == nil {
			failed = ctx.Err()
		}
		return failed == nil && fn(pair)
	})
	return errors.Join(err, failed)
}

// pair reads a key at both points.
func (b *Between) pair(key []byte) (p state.Pair, err error) {
	p.Key = key
	if p.A, p.InA, err = b.From.Get(key); err != nil {
		return p, err
	}
	p.B, p.InB, err = b.To.Get(key)
	return p, err
}

// touched calls fn for the keys that may differ, in order: what the keyspace has written
// between the commits below the two readings, and what a replay changed on top of each.
func (b *Between) touched(within state.KeyRange, fn func(key []byte) bool) error {
	from, fromItems := below(b.From.View)
	to, toItems := below(b.To.View)
	replayed := keysAmong(within, fromItems, toItems)
	more := true
	upTo := func(key string, all bool) {
		for more && len(replayed) > 0 && (all || replayed[0] <= key) {
			if all || replayed[0] < key {
				more = fn([]byte(replayed[0]))
			}
			replayed = replayed[1:]
		}
	}
	if from != to {
		err := b.To.keyspace.Changes(state.OfState, min(from, to), max(from, to), within, func(r state.Row) bool {
			upTo(string(r.Key), false)
			more = more && fn(r.Key)
			return more
		})
		if err != nil {
			return err
		}
	}
	upTo("", true)
	return nil
}

// below returns the version of the commit that a view shows, and what it changes on top.
func below(v state.View) (state.Version, []*item) {
	if past, ok := v.(*pastView); ok {
		return past.base, past.state.changed
	}
	return v.Version(), nil
}

// keysAmong are the keys of sorted items within a range, in order.
func keysAmong(within state.KeyRange, lists ...[]*item) (keys []string) {
	for _, items := range lists {
		for _, it := range itemsBetween(items, string(within.Prefix), string(within.After)) {
			keys = append(keys, it.key)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}
